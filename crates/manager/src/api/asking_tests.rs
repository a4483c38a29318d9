//! What a simulated node is asked, over the whole router and real TLS.

use super::tests::{Site, delete, get, post, put, text};
use crate::api::{BlinkResponse, NextBoot, NodeLog, NodeUnits, Problem};
use crate::journal::{Journal, Wish};
use crate::network::{BootView, Way};
use crate::simulation::{Agent, Lab, Power, new_file};
use crate::{image, next_boot};
use axum::body::BodyDataStream;
use axum::http::request::Builder;
use axum::http::{StatusCode, header};
use cairn_model::phase::Phase;
use cairn_netboot::dhcp::Kind;
use cairn_netboot::{Arch, BootAnswer, BootPolicy as _, Client, Images, Mac, MachineRequest, OneShot, What};
use cairn_vault::join::Onto;
use cairn_wire::message::AgentState;
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

async fn node(site: &Site) -> (Arc<Agent>, Power) {
    named(site, "etcd-1").await
}

async fn named(site: &Site, name: &str) -> (Arc<Agent>, Power) {
    let file = site.lab.core.book.file();
    let name = name.parse().unwrap();
    let medium = file.keyring().join_material(&name, Uuid::new_v4(), u64::MAX, Onto::Medium).unwrap();
    let agent = Agent::blank(Some(medium));
    let power = agent.power_on(&site.lab).await;
    agent.until(|state| matches!(state, AgentState::Installing { .. })).await;
    site.lab.until_node(name.as_str(), Phase::Installing).await;
    (agent, power)
}

fn write(agent: &Agent, unit: &str, message: &str) {
    agent.journal.send_modify(|journal| journal.push((unit.to_owned(), message.to_owned())));
}

async fn ask(site: &Site, query: &str) -> axum::response::Response {
    let path = format!("/api/v1/nodes/etcd-1/{query}");
    site.send(get(&path).header(header::AUTHORIZATION, site.bearer()), "").await
}

async fn messages(site: &Site, query: &str) -> Vec<String> {
    let answer: NodeLog = serde_json::from_str(&text(ask(site, query).await).await).unwrap();
    answer.entries.into_iter().map(|entry| entry.message).collect()
}

