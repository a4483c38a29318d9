//! The messages between the manager, or another node, (which asks) and an agent (which answers).

use crate::code::{Commitment, Nonce};
use cairn_model::cluster::Fingerprint;
use cairn_model::inventory::Inventory;
use cairn_model::log::{LogEntry, LogQuery, Unit};
use cairn_model::node_config::NodeConfig;
use cairn_model::phase::{Condition, Phase};
use cairn_model::secret::Secret;
use cairn_model::vitals::Vitals;
use cairn_vault::SignedRoster;
use cairn_vault::join::JoinTerms;
use cairn_workflow::{Event, Step};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Grows by one when a message changes so that an older side would misunderstand it.
pub const PROTOCOL: u32 = 1;

/// What may be asked. Which requests an agent answers depends on who asks and on its state.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Who and what are you? Answered to anyone: nothing in it is secret.
    Describe,
    /// First half of the code exchange; answered with [`Response::Nonce`].
    Commit {
        commitment: Commitment,
    },
    /// Second half; both sides know the code afterwards. Answered with [`Response::Done`].
    Reveal {
        nonce: Nonce,
        ca_certificate: String,
    },
    /// Proof that the medium's join key is in this machine; answered with [`Response::JoinProof`].
    ProveJoin {
        nonce: [u8; 32],
    },
    /// Install, and be this node. Answered at once; follow the events.
    Enrol(Box<EnrolOrder>),
    /// What time it is: the manager's word, which is believed without a question.
    SetClock {
        /// Milliseconds since 1970.
        unix_ms: u64,
    },
    /// The key of the data partition.
    Unlock {
        luks_uuid: Uuid,
        key: Secret,
    },
    /// All events of the running job after a number; [`Response::Event`]s, closed by `Done`.
    Follow {
        after: u64,
    },
    /// Replaces the configuration of a running node.
    Configure {
        config: Box<NodeConfig>,
        roster: SignedRoster,
    },
    /// Keep this copy of the cluster file, unless a newer one is kept already.
    Keep(Box<KeptFile>),
    /// The copy that the node keeps; answered with [`Response::Kept`].
    Kept,
    /// Where to fetch what the node wants. Answered at once; what is fetched is not wanted any more.
    Provide {
        artifacts: Vec<Artifact>,
    },
    PowerOff,
    Restart,
    /// Which units have entries in the journal; answered with [`Response::Units`].
    Units,
    /// Entries of the journal; [`Response::Log`]s, closed by `Done`.
    Log(LogQuery),
    /// Light up, so that a person finds the machine; answered with [`Response::Blinking`].
    Blink {
        seconds: u32,
    },
    /// What opens Kubernetes on the node that runs it; answered with [`Response::Kubeconfig`].
    Kubeconfig,
    /// What time it is there: the one thing that other nodes may ask. Answered with [`Response::Time`].
    Time,
}

/// What an agent answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    Description(Box<Description>),
    Nonce {
        nonce: Nonce,
    },
    JoinProof {
        terms: JoinTerms,
        proof: [u8; 32],
    },
    Event(Event),
    Units {
        units: Vec<Unit>,
    },
    /// As many as fit into a frame. None at all says only that the node is still there.
    Log {
        entries: Vec<LogEntry>,
    },
    /// Which light it is, in words.
    Blinking {
        light: String,
    },
    /// k3s.yaml, with the node's cluster address as server.
    Kubeconfig {
        text: Secret,
    },
    Time {
        /// Milliseconds since 1970.
        unix_ms: u64,
        /// Whether the clock was set since the start, or went on while the machine was off.
        known: bool,
    },
    /// None where none is kept.
    Kept {
        file: Option<Box<KeptFile>>,
    },
    Done,
    /// Says what is in the way and what to do about it.
    Refused {
        reason: String,
    },
}

/// Who an agent is and what it found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Description {
    pub protocol: u32,
    /// Version of the node image.
    pub version: String,
    pub state: AgentState,
    pub conditions: Vec<Condition>,
    pub inventory: Inventory,
    pub encryption: Encryption,
    /// Present while the machine can be enrolled.
    pub requests: Option<CertificateRequests>,
    /// The boot certificate, once the machine has one: lets a manager that lost its papers see that
    /// it issued this identity itself.
    pub boot_certificate: Option<String>,
    /// What a running node lacks and is not fetching already.
    #[serde(default)]
    pub wants: Vec<Wanted>,
    /// Which copy of the cluster file a running node keeps. Older agents keep none.
    #[serde(default)]
    pub keeps: Option<Keeps>,
    /// Local health of etcd on an etcd node.
    pub etcd_healthy: Option<bool>,
    /// Bytes: what the node uses (total less available), and what the agent itself occupies.
    pub memory_used: u64,
    pub agent_resident: u64,
    /// Older agents do not tell.
    #[serde(default)]
    pub vitals: Option<Vitals>,
}

/// Which generation of the cluster file a node keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeps {
    /// 0 for none.
    pub generation: u64,
    pub hash: String,
}

/// A copy of the cluster file, kept by a running node for a manager that comes with an older one. Only the
/// passphrase opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    pub generation: u64,
    pub hash: String,
    /// The generations that it comes from, with their hashes, as far back as they are known. No map: serde
    /// can't read one with numbers as keys inside a tagged message.
    pub ancestors: Vec<(u64, String)>,
    pub sealed: String,
}

/// Where an agent stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AgentState {
    /// Waits for an approval.
    Fresh,
    /// Started from a prepared medium.
    Joining {
        node: String,
    },
    Installing {
        node: String,
    },
    Restarting {
        node: String,
    },
    Locked {
        node: String,
    },
    Starting {
        node: String,
    },
    Running {
        node: String,
    },
}

