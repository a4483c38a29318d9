//! etcd on a small machine: its configuration and its health.

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

/// SD cards stall for up to 411 ms (measured), so the tail decides, not the mean: etcd's default of
/// 100 ms and 1,000 ms would elect a leader at every stall. The same on all members.
const HEARTBEAT_MS: u32 = 500;
const ELECTION_MS: u32 = 5_000;
/// On 512 MB the whole database has to stay in the page cache.
const QUOTA_BYTES: u32 = 256 << 20;
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
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(4))).build().into();
    agent
        .get(format!("http://{LOCAL}/health"))
        .call()
        .and_then(|mut response| response.body_mut().with_config().limit(4096).read_to_string())
        .is_ok_and(|body| is_healthy(&body))
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
    fn only_etcds_own_word_counts_as_healthy() {
        assert!(is_healthy(r#"{"health":"true","reason":""}"#));
        assert!(!is_healthy(r#"{"health":"false","reason":"RAFT NO LEADER"}"#));
        assert!(!is_healthy("<html>") && !is_healthy(""));
    }
}