/// Reads until the text is there.
async fn until(stream: &mut BodyDataStream, expected: &str) -> String {
    let mut seen = String::new();
    let read = async {
        while !seen.contains(expected) {
            let bytes = stream.next().await.unwrap().unwrap();
            seen.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    };
    assert!(timeout(Duration::from_secs(180), read).await.is_ok(), "no {expected} in {seen}");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nodes_entries_are_read_by_unit_and_number() {
    let site = Site::new();
    let (agent, _power) = node(&site).await;
    for (unit, message) in [("a.service", "one"), ("b.service", "two"), ("a.service", "three")] {
        write(&agent, unit, message);
    }
    assert_eq!(messages(&site, "logs").await, ["one", "two", "three"]);
    assert_eq!(messages(&site, "logs?unit=&lines=1").await, ["three"]);
    assert_eq!(messages(&site, "logs?unit=a.service").await, ["one", "three"]);
    assert_eq!(messages(&site, "logs?unit=a.service&after=0").await, ["three"]);
    let units: NodeUnits = serde_json::from_str(&text(ask(&site, "units").await).await).unwrap();
    assert_eq!(units.units.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_unit_or_no_node_is_refused_in_words() {
    let site = Site::new();
    for (query, status) in [
        ("logs?unit=--file", StatusCode::UNPROCESSABLE_ENTITY),
        ("logs?unit=*.service", StatusCode::UNPROCESSABLE_ENTITY),
        ("logs?lines=-1", StatusCode::UNPROCESSABLE_ENTITY),
        ("logs?after=%20--x", StatusCode::UNPROCESSABLE_ENTITY),
        ("logs?nonsense=1", StatusCode::UNPROCESSABLE_ENTITY),
        ("logs", StatusCode::CONFLICT),
        ("units", StatusCode::CONFLICT),
        ("../nobody/logs", StatusCode::NOT_FOUND),
        ("../nobody/logs?follow=true", StatusCode::NOT_FOUND),
    ] {
        let path = format!("/api/v1/nodes/etcd-1/{query}").replace("etcd-1/../", "");
        let answer = site.send(get(&path).header(header::AUTHORIZATION, site.bearer()), "").await;
        assert_eq!(answer.status(), status, "{path}");
        let problem: Problem = serde_json::from_str(&text(answer).await).unwrap();
        assert!(!problem.detail.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_through_a_power_cut_and_resumed_after_an_events_id() {
    let site = Site::new();
    let (agent, power) = node(&site).await;
    write(&agent, "a.service", "before");
    let answer = ask(&site, "logs?unit=a.service&follow=true").await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut stream = answer.into_body().into_data_stream();
    let first = until(&mut stream, "before").await;
    assert!(first.contains("event: entry\n") && first.contains("id: 0\n"), "{first}");
    write(&agent, "b.service", "not asked for");
    write(&agent, "a.service", "live");
    assert!(!until(&mut stream, "live").await.contains("not asked for"));

    power.cut(&site.lab);
    let broken = until(&mut stream, "event: broken").await;
    assert!(!broken.contains("older than this manager"), "{broken}");
    write(&agent, "a.service", "meanwhile");
    let _power = agent.power_on(&site.lab).await;
    let resumed = until(&mut stream, "meanwhile").await;
    assert!(!resumed.contains("before") && !resumed.contains("live"), "{resumed}");

    let path = "/api/v1/nodes/etcd-1/logs?unit=a.service&follow=true";
    let again = get(path).header(header::AUTHORIZATION, site.bearer()).header("last-event-id", "2");
    let mut stream = site.send(again, "").await.into_body().into_data_stream();
    let resumed = until(&mut stream, "meanwhile").await;
    assert!(!resumed.contains("before") && !resumed.contains("live"), "{resumed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_and_a_machine_that_is_none_yet_blink_for_a_bounded_time() {
    let site = Site::new();
    let (_agent, _power) = node(&site).await;
    let stranger = Agent::blank(None);
    let _on = stranger.power_on(&site.lab).await;
    let machine = site.lab.until_code().await;
    let blink = async |path: &str, body: &str| {
        let request = post(&format!("/api/v1/{path}/blink")).header(header::AUTHORIZATION, site.bearer());
        let answer = site.send(request.header(header::CONTENT_TYPE, "application/json"), body).await;
        (answer.status(), text(answer).await)
    };
    for path in ["nodes/etcd-1".to_owned(), format!("machines/{}", machine.id)] {
        let (status, body) = blink(&path, r#"{"seconds":3}"#).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let answer: BlinkResponse = serde_json::from_str(&body).unwrap();
        assert_eq!((answer.seconds, answer.light.as_str()), (3, "the network socket eth0"));
    }
    let (_, body) = blink("nodes/etcd-1", "").await;
    assert!(body.contains("\"seconds\":15"), "{body}");
    for body in [r#"{"seconds":0}"#, r#"{"seconds":61}"#, r#"{"second":1}"#] {
        assert_eq!(blink("nodes/etcd-1", body).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    assert_eq!(blink("machines/x", "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_starts_once_is_set_shown_and_taken_back_or_refused_with_what_to_do() {
    let site = Site::new();
    let core = &site.lab.core;
    let stranger = Agent::blank(None);
    let _on = stranger.power_on(&site.lab).await;
    let machine = site.lab.until_code().await;
    let path = format!("/api/v1/machines/{}/next-boot", machine.id);
    let send = async |request: Builder, body: &str| {
        let request = request.header(header::AUTHORIZATION, site.bearer());
        let answer = site.send(request.header(header::CONTENT_TYPE, "application/json"), body).await;
        (answer.status(), text(answer).await)
    };
    let set = async |start: &str| send(put(&path), &format!(r#"{{"start":"{start}"}}"#)).await;
    let refused = async |start: &str, words: &str| {
        let (status, body) = set(start).await;
        assert!(status == StatusCode::CONFLICT && body.contains(words), "{status}: {body}");
    };
    refused("memory-test", "Network boot is off").await;
    core.network().netboot =
        BootView::Running { interface: "eth1".into(), way: Way::OwnCable, base: "http://m".into() };
    refused("memory-test", "put network boot before the disk").await;
    let card: Mac = machine.inventory.unwrap().interfaces[0].mac.parse().unwrap();
    let (message, client) = (Kind::Discover, Client::Pxe);
    core.story.tell(Some(card), What::DhcpAsked { message, client, arch: Some(Arch::X64Efi) });
    refused("memory-test", "has no memory test").await;
    refused("rescue", "`cairn artifacts lock`").await;
    std::fs::write(core.image_dir.join(image::MEMORY_TEST), "x").unwrap();
    assert_eq!(set("memory-test").await.0, StatusCode::NO_CONTENT);
    let shown = || core.status().machines[0].next_boot;
    assert_eq!(shown(), Some(NextBoot::MemoryTest));
    assert_eq!(core.book.journal(|journal| journal.next_boots.len()), 1);
    let page = text(site.send(get("/discover").header(header::COOKIE, site.cookie()), "").await).await;
    assert!(page.contains("it starts a memory test, once") && page.contains("/next-boot/usual"), "{page}");

    for _ in 0..2 {
        assert_eq!(send(delete(&path), "").await.0, StatusCode::NO_CONTENT);
        assert_eq!(shown(), None);
        assert!(core.book.journal(|journal| journal.next_boots.is_empty()));
    }
    // The page's buttons do the same.
    let press = async |start: &str| {
        let button = post(&format!("/machines/{}/next-boot/{start}", machine.id));
        let button = button.header(header::ORIGIN, "http://127.0.0.1:4200");
        site.send(button.header(header::COOKIE, site.cookie()), "").await.status()
    };
    assert_eq!(press("memory-test").await, StatusCode::SEE_OTHER);
    assert_eq!(shown(), Some(NextBoot::MemoryTest));
    assert_eq!(press("usual").await, StatusCode::SEE_OTHER);
    assert_eq!(shown(), None);
    assert_eq!(press("rescue").await, StatusCode::CONFLICT);
    assert_eq!(press("anything").await, StatusCode::UNPROCESSABLE_ENTITY);

    for body in [r#"{"start":"usual"}"#, "{}", r#"{"start":"rescue","once":true}"#] {
        assert_eq!(send(put(&path), body).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    for nobody in ["machines/x", "nodes/nobody"] {
        let path = format!("/api/v1/{nobody}/next-boot");
        assert_eq!(send(put(&path), r#"{"start":"rescue"}"#).await.0, StatusCode::NOT_FOUND);
        assert_eq!(send(delete(&path), "").await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_starts_once_waits_across_a_restart_and_is_over_once_it_has_asked() {
    let folder = tempfile::tempdir().unwrap();
    new_file(folder.path());
    let card = Mac([0x52, 0x54, 0, 0, 0, 9]);
    let shown = |lab: &Lab| {
        let status = lab.core.status();
        status.nodes.iter().find(|node| node.name == "etcd-1").unwrap().next_boot
    };
    {
        let lab = Lab::start(folder.path(), "work");
        let note = |journal: &mut Journal| {
            journal.macs.insert(card.to_string(), "etcd-1".parse().unwrap());
            journal.wish(Wish { cards: vec![card], start: NextBoot::MemoryTest });
        };
        lab.core.book.note(note).unwrap();
        lab.show.abort();
        assert!(lab.show.await.unwrap_err().is_cancelled());
    }
    let lab = Lab::start(folder.path(), "work");
    next_boot::remember(&lab.core).await;
    assert_eq!(shown(&lab), Some(NextBoot::MemoryTest));
    let asks = MachineRequest { mac: card, arch: Arch::X64Efi, client: Client::Pxe, uuid: None };
    let usual = |_: &MachineRequest| BootAnswer::LocalDisk;
    let policy = OneShot::around(usual, Arc::clone(&lab.core.wishes));
    assert_eq!(policy.decide(&asks), BootAnswer::LocalDisk, "the image has no memory test");
    next_boot::granted(&lab.core, card);
    assert_eq!(shown(&lab), Some(NextBoot::MemoryTest));

    std::fs::create_dir_all(&lab.core.image_dir).unwrap();
    std::fs::write(lab.core.image_dir.join(image::MEMORY_TEST), "x").unwrap();
    next_boot::remember(&lab.core).await;
    assert_eq!(policy.decide(&asks), BootAnswer::Other(Images::x64(image::MEMORY_TEST)));
    next_boot::granted(&lab.core, card);
    assert_eq!(shown(&lab), None);
    assert!(lab.core.book.journal(|journal| journal.next_boots.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_not_spoken_since_the_manager_started_is_known_by_its_cards() {
    let site = Site::new();
    let core = &site.lab.core;
    let card = Mac([0x52, 0x54, 0, 0, 0, 9]);
    let name = "etcd-1".parse().unwrap();
    core.book.note(|journal| drop(journal.macs.insert(card.to_string(), name))).unwrap();
    core.wishes.next(vec![card], NextBoot::Rescue.name(), Images::x64("rescue.efi"));
    let shown = || core.status().nodes.iter().find(|node| node.name == "etcd-1").unwrap().next_boot;
    assert_eq!(shown(), Some(NextBoot::Rescue));
    let request = delete("/api/v1/nodes/etcd-1/next-boot").header(header::AUTHORIZATION, site.bearer());
    assert_eq!(site.send(request, "").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(shown(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubeconfig_comes_from_a_compute_node_or_each_of_them_says_why_not() {
    let site = Site::new();
    let ask = async || {
        let request = get("/api/v1/kubeconfig").header(header::AUTHORIZATION, site.bearer());
        site.send(request, "").await
    };
    let reason = async || serde_json::from_str::<Problem>(&text(ask().await).await).unwrap().detail;
    assert!(reason().await.contains("'compute-1' was not reached"));
    let (agent, _power) = named(&site, "compute-1").await;
    let words = reason().await;
    assert!(words.contains("no compute node runs k3s: 'compute-1': waiting for artifact k3s v1"), "{words}");
    agent.write_kubeconfig("clusters: []\n");
    let answer = ask().await;
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(text(answer).await, "clusters: []\n");
}
