//! etcd on a small machine: its configuration and its health.

use crate::command::{self, CommandError};
use crate::running::metrics;
use cairn_model::etcd::{ELECTION_MS, EtcdVitals, HEARTBEAT_MS, QUOTA_BYTES};
use cairn_model::node_config::NodeConfig;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

pub const CONFIG_FILE: &str = "/run/cairn/etcd.yaml";
pub const UNIT: &str = "cairn-etcd.service";
const DATA: &str = "/var/lib/etcd/data";
/// Where the certificates lie.
const FILES: &str = "/var/lib/cairn/etcd";
/// Health and metrics without TLS, for this machine alone.
const LOCAL: &str = "127.0.0.1:2381";

/// More than etcd says of itself: some 130 kB were measured.
const MOST_METRICS: u64 = 1 << 20;
/// A database is not worth the pause below this.
const SMALLEST_TO_SHRINK: u64 = 64 << 20;
/// So long a member's turn lasts, in minutes; it begins in the first of them. A card of 10 MB/s writes 256 MiB in half a
/// minute.
const TURN: u64 = 10;
/// etcdctl gives up long before the turn is over.
const SHRINK_WITHIN: &str = "--command-timeout=300s";
const DAY: u64 = 24 * 60;
/// A lower count cut etcd's memory by two thirds (etcd's default is 100,000).
const SNAPSHOT_COUNT: u32 = 10_000;

/// Whether this member may be started: one whose data are gone must not found a second cluster, nor
/// vote with an empty memory under the old name.
pub fn may_start(founding: bool, has_data: bool) -> bool {
    founding || has_data
}

pub fn has_data() -> bool {
    Path::new(DATA).join("member").exists()
}

/// etcd's configuration file (etcd.io, "Configuration file"), TLS with a CA of its own per purpose.
pub fn configuration(config: &NodeConfig) -> String {
    let members: Vec<String> =
        config.etcd.iter().map(|m| format!("{}=https://{}:2380", m.name, m.address)).collect();
    let (name, address) = (&config.name, config.address);
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key}: {value}");
    };
    line("name", name);
    line("data-dir", DATA);
    line("listen-client-urls", &format!("https://{address}:2379,https://127.0.0.1:2379"));
    line("advertise-client-urls", &format!("https://{address}:2379"));
    line("listen-peer-urls", &format!("https://{address}:2380"));
    line("initial-advertise-peer-urls", &format!("https://{address}:2380"));
    line("initial-cluster", &members.join(","));
    line("initial-cluster-token", &format!("cairn-{}", config.cluster));
    line("initial-cluster-state", if config.etcd_founding { "new" } else { "existing" });
    line("listen-metrics-urls", &format!("http://{LOCAL}"));
    line("heartbeat-interval", &HEARTBEAT_MS.to_string());
    line("election-timeout", &ELECTION_MS.to_string());
    line("quota-backend-bytes", &QUOTA_BYTES.to_string());
    line("snapshot-count", &SNAPSHOT_COUNT.to_string());
    line("auto-compaction-mode", "periodic");
    line("auto-compaction-retention", "\"1h\"");
    line("log-level", "warn");
    line("client-transport-security", "");
    line("  cert-file", &format!("{FILES}/server.crt"));
    line("  key-file", &format!("{FILES}/etcd.key"));
    // By which etcd's own JSON gateway calls etcd: a server's certificate can't stand for a client.
    line("  client-cert-file", &format!("{FILES}/client.crt"));
    line("  client-key-file", &format!("{FILES}/etcd.key"));
    line("  client-cert-auth", "true");
    line("  trusted-ca-file", &format!("{FILES}/clients-ca.crt"));
    line("peer-transport-security", "");
    line("  cert-file", &format!("{FILES}/peer.crt"));
    line("  key-file", &format!("{FILES}/etcd.key"));
    line("  client-cert-auth", "true");
    line("  trusted-ca-file", &format!("{FILES}/peers-ca.crt"));
    text
}

/// Whether the member takes part: etcd answers its health check by a read that needs the quorum.
pub fn healthy() -> bool {
    ask("health", 4096).is_some_and(|body| is_healthy(&body))
}

/// What the member on this machine says of itself, when it answers.
pub fn vitals() -> Option<EtcdVitals> {
    metrics::read(&ask("metrics", MOST_METRICS)?)
}

fn ask(what: &str, most: u64) -> Option<String> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(4))).build().into();
    let mut response = agent.get(format!("http://{LOCAL}/{what}")).call().ok()?;
    response.body_mut().with_config().limit(most).read_to_string().ok()
}

/// Whether it is this member's turn to give the room of what was deleted back, in minutes since 1970.
///
/// It answers nothing meanwhile, so never two at once: each has its turn by its place in the list of members, and the
/// clocks agree within seconds. At most once a day: a database that grows back to its size each day needs the room.
pub fn may_shrink(config: &NodeConfig, minute: u64, last: Option<u64>) -> bool {
    let place = config.etcd.iter().position(|member| member.name == config.name);
    let turn = (minute / TURN).checked_rem(config.etcd.len() as u64);
    minute.is_multiple_of(TURN)
        && turn == place.map(|place| place as u64)
        && last.is_none_or(|last| minute.saturating_sub(last) >= DAY)
}

