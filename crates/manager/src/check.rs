//! Checking the connection to every node of the file: what was tried, what came back, and what to do.

use crate::api::{CheckResult, CheckStatus, NodeStatus, Status};
use crate::power::is_on;
use cairn_model::etcd::{EtcdVitals, HEARTBEAT_MS, QUOTA_BYTES, Suits, WriteLatency};
use cairn_model::phase::{ConditionKind, Phase};
use cairn_model::vitals::{ServiceState, Vitals};

/// Applications, logs and certificates of others suffer beyond this; our own don't.
const CLOCK_OFF: u64 = 30;

/// Each has an image of its own, with a version of its own.
fn architecture(node: &NodeStatus) -> Option<&str> {
    node.inventory.as_ref().map(|inventory| inventory.architecture.as_str())
}

/// All checks of all nodes, in the order of the file, then those of the whole cluster.
pub fn checks(status: &Status) -> Vec<CheckStatus> {
    let mut all = Vec::new();
    for node in status.nodes.iter().filter(|node| node.enrolled) {
        let check = |what: &str, result, found: String, advice: &str| CheckStatus {
            subject: node.name.clone(),
            what: what.to_owned(),
            result,
            found,
            advice: (result != CheckResult::Good).then(|| advice.to_owned()),
        };
        let (result, found) = reached(node);
        let advice = if is_on(node) {
            "it comes by itself, within minutes; if it does not, read its console"
        } else {
            "see that it is switched on and plugged into the same network as this manager, and read its console"
        };
        all.push(check("reached, and proved to be this node", result, found, advice));
        if !is_on(node) {
            // nothing else can be known
            continue;
        }
        all.push(check("encrypted and unlocked", lock(node), lock_words(node), "the manager unlocks it by itself; if it does not, the reason stands at the node, and its recovery key can be typed at its console"));
        if let Some(version) = &node.version {
            let alike = status.nodes.iter().filter(|other| architecture(other) == architecture(node));
            let same = alike.filter_map(|other| other.version.as_ref()).max() == Some(version);
            let result = if same { CheckResult::Good } else { CheckResult::Attention };
            all.push(check(
                "version",
                result,
                version.clone(),
                "another node with such a processor has another one; updates come later, until then install it anew",
            ));
        }
        if let Some(vitals) = &node.vitals {
            let off = vitals.clock_offset_seconds;
            let result =
                if off.unsigned_abs() <= CLOCK_OFF { CheckResult::Good } else { CheckResult::Attention };
            all.push(check(
                "clock",
                result,
                format!("{off} s off the manager's"),
                "nodes take the time from the manager: look at its clock first, then at the node's log",
            ));
            if let Some(etcd) = &vitals.told.etcd {
                if let Some(drive) = &etcd.drive {
                    let (result, found) = drive_of(drive, &vitals.told);
                    all.push(check(
                        "drive fast enough for etcd",
                        result,
                        found,
                        "it was measured at the installation: a card of class A2 or an SSD is faster, and etcd on a slow one answers late",
                    ));
                }
                let (result, found) = log_of(etcd);
                all.push(check(
                    "etcd's log, peers and database",
                    result,
                    found,
                    "a worn card, a bad cable or weak Wi-Fi makes it late: look at the node's log, and replace what is at fault before its leader changes at every stall; a full database takes no more writes",
                ));
            }
            let failed = vitals.told.services.iter().filter(|service| service.state == ServiceState::Failed);
            let failed: Vec<&str> = failed.map(|service| service.unit.as_str()).collect();
            if !failed.is_empty() {
                all.push(check(
                    "services",
                    CheckResult::Failed,
                    format!("failed: {}", failed.join(", ")),
                    "read its log: `cairn node logs`, or the node's page",
                ));
            }
        }
        for condition in &node.conditions {
            let result = match condition.kind {
                ConditionKind::Fault => CheckResult::Failed,
                ConditionKind::Waiting => CheckResult::Waiting,
            };
            all.push(check(
                "condition",
                result,
                condition.message.clone(),
                "it goes away by itself when its cause does",
            ));
        }
    }
    all.extend(etcd(status));
    all
}

