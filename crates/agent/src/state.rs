//! What a node keeps: its boot identity on the boot partition, everything else on the encrypted volume.

use crate::files;
use crate::keys::Keys;
use cairn_model::etcd::WriteLatency;
use cairn_model::node_config::NodeConfig;
use cairn_model::secret::Secret;
use cairn_vault::SignedRoster;
use cairn_wire::message::{EnrolOrder, KeptFile};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Where the boot identity lies on the boot partition.
pub const IDENTITY_FILE: &str = "cairn/identity.json";
/// What a prepared medium carries until it is enrolled.
pub const JOIN_FILE: &str = "cairn/join.json";
/// What an installer stick says of the system on it: an `ImageSource`, whose addresses lead nowhere.
pub const IMAGE_FILE: &str = "cairn/image.json";
/// The keys that a prepared medium made at its first start, so that a power cut does not make it
/// another machine and its join key a used one.
pub const KEYS_FILE: &str = "cairn/keys.json";

/// A sealed copy of the cluster file, for a manager that comes with an older one.
const KEPT_FILE: &str = "cluster-file.json";
/// How fast the drive was when the node was installed on it.
const WRITE_LATENCY: &str = "write-latency.json";

/// All that a locked node needs to ask for its key. Lies in the clear: see the threat model.
#[derive(Serialize, Deserialize)]
pub struct BootIdentity {
    pub node: String,
    pub cluster: String,
    /// Its fixed address, so that it is reachable without any DHCP server.
    pub address: Ipv4Addr,
    pub prefix_length: u8,
    pub manager_address: Ipv4Addr,
    pub luks_uuid: Uuid,
    pub agents_ca: String,
    pub certificate: String,
    pub key: Secret,
}

impl BootIdentity {
    pub fn new(order: &EnrolOrder, keys: &Keys) -> Self {
        let config = &order.config;
        Self {
            node: config.name.clone(),
            cluster: config.cluster.clone(),
            address: config.address,
            prefix_length: config.prefix_length,
            manager_address: config.manager_address,
            luks_uuid: order.luks_uuid,
            agents_ca: order.certificates.agents_ca.clone(),
            certificate: order.certificates.boot.clone(),
            key: keys.boot.to_pem(),
        }
    }
}