/// Whether that is worth a pause, and all others are there to bridge it.
pub fn should_shrink(config: &NodeConfig, vitals: &EtcdVitals) -> bool {
    vitals.database >= SMALLEST_TO_SHRINK
        && vitals.database_in_use < vitals.database / 2
        && vitals.peers as usize + 1 == config.etcd.len()
}

/// # Errors
/// What etcdctl said.
pub fn shrink(config: &NodeConfig) -> Result<(), CommandError> {
    let endpoint = format!("--endpoints=https://{}:2379", config.address);
    let file = |option: &str, name: &str| format!("--{option}={FILES}/{name}");
    let (ca, certificate, key) =
        (file("cacert", "servers-ca.crt"), file("cert", "client.crt"), file("key", "etcd.key"));
    command::run("etcdctl", &[&endpoint, &ca, &certificate, &key, SHRINK_WITHIN, "defrag"], b"").map(drop)
}

fn is_healthy(body: &str) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_str(body).ok();
    value.and_then(|v| v.get("health")?.as_str().map(|h| h == "true")).unwrap_or(false)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use cairn_model::cluster::Role;
    use cairn_model::node_config::EtcdMember;
    use proptest::prelude::*;

    pub(crate) fn config() -> NodeConfig {
        let member = |n: u8| EtcdMember { name: format!("etcd-{n}"), address: [10, 81, 3, 9 + n].into() };
        NodeConfig {
            cluster: "home".into(),
            name: "etcd-2".into(),
            role: Role::Etcd,
            address: [10, 81, 3, 11].into(),
            prefix_length: 24,
            manager_address: [10, 81, 3, 1].into(),
            etcd: (1..=3).map(member).collect(),
            etcd_founding: true,
            k3s: None,
        }
    }

    #[test]
    fn a_member_listens_with_tls_on_its_fixed_address_and_knows_the_others() {
        let text = configuration(&config());
        for line in [
            "name: etcd-2",
            "listen-peer-urls: https://10.81.3.11:2380",
            "initial-cluster: etcd-1=https://10.81.3.10:2380,etcd-2=https://10.81.3.11:2380,etcd-3=https://10.81.3.12:2380",
            "initial-cluster-state: new",
            "  client-cert-auth: true",
            "quota-backend-bytes: 268435456",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        assert!(!text.lines().any(|l| l.contains("0.0.0.0")));
    }

    #[test]
    fn a_member_without_its_data_does_not_start_once_the_cluster_exists() {
        assert!(may_start(true, false) && may_start(true, true) && may_start(false, true));
        assert!(!may_start(false, false));
        let later = NodeConfig { etcd_founding: false, ..config() };
        assert!(configuration(&later).contains("initial-cluster-state: existing"));
    }

    #[test]
    fn a_member_shrinks_when_that_is_worth_it_and_all_others_are_there() {
        let grown =
            EtcdVitals { database: 200 << 20, database_in_use: 20 << 20, peers: 2, ..EtcdVitals::default() };
        assert!(should_shrink(&config(), &grown));
        for not in [
            EtcdVitals { peers: 1, ..grown.clone() },
            EtcdVitals { database_in_use: 100 << 20, ..grown.clone() },
            EtcdVitals { database: 63 << 20, ..grown },
        ] {
            assert!(!should_shrink(&config(), &not), "{not:?}");
        }
    }

    #[test]
    fn each_member_has_one_minute_in_thirty_and_one_day_in_between() {
        let turns = |last| (0..30).filter(|at| may_shrink(&config(), *at, last)).collect::<Vec<_>>();
        assert_eq!(turns(None), [10]);
        assert!(turns(Some(0)).is_empty());
        assert!(may_shrink(&config(), 10 + DAY, Some(10)));
        let stranger = NodeConfig { name: "etcd-9".into(), ..config() };
        assert!((0..60).all(|minute| !may_shrink(&stranger, minute, None)));
    }

    proptest! {
        #[test]
        fn never_do_two_members_begin_within_nine_minutes(minute in 0_u64..60_000_000, apart in 0_u64..10) {
            let who = |at| {
                let may = |name: &&&str| may_shrink(&NodeConfig { name: (**name).into(), ..config() }, at, None);
                ["etcd-1", "etcd-2", "etcd-3"].iter().filter(may).copied().collect::<Vec<_>>()
            };
            let (now, soon) = (who(minute), who(minute + apart));
            prop_assert!(now.len() <= 1 && soon.len() <= 1);
            prop_assert!(now.is_empty() || soon.is_empty() || now == soon);
        }

        #[test]
        fn a_member_begins_once_in_a_day_however_often_it_looks(start in 0_u64..60_000_000) {
            let mut last = None;
            for minute in start..start + 2 * DAY {
                if may_shrink(&config(), minute, last) {
                    prop_assert!(last.is_none_or(|last| minute - last >= DAY));
                    last = Some(minute);
                }
            }
            prop_assert!(last.is_some());
        }
    }

    #[test]
    fn only_etcds_own_word_counts_as_healthy() {
        assert!(is_healthy(r#"{"health":"true","reason":""}"#));
        assert!(!is_healthy(r#"{"health":"false","reason":"RAFT NO LEADER"}"#));
        assert!(!is_healthy("<html>") && !is_healthy(""));
    }
}