impl AgentState {
    pub fn phase(&self) -> Phase {
        match self {
            Self::Fresh => Phase::Discovered,
            Self::Joining { .. } => Phase::Joining,
            Self::Installing { .. } => Phase::Installing,
            Self::Restarting { .. } => Phase::Restarting,
            Self::Locked { .. } => Phase::Locked,
            Self::Starting { .. } => Phase::Starting,
            Self::Running { .. } => Phase::Running,
        }
    }

    /// The node that the machine says it is; nobody has checked that.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Fresh => None,
            Self::Joining { node }
            | Self::Installing { node }
            | Self::Restarting { node }
            | Self::Locked { node }
            | Self::Starting { node }
            | Self::Running { node } => Some(node),
        }
    }
}

/// The data partition, as far as the machine can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// The UUID of the LUKS2 header: what is there, or what will be written.
    pub luks_uuid: Option<Uuid>,
    /// A LUKS2 header is on the data partition.
    pub encrypted: bool,
    pub unlocked: bool,
}

/// Requests (PKCS#10, PEM) for the certificates that a node holds. The keys never leave it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CertificateRequests {
    pub boot: String,
    pub node: String,
    pub etcd: String,
}

/// Everything that a machine needs to become a node; after this it asks for nothing more.
#[derive(Debug, Serialize, Deserialize)]
pub struct EnrolOrder {
    pub config: NodeConfig,
    pub target: Target,
    pub certificates: Certificates,
    /// Must be the one that the machine named: the key is bound to it.
    pub luks_uuid: Uuid,
    pub recovery_key: Secret,
    /// For compute nodes: what lets them into the k3s cluster.
    pub k3s_token: Option<Secret>,
    pub roster: SignedRoster,
}

/// Where the system goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "snake_case")]
pub enum Target {
    /// The prepared medium itself: only the data partition is added.
    Medium,
    /// A disk of the machine, by its stable id. `wipe` is the owner's word that what is on it may go.
    Disk { id: String, wipe: bool, source: Box<ImageSource> },
    /// The same, for a machine that was started from an installer stick: the system is on the stick.
    InnerDisk { id: String, wipe: bool },
}

impl Target {
    /// The node starts from another disk than the machine did this time.
    pub fn is_disk(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::InnerDisk { .. })
    }
}

/// Where to fetch the system from. It is not trusted: the root hash in the running kernel's command
/// line and the checksums here decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSource {
    pub version: String,
    pub root_hash: String,
    pub boot_loader: ImageFile,
    pub uki: ImageFile,
    pub root: ImageFile,
    pub verity: ImageFile,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    pub url: String,
    pub size: u64,
    pub sha256: String,
}

/// Something from outside the node image that a node needs, such as k3s.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Wanted {
    pub name: String,
    pub version: String,
    /// As `uname -m` says it.
    pub machine: String,
}

/// A wanted file, and where it is. Its checksum comes over this connection, so the server that has the
/// file need not be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    pub wanted: Wanted,
    pub file: ImageFile,
}

/// PEM certificates for a node. Public, all of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificates {
    pub agents_ca: String,
    pub boot: String,
    pub node: String,
    pub etcd: EtcdCertificates,
}

/// For the one etcd key of a node. A compute node gets only the client's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EtcdCertificates {
    /// By which a client knows the servers.
    pub servers_ca: String,
    pub client: String,
    pub member: Option<EtcdMemberCertificates>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EtcdMemberCertificates {
    /// By which a server knows its clients.
    pub clients_ca: String,
    pub server: String,
    pub peers_ca: String,
    pub peer: String,
}

/// The steps of an installation, the same for the manager that draws them and the agent that runs them.
pub fn install_steps(target: &Target) -> Vec<Step> {
    let mut steps = Vec::new();
    if target.is_disk() {
        steps.push(Step::new("check-disk", "Check that the disk is the approved one"));
        steps.push(Step::new("write-system", "Write the partition table, the system and the boot files"));
    }
    steps.push(Step::new("partition", "Make the data partition"));
    steps.push(Step::new("encrypt", "Encrypt it (LUKS2)"));
    steps.push(Step::new("file-system", "Make the file system and the node's state"));
    steps.push(Step::new("identity", "Write the boot identity"));
    steps
}

/// Who is on the other end of a connection, as far as TLS proved it.
#[derive(Clone, Debug)]
pub struct Peer {
    pub certificate: Vec<u8>,
    pub fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_file_arrives_as_it_was_sent() {
        let ancestors = vec![(1, "a".to_owned()), (2, "b".to_owned())];
        let file = KeptFile { generation: 3, hash: "c".into(), ancestors, sealed: "text".into() };
        let sent = serde_json::to_vec(&Request::Keep(Box::new(file.clone()))).unwrap();
        let Ok(Request::Keep(got)) = serde_json::from_slice(&sent) else { panic!() };
        assert_eq!(*got, file);
    }

    #[test]
    fn a_description_of_an_older_agent_is_understood() {
        let text = r#"{"protocol":1,"version":"0.1.0+ab","state":{"state":"fresh"},"conditions":[],
            "inventory":{"firmware":"other","architecture":"x86_64","product":{"vendor":"","name":"","serial":""},
                "cpu":{"model":"","cores":1,"aes":false},"memory_mib":480,"disks":[],"interfaces":[]},
            "encryption":{"luks_uuid":null,"encrypted":false,"unlocked":false},"requests":null,
            "boot_certificate":null,"etcd_healthy":null,"memory_used":0,"agent_resident":0}"#;
        let description: Description = serde_json::from_str(text).unwrap();
        assert_eq!(description.vitals, None);
    }
}
