//! k3s on a compute node: configured for the external etcd, started when its artifacts are there.

use cairn_model::node_config::{K3s, K3sRole, NodeConfig};
use cairn_model::secret::Secret;
use std::fmt::Write;
use std::io::Read;
use std::net::Ipv4Addr;
use zeroize::Zeroizing;

pub const CONFIG_FILE: &str = "/run/cairn/k3s.yaml";
pub const ENVIRONMENT_FILE: &str = "/run/cairn/k3s.env";
pub const UNIT: &str = "k3s.service";
/// What the unit was started with last; lost with the unit when the machine goes down.
pub const STARTED_FILE: &str = "/run/cairn/k3s.started";
/// Where k3s writes it; `/etc/rancher` lies on the data partition.
const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";
/// k3s's own has 3 kB.
const LONGEST_KUBECONFIG: usize = 64 * 1024;
const FILES: &str = "/var/lib/cairn";

/// The unit's environment: which of k3s's two commands runs.
pub fn environment(k3s: &K3s) -> String {
    let role = match k3s.role {
        K3sRole::Server => "server",
        K3sRole::Agent { .. } => "agent",
    };
    format!("K3S_ROLE={role}\n")
}

/// k3s's configuration file (docs.k3s.io, "Configuration Options").
pub fn configuration(config: &NodeConfig, k3s: &K3s) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key}: \"{value}\"");
    };
    line("token-file", &format!("{FILES}/k3s/token"));
    line("node-name", &config.name);
    line("node-ip", &config.address.to_string());
    match k3s.role {
        K3sRole::Server => {
            let endpoints: Vec<String> =
                config.etcd.iter().map(|m| format!("https://{}:2379", m.address)).collect();
            line("datastore-endpoint", &endpoints.join(","));
            line("datastore-cafile", &format!("{FILES}/etcd/servers-ca.crt"));
            line("datastore-certfile", &format!("{FILES}/etcd/client.crt"));
            line("datastore-keyfile", &format!("{FILES}/etcd/etcd.key"));
            line("advertise-address", &config.address.to_string());
        }
        K3sRole::Agent { server } => line("server", &format!("https://{server}:6443")),
    }
    text
}

/// All that k3s reads only when it starts.
pub fn start_state(config: &NodeConfig, k3s: &K3s) -> String {
    format!("{}\n{}{}", k3s.version, environment(k3s), configuration(config, k3s))
}

/// What `systemctl` has to do with the unit, if anything. A unit that is starting counts as inactive, but may
/// wait for ever with what it was started with: so that is compared before.
pub fn due(is_active: bool, started: Option<&str>, wanted: &str) -> Option<&'static str> {
    if started != Some(wanted) {
        // starts a unit that is down, too
        return Some("restart");
    }
    (!is_active).then_some("start")
}

#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    #[error("k3s has not written {KUBECONFIG} yet; it is starting")]
    Read(#[source] std::io::Error),
    #[error("{KUBECONFIG} names no server; is k3s whole?")]
    NoServer,
}

/// What opens Kubernetes, for whoever is not on this node: k3s writes its own loopback address into it.
///
/// # Errors
/// When k3s has not written it.
pub fn kubeconfig(address: Ipv4Addr) -> Result<Secret, KubeconfigError> {
    let mut text = Zeroizing::new(String::with_capacity(LONGEST_KUBECONFIG));
    let file = std::fs::File::open(KUBECONFIG).map_err(KubeconfigError::Read)?;
    let limit = u64::try_from(LONGEST_KUBECONFIG).unwrap_or(u64::MAX);
    file.take(limit).read_to_string(&mut text).map_err(KubeconfigError::Read)?;
    with_server(&text, address).ok_or(KubeconfigError::NoServer)
}

fn with_server(text: &str, address: Ipv4Addr) -> Option<Secret> {
    let mut found = false;
    // long enough from the start: growing would leave copies behind
    let mut rewritten = String::with_capacity(text.len().saturating_mul(2));
    for line in text.lines() {
        match line.split_once("server:") {
            Some((indent, _)) if indent.trim().is_empty() => {
                found = true;
                let _ = writeln!(rewritten, "{indent}server: https://{address}:6443");
            }
            _ => {
                rewritten.push_str(line);
                rewritten.push('\n');
            }
        }
    }
    let secret = Secret::new(rewritten);
    found.then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::running::etcd::tests::config;

    fn k3s(role: K3sRole) -> K3s {
        K3s { version: "v1.33.1+k3s1".into(), role }
    }

    #[test]
    fn a_server_uses_all_etcd_members_with_its_client_certificate() {
        let text = configuration(&config(), &k3s(K3sRole::Server));
        assert!(text.contains(
            "datastore-endpoint: \"https://10.81.3.10:2379,https://10.81.3.11:2379,https://10.81.3.12:2379\""
        ));
        assert!(text.contains("datastore-certfile") && text.contains("node-ip: \"10.81.3.11\""));
        assert_eq!(environment(&k3s(K3sRole::Server)), "K3S_ROLE=server\n");
    }

    #[test]
    fn an_agent_joins_a_server_and_knows_nothing_of_etcd() {
        let role = K3sRole::Agent { server: [10, 81, 3, 20].into() };
        let text = configuration(&config(), &k3s(role));
        assert!(text.contains("server: \"https://10.81.3.20:6443\"") && !text.contains("datastore"));
        assert_eq!(environment(&k3s(role)), "K3S_ROLE=agent\n");
    }

    #[test]
    fn k3s_is_restarted_when_it_was_started_with_something_else() {
        let server = k3s(K3sRole::Server);
        let now = start_state(&config(), &server);
        assert_eq!(due(true, Some(&now), &now), None);
        assert_eq!(due(false, Some(&now), &now), Some("start"));
        assert_eq!(due(false, None, &now), Some("restart"));
        let newer = K3s { version: "v1.34.0+k3s1".into(), ..server.clone() };
        let agent = k3s(K3sRole::Agent { server: [10, 81, 3, 20].into() });
        let mut moved = config();
        moved.etcd.pop();
        for wanted in
            [start_state(&config(), &newer), start_state(&config(), &agent), start_state(&moved, &server)]
        {
            for is_active in [true, false] {
                assert_eq!(due(is_active, Some(&now), &wanted), Some("restart"));
            }
        }
    }

    #[test]
    fn a_kubeconfig_leads_to_the_node_and_is_else_as_k3s_wrote_it() {
        let text = "clusters:\n- cluster:\n    certificate-authority-data: QQ==\n    server: https://127.0.0.1:6443\n  name: default\nusers:\n- name: server:x\n";
        let secret = with_server(text, [10, 81, 3, 20].into()).unwrap();
        assert_eq!(secret.expose(), text.replace("127.0.0.1", "10.81.3.20"));
        assert!(with_server("clusters: []\n", [10, 81, 3, 20].into()).is_none());
    }
}