fn reached(node: &NodeStatus) -> (CheckResult, String) {
    match node.phase {
        Phase::Running => (CheckResult::Good, format!("running at {}", node.address)),
        Phase::Absent | Phase::Unreachable => {
            (CheckResult::Failed, format!("no answer, at {} and wherever it was heard", node.address))
        }
        phase => (CheckResult::Waiting, phase.to_string()),
    }
}

fn lock(node: &NodeStatus) -> CheckResult {
    match (node.encrypted, node.unlocked) {
        (true, true) => CheckResult::Good,
        (true, false) => CheckResult::Waiting,
        (false, _) if is_made(node) => CheckResult::Waiting,
        (false, _) => CheckResult::Failed,
    }
}

/// Its data partition is only just being made.
fn is_made(node: &NodeStatus) -> bool {
    matches!(node.phase, Phase::Discovered | Phase::Joining | Phase::Installing | Phase::Restarting)
}

fn lock_words(node: &NodeStatus) -> String {
    match (node.encrypted, node.unlocked) {
        (true, true) => "LUKS2, unlocked",
        (true, false) => "LUKS2, locked",
        (false, _) if is_made(node) => "being installed",
        (false, _) => "no encrypted data partition",
    }
    .to_owned()
}

fn drive_of(drive: &WriteLatency, told: &Vitals) -> (CheckResult, String) {
    let result = match drive.suits() {
        Suits::Well => CheckResult::Good,
        Suits::Slowly => CheckResult::Attention,
        Suits::Badly => CheckResult::Failed,
    };
    let WriteLatency { median_us, p99_us, slowest_us } = *drive;
    let mut found = format!(
        "half of the writes took at most {}, 99 of 100 at most {}, the slowest {}",
        millis(median_us),
        millis(p99_us),
        millis(slowest_us)
    );
    if let Some(a_day) = written_a_day(told) {
        found.push_str(&format!("; since its start {} MB a day are written", a_day / 1_000_000));
    }
    (result, found)
}

/// Bytes, once the node has been on for an hour: installing and starting write more than a day of rest.
fn written_a_day(told: &Vitals) -> Option<u64> {
    let long_enough = told.uptime_seconds >= 3600;
    let days = u128::from(told.uptime_seconds);
    let a_day = (u128::from(told.data_written?) * 86_400).checked_div(days)?;
    long_enough.then(|| u64::try_from(a_day).unwrap_or(u64::MAX))
}

/// What a heartbeat waits for has to be shorter than the time between two.
fn log_of(etcd: &EtcdVitals) -> (CheckResult, String) {
    let heartbeat = u64::from(HEARTBEAT_MS) * 1000;
    let late = |time: Option<u64>| time.is_some_and(|time| time > heartbeat);
    let (quota, used) = (u64::from(QUOTA_BYTES), etcd.database);
    let result = match () {
        () if used >= quota => CheckResult::Failed,
        () if late(etcd.log_p99_us) || late(etcd.round_trip_p99_us) || used > quota / 5 * 4 => {
            CheckResult::Attention
        }
        () => CheckResult::Good,
    };
    let within = |what: &str, time: Option<u64>| match time {
        Some(time) => format!("99 of 100 {what} within {}", millis(time)),
        None => format!("no {what} yet"),
    };
    let found = format!(
        "{}; {}; {} changes of the leader; database {} of {} MiB",
        within("writes to the log", etcd.log_p99_us),
        within("round trips to the slowest member", etcd.round_trip_p99_us),
        etcd.leader_changes,
        used >> 20,
        quota >> 20
    );
    (result, found)
}

