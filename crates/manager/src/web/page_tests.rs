use super::*;
use crate::api::{ClusterStatus, EtcdStatus, JobStatus, MachineStatus, NetworkStatus, NodeStatus};
use crate::decide::tests::{inventory, sample_disk};
use cairn_model::cluster::Role;
use cairn_model::inventory::{Disk, DiskContent};
use cairn_model::phase::{Condition, Phase};
use cairn_workflow::{Row, RowState};

const HOSTILE: &str = "<script>alert(1)</script>\"'&";

fn node(name: &str, enrolled: bool) -> NodeStatus {
    let row = |id: &str, state, progress| Row {
        id: id.into(),
        title: format!("Step {id} {HOSTILE}"),
        state,
        progress,
        note: Some(HOSTILE.into()),
    };
    let rows = vec![row("a", RowState::Done, None), row("b", RowState::Running, Some((1, 4)))];
    NodeStatus {
        name: name.into(),
        role: Role::Etcd,
        phase: Phase::Installing,
        conditions: vec![Condition::fault(HOSTILE)],
        address: "10.1.2.10".parse().unwrap(),
        enrolled,
        encrypted: true,
        unlocked: false,
        memory_used: 5 << 20,
        agent_resident: 0,
        version: Some(HOSTILE.into()),
        job: Some(JobStatus { job: "install".into(), rows }),
    }
}

fn status() -> Status {
    let full = Disk {
        model: HOSTILE.into(),
        id: HOSTILE.into(),
        content: DiskContent::Holds(HOSTILE.into()),
        ..sample_disk("x")
    };
    let mut hardware = inventory(vec![full]);
    hardware.cpu.model = HOSTILE.into();
    let machine = MachineStatus {
        id: "id".into(),
        short_id: "abc".into(),
        phase: Phase::Discovered,
        claims: Some(HOSTILE.into()),
        code: Some("123-456".into()),
        approved: false,
        inventory: Some(hardware),
        product: HOSTILE.into(),
        suggested: Some("etcd-2".into()),
        refused: Some(HOSTILE.into()),
    };
    Status {
        cluster: ClusterStatus { name: "home".into(), generation: 3, manager_address: None },
        nodes: vec![node("etcd-1", true), node("etcd-2", false)],
        machines: vec![machine],
        etcd: EtcdStatus::default(),
        network: NetworkStatus {
            state: "refused".into(),
            message: HOSTILE.into(),
            ..NetworkStatus::default()
        },
        healthy: false,
        unhealthy_because: vec![HOSTILE.into()],
    }
}

#[test]
fn nothing_that_a_machine_says_becomes_markup() {
    let page = content(&status()).into_string();
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;"));
    // attributes are escaped too
    assert!(!page.contains("value=\"<") && !page.contains("alert(1)</script>\""));
}

#[test]
fn an_approval_form_posts_the_code_and_asks_before_a_disk_is_wiped() {
    let page = content(&status()).into_string();
    assert!(page.contains(r#"<input type="hidden" name="code" value="123-456">"#));
    assert!(page.contains(r#"name="wipe""#));
    assert!(
        page.contains(r#"<option value="etcd-2" selected>"#) && !page.contains(r#"<option value="etcd-1""#)
    );
    let mut blank = status();
    blank.machines[0].inventory = Some(inventory(vec![sample_disk("virtio-a")]));
    let page = content(&blank).into_string();
    assert!(!page.contains(r#"name="wipe""#) && page.contains(r#"<option value="virtio-a" selected>"#));
}

#[test]
fn progress_and_phase_are_said_in_words_too() {
    let page = content(&status()).into_string();
    assert!(page.contains("25%") && page.contains("install: 1 of 2 steps") && page.contains(" installing"));
    assert!(page.contains("The cluster is not healthy yet."));
}

#[test]
fn every_part_has_a_name_of_its_own() {
    let page = content(&status()).into_string();
    let mut names: Vec<&str> =
        page.split("data-part=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(count == names.len() && count >= 5, "{names:?}");
}
