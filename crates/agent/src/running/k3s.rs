//! k3s on a compute node: configured for the external etcd, started when its artifacts are there.

use cairn_model::node_config::{K3s, K3sRole, NodeConfig};
use std::fmt::Write;

pub const CONFIG_FILE: &str = "/run/cairn/k3s.yaml";
pub const ENVIRONMENT_FILE: &str = "/run/cairn/k3s.env";
pub const UNIT: &str = "k3s.service";
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
}
