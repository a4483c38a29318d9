use super::media::MediaView;
use super::sample::{self, hostile, hostile::HOSTILE};
use super::shell::{Page, Place};
use super::*;
use crate::api::{LanStatus, Status};
use cairn_host::serial::Adapter;
use cairn_model::inventory::DiskContent;
use cairn_model::phase::Phase;
use std::collections::BTreeMap;

/// The live part of every page.
fn all(status: &Status) -> Vec<(&'static str, String)> {
    let report = if *status == hostile::status() { hostile::wire() } else { sample::wire() };
    let media = if *status == hostile::status() { hostile::media() } else { sample::media() };
    let page = |place, path: &'static str, content| {
        let page = Page { place, path, title: "", status, content };
        (path, page.live().into_string())
    };
    let mut pages = vec![
        page(Place::Overview, "/", overview::content(status)),
        page(Place::Discover, "/discover", discover::content(status, &report)),
        page(Place::Media, "/media", media::content(status, &media)),
        page(Place::Cluster, "/artifacts", artifacts::content(&Ok(sample::artifacts()), None)),
        page(Place::Cluster, "/cluster", cluster::content(status, &sample::events())),
        page(Place::Network, "/phone", phone::content(&sample::lan(), false)),
        page(Place::Network, "/phone", phone::content(&LanStatus::default(), false)),
        page(Place::Network, "/network", network::content(status, &report, &sample::adapters())),
    ];
    pages.extend(
        status
            .nodes
            .iter()
            .map(|one| page(Place::Cluster, "/nodes/NAME", node::content(one, &sample::events()))),
    );
    pages
}

fn every_sample() -> Vec<Status> {
    vec![sample::evening(9), sample::calm(), sample::new(), sample::hundred(), hostile::status()]
}

#[test]
fn nothing_that_a_machine_says_becomes_markup() {
    let mut said = 0;
    for (path, page) in all(&hostile::status()) {
        assert!(!page.contains("<script") && !page.contains(HOSTILE), "{path}: {page}");
        // an attribute can't be left either
        assert!(!page.contains("alert(1)</script>\"") && !page.contains("</script>\"'"), "{path}");
        said += page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;").count();
    }
    assert!(said > 30, "{said}");
}

#[test]
fn no_page_carries_a_script_or_a_style_of_its_own() {
    for (path, page) in every_sample().iter().flat_map(all) {
        for forbidden in ["<script", "<style", " style=\"", " onclick", "javascript:"] {
            assert!(!page.contains(forbidden), "{path}: {forbidden}");
        }
    }
}

#[test]
fn every_id_stands_once_on_a_page_and_every_label_has_its_field() {
    for (path, page) in every_sample().iter().flat_map(all) {
        let values = |attribute: &str| -> Vec<String> {
            let split = format!(" {attribute}=\"");
            page.split(&split).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
        };
        let ids = values("id");
        let mut once = ids.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ids.len(), "{path}: {ids:?}");
        for attribute in ["for", "aria-labelledby", "data-copy"] {
            for wanted in values(attribute) {
                assert!(ids.contains(&wanted), "{path}: {attribute}={wanted}");
            }
        }
    }
}

/// What each id of such an element stands for.
fn stands_for(page: &str, tag: &str, attribute: &str) -> BTreeMap<String, String> {
    let value = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        Some(rest.split('"').next()?.to_owned())
    };
    let begin = format!("<{tag} ");
    let tags = page.split(&begin).skip(1).filter_map(|rest| rest.split('>').next());
    tags.map(|tag| format!(" {tag}"))
        .filter_map(|tag| Some((value(&tag, "id")?, value(&tag, attribute)?)))
        .collect()
}

#[test]
fn what_the_owner_chose_stays_the_same_thing_when_another_comes_or_goes() {
    let (mut status, mut media, mut adapters) = (sample::evening(0), sample::media(), sample::adapters());
    adapters.iter_mut().for_each(|adapter| adapter.problem = None);
    let look = |status: &Status, media: &MediaView, adapters: &[Adapter]| {
        let mut all = stands_for(&discover::content(status, &sample::wire()).into_string(), "input", "value");
        all.extend(stands_for(&media::content(status, media).into_string(), "input", "value"));
        let network = network::content(status, &sample::wire(), adapters).into_string();
        all.extend(stands_for(&network, "details", "data-console"));
        all
    };
    let before = look(&status, &media, &adapters);
    let disks = status.machines.iter_mut().filter_map(|machine| machine.inventory.as_mut());
    disks.for_each(|inventory| drop(inventory.disks.remove(0)));
    media.disks.remove(0);
    adapters.remove(0);
    let after = look(&status, &media, &adapters);
    assert!(after.len() < before.len() && after.len() > 3, "{after:?}");
    assert!(after.iter().all(|(id, thing)| before.get(id) == Some(thing)), "{before:?} {after:?}");
}