/// The node's folder on the encrypted volume, `/var/lib/cairn` in the running system.
#[derive(Clone, Debug)]
pub struct NodeState {
    root: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{0} can't be read")]
    Read(PathBuf, #[source] io::Error),
    #[error("{0} can't be written")]
    Write(PathBuf, #[source] io::Error),
    #[error("{0} is damaged")]
    Parse(PathBuf, #[source] serde_json::Error),
}

impl NodeState {
    /// Below the mount point of the volume.
    pub fn on_volume(volume: &Path) -> Self {
        Self { root: volume.join("lib/cairn") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// # Errors
    /// When the file is missing or can't be read.
    pub fn text(&self, name: &str) -> Result<String, StateError> {
        let path = self.path(name);
        std::fs::read_to_string(&path).map_err(|e| StateError::Read(path, e))
    }

    fn put(&self, name: &str, content: &str) -> Result<(), StateError> {
        let path = self.path(name);
        files::write(&path, content.as_bytes()).map_err(|e| StateError::Write(path, e))
    }

    fn put_json(&self, name: &str, value: &impl Serialize) -> Result<(), StateError> {
        let text = serde_json::to_string_pretty(value).map_err(|e| StateError::Parse(self.path(name), e))?;
        self.put(name, &text)
    }

    /// Everything that an enrolment order says, except the recovery key, which is stored nowhere.
    ///
    /// # Errors
    /// When the volume can't be written to.
    pub fn write_enrolment(&self, order: &EnrolOrder, keys: &Keys) -> Result<(), StateError> {
        let EnrolOrder { config, target: _, certificates, luks_uuid: _, recovery_key: _, k3s_token, roster } =
            order;
        self.configure(config, roster)?;
        self.put("agents-ca.crt", &certificates.agents_ca)?;
        self.put("boot.crt", &certificates.boot)?;
        self.put("node.crt", &certificates.node)?;
        self.put("node.key", keys.node.to_pem().expose())?;
        self.put("etcd/servers-ca.crt", &certificates.etcd.servers_ca)?;
        self.put("etcd/client.crt", &certificates.etcd.client)?;
        self.put("etcd/etcd.key", keys.etcd.to_pem().expose())?;
        if let Some(member) = &certificates.etcd.member {
            self.put("etcd/clients-ca.crt", &member.clients_ca)?;
            self.put("etcd/server.crt", &member.server)?;
            self.put("etcd/peers-ca.crt", &member.peers_ca)?;
            self.put("etcd/peer.crt", &member.peer)?;
        }
        if let Some(token) = k3s_token {
            self.put("k3s/token", token.expose())?;
        }
        self.put("machine-id", &format!("{}\n", machine_id(&order.certificates.boot)))?;
        self.put("hostname", &format!("{}\n", config.name))
    }

    /// # Errors
    /// When the volume can't be written to.
    pub fn configure(&self, config: &NodeConfig, roster: &SignedRoster) -> Result<(), StateError> {
        self.put_json("roster.json", roster)?;
        self.put_json("config.json", config)
    }

    /// # Errors
    /// When the configuration is missing or damaged.
    pub fn config(&self) -> Result<NodeConfig, StateError> {
        serde_json::from_str(&self.text("config.json")?)
            .map_err(|e| StateError::Parse(self.path("config.json"), e))
    }

    /// # Errors
    /// When the volume can't be written to.
    pub fn keep(&self, file: &KeptFile) -> Result<(), StateError> {
        self.put_json(KEPT_FILE, file)
    }

    /// The copy of the cluster file that lies here. A damaged one is none: the next manager brings another.
    pub fn kept(&self) -> Option<KeptFile> {
        serde_json::from_str(&self.text(KEPT_FILE).ok()?).ok()
    }

    /// # Errors
    /// When the volume can't be written to.
    pub fn keep_write_latency(&self, measured: &WriteLatency) -> Result<(), StateError> {
        self.put_json(WRITE_LATENCY, measured)
    }

    /// As it was measured at the installation; of nodes that are older than this measurement there is none.
    pub fn write_latency(&self) -> Option<WriteLatency> {
        serde_json::from_str(&self.text(WRITE_LATENCY).ok()?).ok()
    }

    /// The number of the stored roster's generation, after its signature was checked; 0 for none.
    pub fn roster_number(&self) -> u64 {
        let number = || -> Option<u64> {
            let roster: SignedRoster = serde_json::from_str(&self.text("roster.json").ok()?).ok()?;
            Some(roster.verify(&self.text("agents-ca.crt").ok()?).ok()?.number)
        };
        number().unwrap_or(0)
    }
}

/// A machine id (machine-id(5)) that follows from the certificate: the same for a node's life, and
/// another after a reinstallation. It tells nothing, because the certificate is public.
fn machine_id(boot_certificate: &str) -> String {
    let digest = Sha256::new().chain_update(b"cairn/v1/machine-id").chain_update(boot_certificate).finalize();
    hex::encode(digest.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_cluster_file_comes_back_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let state = NodeState::on_volume(folder.path());
        assert_eq!(state.kept(), None);
        let ancestors = vec![(6, "ab".to_owned())];
        let file = KeptFile { generation: 7, hash: "cd".into(), ancestors, sealed: "text\n".into() };
        state.keep(&file).unwrap();
        assert_eq!(state.kept(), Some(file));
        std::fs::write(state.path(KEPT_FILE), "{").unwrap();
        assert_eq!(state.kept(), None);
    }

    #[test]
    fn what_was_measured_at_the_installation_is_told_later() {
        let folder = tempfile::tempdir().unwrap();
        let state = NodeState::on_volume(folder.path());
        assert_eq!(state.write_latency(), None);
        let measured = WriteLatency { median_us: 900, p99_us: 4_000, slowest_us: 411_000 };
        state.keep_write_latency(&measured).unwrap();
        assert_eq!(state.write_latency(), Some(measured));
    }

    #[test]
    fn a_machine_id_has_the_form_that_systemd_wants() {
        let id = machine_id("certificate");
        assert_eq!(id.len(), 32);
        assert!(id.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase()));
        assert_ne!(id, machine_id("another"));
    }
}