fn millis(microseconds: u64) -> String {
    match microseconds {
        0..10_000 => format!("{}.{} ms", microseconds / 1000, microseconds % 1000 / 100),
        10_000.. => format!("{} ms", microseconds / 1000),
    }
}

fn etcd(status: &Status) -> Option<CheckStatus> {
    let members = &status.etcd.members;
    if members.is_empty() {
        return None;
    }
    let (healthy, count) = (status.etcd.healthy, members.len());
    let majority = healthy > count / 2;
    let result = match healthy {
        all if all == count => CheckResult::Good,
        _ if majority => CheckResult::Attention,
        _ => CheckResult::Failed,
    };
    let sick =
        members.iter().filter_map(|member| Some(format!("{}: {}", member.name, member.error.as_ref()?)));
    let mut found = format!("{healthy} of {count} members healthy");
    for words in sick {
        found.push_str("; ");
        found.push_str(&words);
    }
    let advice = if majority {
        "etcd works, and one failure more stops it: bring the missing member back"
    } else {
        "etcd has no majority and answers nothing: bring members back, their data is on their disks"
    };
    Some(CheckStatus {
        subject: "etcd".to_owned(),
        what: "members and quorum".to_owned(),
        result,
        found,
        advice: (result != CheckResult::Good).then(|| advice.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{EtcdMemberStatus, EtcdStatus};
    use crate::web::sample;
    use cairn_model::cluster::Role;
    use cairn_model::inventory::Inventory;
    use cairn_model::phase::Condition;

    fn node(name: &str, phase: Phase, unlocked: bool) -> NodeStatus {
        NodeStatus { unlocked, version: None, ..sample::node(1, name, Role::Etcd, phase) }
    }

    fn bad(status: &Status) -> Vec<(String, CheckResult)> {
        let checks = checks(status).into_iter().filter(|check| check.result != CheckResult::Good);
        checks.map(|check| (format!("{}: {}", check.subject, check.what), check.result)).collect()
    }

    #[test]
    fn a_node_that_is_not_reached_is_asked_nothing_else() {
        let nodes = vec![node("etcd-1", Phase::Unreachable, false), node("etcd-2", Phase::Locked, false)];
        let status = Status { nodes, ..Status::default() };
        let found = bad(&status);
        assert_eq!(
            found,
            [
                ("etcd-1: reached, and proved to be this node".to_owned(), CheckResult::Failed),
                ("etcd-2: reached, and proved to be this node".to_owned(), CheckResult::Waiting),
                ("etcd-2: encrypted and unlocked".to_owned(), CheckResult::Waiting),
            ]
        );
        assert!(checks(&status).iter().all(|it| it.advice.is_some() == (it.result != CheckResult::Good)));
    }

    #[test]
    fn a_node_that_was_never_seen_or_is_being_installed_lacks_no_encryption() {
        let absent = NodeStatus { enrolled: true, ..node("etcd-1", Phase::Absent, false) };
        let made = NodeStatus { encrypted: false, ..node("etcd-2", Phase::Installing, false) };
        let blank = NodeStatus { encrypted: false, ..node("etcd-3", Phase::Running, false) };
        let status = Status { nodes: vec![absent, made, blank], ..Status::default() };
        assert_eq!(
            bad(&status),
            [
                ("etcd-1: reached, and proved to be this node".to_owned(), CheckResult::Failed),
                ("etcd-2: reached, and proved to be this node".to_owned(), CheckResult::Waiting),
                ("etcd-2: encrypted and unlocked".to_owned(), CheckResult::Waiting),
                ("etcd-3: encrypted and unlocked".to_owned(), CheckResult::Failed),
            ]
        );
    }

    #[test]
    fn a_node_with_another_processor_has_a_version_of_its_own() {
        let running = |name, version: &str, architecture: &str| {
            let mut node = node(name, Phase::Running, true);
            node.version = Some(version.into());
            node.inventory = node.inventory.map(|it| Inventory { architecture: architecture.into(), ..it });
            node
        };
        let found = |other: &str| {
            let nodes = vec![running("etcd-1", "0.1.0+aa", other), running("etcd-2", "0.1.0+bb", "x86_64")];
            bad(&Status { nodes, ..Status::default() })
        };
        assert_eq!(found("aarch64"), []);
        assert_eq!(found("x86_64"), [("etcd-1: version".to_owned(), CheckResult::Attention)]);
    }

    #[test]
    fn a_drive_or_a_network_that_is_too_slow_for_etcd_and_a_full_database_are_found() {
        let drive = |p99_us, slowest_us| WriteLatency { median_us: 900, p99_us, slowest_us };
        let of = |drive, etcd: EtcdVitals| {
            let mut node = node("etcd-1", Phase::Running, true);
            let vitals = node.vitals.as_mut().unwrap();
            vitals.told.etcd = Some(EtcdVitals { drive: Some(drive), ..etcd });
            bad(&Status { nodes: vec![node], ..Status::default() })
        };
        let (fast, usual) =
            (drive(49_000, 411_000), EtcdVitals { log_p99_us: Some(512_000), ..EtcdVitals::default() });
        assert_eq!(of(fast, EtcdVitals::default()), []);
        let named = |what: &str, result| vec![(format!("etcd-1: {what}"), result)];
        let (of_drive, of_log) = ("drive fast enough for etcd", "etcd's log, peers and database");
        assert_eq!(
            of(drive(51_000, 411_000), EtcdVitals::default()),
            named(of_drive, CheckResult::Attention)
        );
        assert_eq!(of(drive(9_000, 2_600_000), EtcdVitals::default()), named(of_drive, CheckResult::Failed));
        assert_eq!(of(fast, usual), named(of_log, CheckResult::Attention));
        let far = EtcdVitals { round_trip_p99_us: Some(800_000), ..EtcdVitals::default() };
        assert_eq!(of(fast, far), named(of_log, CheckResult::Attention));
        let full = EtcdVitals { database: 256 << 20, ..EtcdVitals::default() };
        assert_eq!(of(fast, full), named(of_log, CheckResult::Failed));
    }

    #[test]
    fn what_is_written_in_a_day_is_told_once_an_hour_has_passed() {
        let of = |uptime_seconds, data_written| {
            written_a_day(&Vitals { uptime_seconds, data_written, ..Vitals::default() })
        };
        assert_eq!((of(3599, Some(1)), of(7200, None), of(0, Some(1))), (None, None, None));
        assert_eq!(of(43_200, Some(1_900_000_000)), Some(3_800_000_000));
        assert_eq!(
            [0, 940, 9_999, 10_000, 411_300].map(millis),
            ["0.0 ms", "0.9 ms", "9.9 ms", "10 ms", "411 ms"]
        );
    }

    #[test]
    fn faults_old_versions_and_a_lost_majority_are_found() {
        let mut old = node("etcd-1", Phase::Running, true);
        old.version = Some("0.1.0".into());
        old.conditions = vec![Condition::fault("the disk is full"), Condition::waiting("for k3s")];
        let mut new = node("etcd-2", Phase::Running, true);
        new.version = Some("0.2.0".into());
        let member = |name: &str, healthy: bool| EtcdMemberStatus {
            name: name.into(),
            id: None,
            peer_url: None,
            healthy,
            error: (!healthy).then(|| "no answer".into()),
        };
        let members = vec![member("etcd-1", true), member("etcd-2", false), member("etcd-3", false)];
        let etcd = EtcdStatus { members, healthy: 1 };
        let found = bad(&Status { nodes: vec![old, new], etcd, ..Status::default() });
        let results: Vec<CheckResult> = found.iter().map(|(_, result)| *result).collect();
        use CheckResult::{Attention, Failed, Waiting};
        assert_eq!(results, [Attention, Failed, Waiting, Failed], "{found:?}");
    }
}