#[test]
fn another_code_takes_the_tick_back() {
    let mut status = sample::evening(0);
    let ticks = |status: &Status| {
        let page = discover::content(status, &sample::wire()).into_string();
        let all = stands_for(&page, "input", "value").into_iter();
        all.filter(|(id, _)| id.starts_with("tick-")).collect::<BTreeMap<_, _>>()
    };
    let before = ticks(&status);
    status.machines[0].code = Some("000-000".into());
    let after = ticks(&status);
    assert_eq!((before.len(), after.len()), (3, 3));
    assert_eq!(after.keys().filter(|id| before.contains_key(*id)).count(), 2);
}

#[test]
fn an_approval_carries_the_code_and_asks_before_a_disk_is_wiped() {
    let mut status = sample::evening(0);
    status.machines.truncate(1);
    let page = discover::content(&status, &sample::wire()).into_string();
    assert!(page.contains(r#"value="333-342""#) && page.contains(r#"name="wipe."#));
    assert!(page.contains(r#"<option value="" selected>as suggested: compute-2, or the next one<"#));
    // free places and new ones, none that is taken
    for (place, offered) in [("compute-2", true), ("compute-3", true), ("etcd-4", false), ("etcd-1", false)] {
        assert_eq!(page.contains(&format!(r#"<option value="{place}">"#)), offered, "{place}");
    }
    if let Some(inventory) = &mut status.machines[0].inventory {
        inventory.disks = vec![sample::disk("nvme-a", 500, DiskContent::Blank)];
    }
    let page = discover::content(&status, &sample::wire()).into_string();
    assert!(!page.contains(r#"name="wipe."#) && page.contains(r#"value="nvme-a" checked>"#), "{page}");
}

#[test]
fn an_installer_sticks_machine_is_asked_for_its_disk_and_not_for_a_code() {
    let mut status = sample::evening(0);
    status.machines.retain(|machine| machine.waits_for_disk);
    let id = status.machines[0].id.clone();
    let page = discover::content(&status, &sample::wire()).into_string();
    let disks = stands_for(&page, "input", "name");
    assert_eq!(disks.values().filter(|name| **name == format!("disk.{id}")).count(), 2);
    assert!(disks.values().any(|name| name == "machine") && page.contains("It becomes compute-2"), "{page}");
    assert!(
        !page.contains("name=\"code.") && !page.contains("name=\"node.") && !page.contains("name=\"wipe.")
    );
    status.machines[0].approved = true;
    assert!(!discover::content(&status, &sample::wire()).into_string().contains("<form id=\"approve\""));
}

#[test]
fn every_machine_that_answers_can_be_made_to_blink() {
    let mut status = sample::evening(0);
    let count = |status: &Status| {
        discover::content(status, &sample::wire())
            .into_string()
            .matches("data-blink=\"/api/v1/machines/")
            .count()
    };
    assert_eq!(count(&status), status.machines.len());
    status.machines[0].phase = Phase::Unreachable;
    assert_eq!(count(&status), status.machines.len() - 1);
    for node in &status.nodes {
        let offered =
            node::content(node, &[]).into_string().contains(&format!("/api/v1/nodes/{}/blink", node.name));
        assert_eq!(offered, !matches!(node.phase, Phase::Unreachable | Phase::Absent), "{}", node.name);
    }
}

#[test]
fn what_comes_from_outside_says_how_it_is_had_as_long_as_it_is_not_there() {
    let page = |items| artifacts::content(&Ok(items), None).into_string();
    let all = page(sample::artifacts());
    for said in
        ["there", "missing", "damaged", "no checksum", "cairn artifacts lock", "cairn artifacts import"]
    {
        assert!(all.contains(said), "{said}");
    }
    assert!(all.contains("action=\"/artifacts/pull\""));
    let there = page(sample::artifacts().into_iter().filter(|item| item.is_there()).collect());
    assert!(!there.contains("/artifacts/pull") && !there.contains("cairn artifacts"), "{there}");
}

#[test]
fn the_verdict_says_what_the_cluster_is_in_a_word_and_a_shape() {
    use super::ui::Tone;
    let cases = [
        (sample::calm(), Tone::Good),
        (sample::new(), Tone::Off),
        (sample::evening(3), Tone::Failed),
        (sample::hundred(), Tone::Failed),
    ];
    for (status, tone) in cases {
        assert_eq!(overview::verdict(&status).0, tone);
    }
    let page = overview::content(&sample::evening(3)).into_string();
    assert!(page.contains("install") && page.contains("3 of 8 steps") && page.contains("7% ·"), "{page}");
}
