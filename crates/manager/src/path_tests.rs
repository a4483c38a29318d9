//! The whole path of a machine, with simulated agents: fresh, approved, enrolled, locked, unlocked, running.

use crate::api::ApproveRequest;
use crate::decide::tests::sample_disk;
use crate::simulation::{
    Agent, Lab, enrolled_boot, journal, name, new_file, passphrase, with_a_blank_machine,
};
use cairn_artifacts::{Store, Sum};
use cairn_model::cluster::{Cluster, Role};
use cairn_model::inventory::{Disk, DiskContent};
use cairn_model::phase::Phase;
use cairn_vault::file::disk;
use cairn_vault::join::Onto;
use cairn_wire::message::{AgentState, Target, Wanted};
use cairn_workflow::RowState;
use uuid::Uuid;

fn locked(node: String) -> AgentState {
    AgentState::Locked { node }
}

fn running(node: String) -> AgentState {
    AgentState::Running { node }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_machine_is_approved_installed_unlocked_and_runs() {
    let (folder, lab, agent, power, machine) = with_a_blank_machine().await;
    assert_eq!(machine.code, agent.code());
    assert_eq!(lab.approve(&machine.id, "000-00x", "compute-1").await.unwrap_err().kind, "cairn:wrong-code");
    assert!(!agent.has_anything());
    let code = machine.code.unwrap();
    assert_eq!(lab.approve(&machine.id, &code, "compute-1").await.unwrap().disk, "virtio-a");

    agent.until(|state| matches!(state, AgentState::Installing { .. })).await;
    // what the machine was given is in the sealed copy already
    let copy = disk::load(&folder.path().join("work/cluster.cairn")).unwrap();
    let copy = cairn_vault::file::ClusterFile::open(&copy, &passphrase()).unwrap();
    let place = copy.cluster().node(&name("compute-1")).unwrap().enrolled.clone().unwrap();
    assert!(place.boot == agent.boot.fingerprint() && place.node.is_some() && place.luks.is_some());

    agent.finish_install();
    lab.until_node("compute-1", Phase::Restarting).await;
    power.cut(&lab);
    agent.restart_into(locked);
    let power = agent.power_on(&lab).await;
    agent.until(|state| matches!(state, AgentState::Starting { .. })).await;
    power.cut(&lab);
    agent.restart_into(running);
    let _power = agent.power_on(&lab).await;
    let so = |status: &crate::api::Status| {
        status.nodes.iter().any(|node| {
            let done = |row: &cairn_workflow::Row| row.state == RowState::Done;
            node.phase == Phase::Running && node.job.as_ref().is_some_and(|job| job.rows.iter().all(done))
        })
    };
    let status = lab.until("every step is done", so).await;
    let job = status.nodes[1].job.clone().unwrap();
    assert_eq!((job.job.as_str(), job.rows.first().map(|row| row.id.as_str())), ("install", Some("approve")));
    assert!(journal(folder.path(), "work").approvals.is_empty());
    // the owner's own file was never touched
    assert_eq!(disk::load(&folder.path().join("home.cairn")).unwrap().generation(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_not_blank_is_refused_in_words_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    new_file(folder.path());
    let lab = Lab::start(folder.path(), "work");
    let full = Disk { content: DiskContent::Holds("ext4 'photos'".into()), ..sample_disk("virtio-a") };
    let agent = Agent::new(None, vec![full]);
    let _power = agent.power_on(&lab).await;
    let machine = lab.until_code().await;
    let error = lab.approve(&machine.id, &machine.code.unwrap(), "compute-1").await.unwrap_err();
    assert_eq!(error.kind, "cairn:choose-disk");
    assert!(error.detail.contains("photos"), "{}", error.detail);
    assert!(!agent.has_anything());
    assert_eq!(agent.state(), AgentState::Fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_started_as_a_bios_does_is_listed_with_the_reason_and_not_approved() {
    let folder = tempfile::tempdir().unwrap();
    new_file(folder.path());
    let lab = Lab::start(folder.path(), "work");
    let agent = Agent::blank(None);
    agent.has_no_uefi();
    let _power = agent.power_on(&lab).await;
    let machine = lab.until_code().await;
    let words = "switch its firmware to UEFI";
    assert!(machine.unfit.is_some_and(|reason| reason.contains(words)) && machine.suggested.is_none());
    let error = lab.approve(&machine.id, &machine.code.unwrap(), "compute-1").await.unwrap_err();
    assert_eq!(error.kind, "cairn:impossible");
    assert!(error.detail.contains(words), "{}", error.detail);
    assert!(!agent.has_anything());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_breaks_off_is_told_and_tried_again_later() {
    let folder = tempfile::tempdir().unwrap();
    new_file(folder.path());
    let lab = Lab::start(folder.path(), "work");
    let agent = Agent::blank(None);
    agent.break_next_installation("the cable was pulled");
    let _power = agent.power_on(&lab).await;
    let machine = lab.until_code().await;
    lab.approve(&machine.id, &machine.code.unwrap(), "compute-1").await.unwrap();
    let told = |status: &crate::api::Status| {
        let node = &status.nodes[1];
        let row = node.job.as_ref().and_then(|job| job.rows.iter().find(|row| row.state == RowState::Failed));
        row.is_some()
            && node.conditions.iter().any(|condition| condition.message.contains("the cable was pulled"))
    };
    lab.until("the failure is told", told).await;
    assert_eq!(agent.state(), AgentState::Fresh);
    agent.until(|state| matches!(state, AgentState::Installing { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_wrong_codes_make_the_machine_show_another() {
    let (_folder, lab, agent, _power, machine) = with_a_blank_machine().await;
    for _ in 0..3 {
        assert_eq!(
            lab.approve(&machine.id, "wrong", "compute-1").await.unwrap_err().kind,
            "cairn:wrong-code"
        );
    }
    let old = machine.code.clone();
    let another =
        |status: &crate::api::Status| status.machines.iter().any(|m| m.code.is_some() && m.code != old);
    lab.until("another code", another).await;
    assert_ne!(agent.code(), machine.code);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_medium_joins_without_an_approval_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = new_file(folder.path());
    let material = |expires| {
        file.keyring().join_material(&name("etcd-1"), Uuid::new_v4(), expires, Onto::Medium).unwrap()
    };
    let lab = Lab::start(folder.path(), "work");

    let late = Agent::blank(Some(material(1)));
    let power = late.power_on(&lab).await;
    let refused = |words: &'static str| {
        move |status: &crate::api::Status| {
            status.machines.iter().any(|m| m.refused.as_ref().is_some_and(|reason| reason.contains(words)))
        }
    };
    lab.until("an expired key is refused", refused("has expired")).await;
    assert!(!late.has_anything());
    power.cut(&lab);

    let medium = material(u64::MAX);
    let agent = Agent::blank(Some(medium.clone()));
    let power = agent.power_on(&lab).await;
    agent.until(|state| matches!(state, AgentState::Installing { .. })).await;
    assert_eq!(enrolled_boot(&lab.core.book, "etcd-1"), Some(agent.boot.fingerprint()));
    agent.finish_install();
    lab.until_node("etcd-1", Phase::Restarting).await;
    lab.until("the end of the installation is known", |_| {
        lab.core.book.journal(|journal| journal.approvals.values().all(|approval| approval.installed))
    })
    .await;
    power.cut(&lab);

    let copy = Agent::blank(Some(medium));
    let _power = copy.power_on(&lab).await;
    lab.until("a used key is refused", refused("was used by another machine")).await;
    assert!(!copy.has_anything());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installer_stick_with_two_blank_disks_waits_until_the_owner_names_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = new_file(folder.path());
    let stick =
        file.keyring().join_material(&name("compute-1"), Uuid::new_v4(), u64::MAX, Onto::InnerDisk).unwrap();
    let lab = Lab::start(folder.path(), "work");
    let agent = Agent::new(Some(stick), vec![sample_disk("a"), sample_disk("b")]);
    let _power = agent.power_on(&lab).await;
    let asks =
        |status: &crate::api::Status| status.machines.iter().any(|m| m.waits_for_disk && m.refused.is_some());
    let status = lab.until("the owner is asked", asks).await;
    assert!(status.machines[0].refused.as_ref().unwrap().contains("more than one would do"));
    assert!(!agent.has_anything());

    let id = &status.machines[0].id;
    let approve = async |node: Option<&str>, disk: Option<&str>| {
        let request = ApproveRequest {
            node: node.map(str::to_owned),
            disk: disk.map(str::to_owned),
            ..ApproveRequest::default()
        };
        crate::api::give(&lab.core, id, &request).await.map_err(crate::api::Problem::from)
    };
    assert_eq!(approve(None, None).await.unwrap_err().kind, "cairn:choose-disk");
    assert_eq!(approve(Some("etcd-1"), Some("b")).await.unwrap_err().kind, "cairn:other-place");
    assert_eq!(approve(None, Some("b")).await.unwrap().node, "compute-1");
    agent.until(|state| matches!(state, AgentState::Installing { .. })).await;
    assert_eq!(agent.target(), Some(Target::InnerDisk { id: "b".into(), wipe: false }));
    assert_eq!(enrolled_boot(&lab.core.book, "compute-1"), Some(agent.boot.fingerprint()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_was_killed_goes_on_with_the_same_working_directory_and_with_an_empty_one() {
    let (folder, lab, agent, power, machine) = with_a_blank_machine().await;
    lab.approve(&machine.id, &machine.code.unwrap(), "compute-1").await.unwrap();
    agent.until(|state| matches!(state, AgentState::Installing { .. })).await;
    power.cut(&lab);
    lab.kill().await;

    // in the middle of the installation, with the same directory
    let lab = Lab::start(folder.path(), "work");
    let power = agent.power_on(&lab).await;
    agent.finish_install();
    let finished = |status: &crate::api::Status| {
        let job = status.nodes[1].job.as_ref();
        job.is_some_and(|job| job.rows.iter().filter(|row| row.state == RowState::Done).count() >= 4)
    };
    lab.until("the installation is followed again", finished).await;
    power.cut(&lab);
    lab.kill().await;

    // locked, with an empty directory and the day-one file
    let lab = Lab::start(folder.path(), "empty");
    assert_eq!(enrolled_boot(&lab.core.book, "compute-1"), None);
    agent.restart_into(locked);
    let power = agent.power_on(&lab).await;
    agent.until(|state| matches!(state, AgentState::Starting { .. })).await;
    assert_eq!(enrolled_boot(&lab.core.book, "compute-1"), Some(agent.boot.fingerprint()));
    power.cut(&lab);
    lab.kill().await;

    // running, with another empty directory
    let lab = Lab::start(folder.path(), "empty-again");
    agent.restart_into(running);
    let _power = agent.power_on(&lab).await;
    agent.until_configured().await;
    let file = lab.core.book.file();
    assert!(file.cluster().node(&name("compute-1")).unwrap().enrolled.as_ref().unwrap().node.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_with_an_old_file_goes_on_from_the_newest_that_a_node_keeps_or_says_that_they_parted() {
    let (folder, lab, agent, power, machine) = with_a_blank_machine().await;
    lab.approve(&machine.id, &machine.code.unwrap(), "compute-1").await.unwrap();
    agent.until(|state| matches!(state, AgentState::Installing { .. })).await;
    agent.finish_install();
    lab.until_node("compute-1", Phase::Restarting).await;
    power.cut(&lab);
    agent.restart_into(running);
    let power = agent.power_on(&lab).await;
    agent.until_configured().await;
    let attic = |cluster: Cluster| cluster.with_node(Role::Backup, Some(name("attic")));
    let newest = lab.core.book.change(attic).await.unwrap().cluster().generation;
    lab.until("the node keeps the newest file", |_| agent.keeps() == newest).await;
    power.cut(&lab);
    lab.kill().await;

    // the day-one file, and nothing else: first the node is locked, and written down by what it shows
    let lab = Lab::start(folder.path(), "empty");
    agent.restart_into(locked);
    let power = agent.power_on(&lab).await;
    agent.until(|state| matches!(state, AgentState::Starting { .. })).await;
    power.cut(&lab);
    assert!(lab.core.book.file().cluster().node(&name("attic")).is_none());
    agent.restart_into(running);
    let power = agent.power_on(&lab).await;
    let status =
        lab.until("the newest file is gone on from", |status| status.cluster.generation >= newest).await;
    assert!(status.nodes.iter().any(|node| node.name == "attic"));
    assert!(status.cluster.ask_to_store);
    power.cut(&lab);
    lab.kill().await;

    // the same, but the owner has changed the old file meanwhile
    let lab = Lab::start(folder.path(), "parted");
    let cellar = |cluster: Cluster| cluster.with_node(Role::Backup, Some(name("cellar")));
    lab.core.book.change(cellar).await.unwrap();
    let kept = agent.keeps();
    let _power = agent.power_on(&lab).await;
    let parted = |status: &crate::api::Status| {
        status
            .machines
            .iter()
            .any(|m| m.refused.as_ref().is_some_and(|why| why.contains("apart from each other")))
            || status.nodes.iter().any(|node| {
                node.conditions.iter().any(|condition| condition.message.contains("apart from each other"))
            })
    };
    lab.until("it is said that they parted", parted).await;
    assert_eq!(agent.keeps(), kept);
    assert!(lab.core.book.file().cluster().node(&name("attic")).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_this_cluster_did_not_order_is_not_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    new_file(folder.path());
    let lab = Lab::start(folder.path(), "work");
    let agent = Agent::blank(None);
    agent.become_state(AgentState::Installing { node: "compute-1".into() });
    let _power = agent.power_on(&lab).await;
    let refused = |status: &crate::api::Status| {
        status
            .machines
            .iter()
            .any(|m| m.refused.as_ref().is_some_and(|reason| reason.contains("not by this")))
    };
    lab.until("it is refused", refused).await;
    assert_eq!(enrolled_boot(&lab.core.book, "compute-1"), None);
}

#[tokio::test]
async fn an_approval_makes_the_place_that_is_missing_and_never_one_of_etcd() {
    let (_folder, lab, _agent, _power, machine) = with_a_blank_machine().await;
    let code = machine.code.unwrap();
    assert_eq!(lab.approve(&machine.id, &code, "etcd-9").await.unwrap_err().kind, "cairn:no-more-etcd");
    assert_eq!(lab.approve(&machine.id, &code, "attic").await.unwrap_err().kind, "cairn:no-role");
    assert_eq!(lab.approve(&machine.id, "000-00x", "compute-7").await.unwrap_err().kind, "cairn:wrong-code");
    assert_eq!(lab.core.book.file().cluster().nodes.len(), 2, "a refused approval made a place");
    assert_eq!(lab.approve(&machine.id, &code, "compute-7").await.unwrap().node, "compute-7");
    let status = lab.until("the new place", |status| status.nodes.iter().any(|node| node.enrolled)).await;
    let taken = status.nodes.iter().find(|node| node.enrolled).unwrap();
    assert_eq!((taken.name.as_str(), taken.role), ("compute-7", Role::Compute));
}

#[tokio::test]
async fn of_two_approvals_at_once_for_one_place_one_stands_and_the_other_says_why_not() {
    let (_folder, lab, _agent, _power, _) = with_a_blank_machine().await;
    let other = Agent::blank(None);
    let _on = other.power_on(&lab).await;
    let both = |status: &crate::api::Status| status.machines.iter().all(|it| it.code.is_some());
    let two = |status: &crate::api::Status| status.machines.len() == 2 && both(status);
    let machines = lab.until("both show a code", two).await.machines;
    let approve = async |number: usize| {
        let machine = &machines[number];
        lab.approve(&machine.id, machine.code.as_ref().unwrap(), "compute-7").await
    };
    let answers: [_; 2] = tokio::join!(approve(0), approve(1)).into();
    let stands = answers.iter().position(Result::is_ok).unwrap();
    let refused = answers[1 - stands].as_ref().unwrap_err();
    assert_eq!(refused.kind, "cairn:place-taken");
    let holder = lab.core.book.journal(|journal| *journal.approval_of(&name("compute-7")).unwrap().0);
    assert_eq!(holder.to_string(), machines[stands].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_gets_what_it_wants_once_the_manager_has_it() {
    let folder = tempfile::tempdir().unwrap();
    new_file(folder.path());
    let lab = Lab::start(folder.path(), "work");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    lab.core.artifacts.serve_at(Some(format!("http://{}", listener.local_addr().unwrap())));
    let files = lab.core.artifacts.files();
    tokio::spawn(cairn_netboot::Http { listener, files, story: cairn_netboot::Story::new() }.serve());

    let agent = Agent::blank(None);
    let wanted = Wanted { name: "k3s".into(), version: "v1".into(), machine: "x86_64".into() };
    agent.want(wanted.clone());
    let power = agent.power_on(&lab).await;
    let machine = lab.until_code().await;
    lab.approve(&machine.id, &machine.code.unwrap(), "compute-1").await.unwrap();
    agent.until(|state| matches!(state, AgentState::Installing { .. })).await;
    agent.finish_install();
    lab.until_node("compute-1", Phase::Restarting).await;
    power.cut(&lab);
    agent.restart_into(running);
    let _power = agent.power_on(&lab).await;

    let says = |text: &'static str| {
        move |status: &crate::api::Status| {
            status.nodes.iter().flat_map(|node| &node.conditions).any(|it| it.message.contains(text))
        }
    };
    lab.until("it is said that nothing pins it", says("pins no k3s v1 for amd64")).await;
    // the owner pins it and carries the file over
    let store = Store::open(&folder.path().join("work/artifacts")).unwrap();
    let sum = Sum::of_bytes(b"the program");
    let pin = "[[artifact]]\nname = 'k3s'\nversion = 'v1'\narch = 'amd64'\nurl = 'https://a.example/k3s'\n";
    std::fs::write(store.pins_path(), format!("{pin}sha256 = '{sum}'\n")).unwrap();
    lab.until("it is said that it is missing", says("does not have k3s v1 (amd64) yet")).await;
    let carried = folder.path().join("carried over");
    std::fs::write(&carried, "the program").unwrap();
    store.take(&carried, sum).unwrap();
    lab.until("nothing is missing", |status| !says("k3s v1")(status)).await;
    assert_eq!(agent.fetched().await, [(wanted, "the program".to_owned())]);
}
