//! What the cluster file holds beside its seed: the cluster and its nodes.
//!
//! Every secret is derived elsewhere from the seed and the epochs here. Start with [`Cluster`]; [`edit`]
//! changes it, [`by_hand`] says what an owner's editor may, and [`roster`] says who is a member.

pub mod by_hand;
pub mod edit;
pub mod epochs;
pub mod fingerprint;
mod flat;
pub mod name;
pub mod roster;

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::by_hand::HandEditError;
pub use self::edit::EditError;
pub use self::epochs::{Epochs, FIRST_EPOCH, SecretClass};
pub use self::fingerprint::{Fingerprint, FingerprintError};
pub use self::name::{Name, NameError};
pub use self::roster::{Member, Roster};
use crate::address::{FIRST_NODE_NUMBER, LAST_NODE_NUMBER, Network};

/// The k3s release that a new cluster wants.
pub const DEFAULT_K3S: &str = "v1.34.1+k3s1";

/// Far more than any has had.
const LONGEST_K3S: usize = 64;

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Keeps the cluster's state: three small machines.
    Etcd,
    /// Runs applications.
    Compute,
    /// Keeps copies at another place.
    Backup,
}

impl Role {
    /// All roles, in the order in which nodes are listed.
    pub const ALL: [Self; 3] = [Self::Etcd, Self::Compute, Self::Backup];

    /// The role's word in names, files and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Compute => "compute",
            Self::Backup => "backup",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A role that is none of the three.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a role; the roles are etcd, compute and backup")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| RoleError(text.to_owned()))
    }
}

/// The whole configuration of a cluster, without its seed.
///
/// Unknown fields are refused: an older program that dropped them when it writes the file again would lose
/// what a newer one knew. A new field therefore means a new format of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The cluster's name.
    pub name: Name,
    /// Counts the sealed states of the file; the first is 1.
    pub generation: u64,
    /// The hash of the generation that this one was made from; the first has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Where all cluster traffic goes.
    pub network: Network,
    /// The host number that the next new node is given. Only ever rises.
    next_number: u8,
    /// Whether the etcd cluster was founded. From then on no member may found it again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub etcd_formed: bool,
    /// The k3s release that the compute nodes should run.
    pub k3s: String,
    /// Which of its successive values each class of secrets has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub epochs: Epochs,
    /// The nodes that belong to the cluster, enrolled or still expected.
    #[serde(default, rename = "node", skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Node>,
}

/// A machine that belongs to the cluster, or a place that is kept for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "flat::FlatNode", try_from = "flat::FlatNode")]
pub struct Node {
    /// The node's name, its host name too.
    pub name: Name,
    /// What it is for.
    pub role: Role,
    /// Its host number in the cluster's network.
    pub number: u8,
    /// The machine that took the place, once the owner approved it.
    pub enrolled: Option<Enrolled>,
}

/// What is known of an approved machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The key that it shows while its volume is still locked.
    pub boot: Fingerprint,
    /// The key that it shows once its volume is open; unknown until it was.
    pub node: Option<Fingerprint>,
    /// Its encrypted volume's LUKS UUID, once there is one; the recovery key is bound to it.
    pub luks: Option<Uuid>,
    /// The epoch of recovery keys on the day when the volume was made.
    pub luks_epoch: u32,
}

impl Cluster {
    /// A cluster of the first generation, with places for this many nodes of each role.
    ///
    /// # Errors
    ///
    /// When the network has no room for that many.
    pub fn new(name: Name, network: Network, etcd: u8, compute: u8, backup: u8) -> Result<Self, EditError> {
        let mut cluster = Self {
            name,
            generation: 1,
            parent: None,
            network,
            next_number: FIRST_NODE_NUMBER,
            etcd_formed: false,
            k3s: DEFAULT_K3S.to_owned(),
            epochs: Epochs::default(),
            nodes: Vec::new(),
        };
        for (role, count) in [(Role::Etcd, etcd), (Role::Compute, compute), (Role::Backup, backup)] {
            for _ in 0..count {
                cluster = cluster.with_node(role, None)?;
            }
        }
        Ok(cluster)
    }

    /// The node of this name.
    pub fn node(&self, name: &Name) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    /// The nodes of a role, in the file's order.
    pub fn nodes_of(&self, role: Role) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    /// The node that shows this key, locked or running.
    pub fn node_with_key(&self, key: &Fingerprint) -> Option<&Node> {
        self.nodes.iter().find(|node| node.enrolled.as_ref().is_some_and(|machine| machine.shows(key)))
    }

    /// The node's address, for ever.
    pub fn address_of(&self, node: &Node) -> Ipv4Addr {
        self.network.host(node.number)
    }

    /// The manager's address.
    pub fn manager_address(&self) -> Ipv4Addr {
        self.network.manager()
    }

    /// The first thing found that no honest edit leaves behind, for a file that came from outside.
    ///
    /// # Errors
    ///
    /// A k3s release that can't be one, two nodes that share a name, a number or a key, or a number out of range.
    pub fn check(&self) -> Result<(), EditError> {
        if !is_k3s_release(&self.k3s) {
            return Err(EditError::K3s(self.k3s.clone()));
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let assigned = FIRST_NODE_NUMBER <= node.number && node.number < self.next_number;
            if !assigned || node.number > LAST_NODE_NUMBER {
                return Err(EditError::NumberOutOfRange { node: node.name.clone(), number: node.number });
            }
            for other in self.nodes.iter().skip(index.saturating_add(1)) {
                if other.name == node.name || other.number == node.number {
                    return Err(EditError::NameTaken(other.name.clone()));
                }
                let shared = |key: &Fingerprint| other.enrolled.as_ref().is_some_and(|it| it.shows(key));
                if node.enrolled.iter().flat_map(Enrolled::keys).any(shared) {
                    return Err(EditError::KeyInUse { node: other.name.clone(), holder: node.name.clone() });
                }
            }
        }
        Ok(())
    }
}

impl Enrolled {
    /// A machine of which only the boot key is known yet.
    pub fn new(boot: Fingerprint) -> Self {
        Self { boot, node: None, luks: None, luks_epoch: FIRST_EPOCH }
    }

    /// The keys that the machine may show.
    pub fn keys(&self) -> impl Iterator<Item = &Fingerprint> {
        std::iter::once(&self.boot).chain(self.node.as_ref())
    }

    /// Whether this is one of the machine's keys.
    pub fn shows(&self, key: &Fingerprint) -> bool {
        self.keys().any(|own| own == key)
    }
}

/// Whether this may be the name of a k3s release. Nodes call files by it.
pub fn is_k3s_release(text: &str) -> bool {
    text.starts_with('v')
        && text.len() <= LONGEST_K3S
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+_-".contains(&byte))
}

// serde calls it with a reference
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_default(epochs: &Epochs) -> bool {
    *epochs == Epochs::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(node: &str) -> Result<Node, serde_json::Error> {
        serde_json::from_str(node)
    }

    #[test]
    fn a_node_reads_back_what_it_writes() {
        let machine = Enrolled {
            boot: Fingerprint::from_bytes([1; 32]),
            node: Some(Fingerprint::from_bytes([2; 32])),
            luks: Some(Uuid::from_u128(3)),
            luks_epoch: 4,
        };
        for enrolled in [None, Some(machine)] {
            let node = Node { name: "a".parse().unwrap(), role: Role::Etcd, number: 10, enrolled };
            assert_eq!(json(&serde_json::to_string(&node).unwrap()).unwrap(), node);
        }
    }

    #[test]
    fn a_k3s_release_is_a_word_that_a_file_can_be_called_by() {
        let network = Network::choose(&[7; 32]);
        let cluster = Cluster::new("home".parse().unwrap(), network, 3, 1, 0).unwrap();
        let long = format!("v{}", "1".repeat(64));
        for (k3s, good) in [
            (DEFAULT_K3S, true),
            ("v1.35.0-rc1+k3s1", true),
            ("", false),
            ("1.34.1+k3s1", false),
            ("stable", false),
            ("v1/../../k3s", false),
            ("v1.34.1 k3s1", false),
            ("v1\n", false),
            ("v1.3\u{00e9}", false),
            (&long[..64], true),
            (&long, false),
        ] {
            let cluster = Cluster { k3s: k3s.to_owned(), ..cluster.clone() };
            let expected = if good { Ok(()) } else { Err(EditError::K3s(k3s.to_owned())) };
            assert_eq!(cluster.check(), expected, "{k3s:?}");
        }
    }

    #[test]
    fn a_damaged_key_is_an_error_and_not_an_empty_place() {
        assert!(json(r#"{"name":"a","role":"etcd","number":10,"boot":"x"}"#).is_err());
        assert!(
            json(r#"{"name":"a","role":"etcd","number":10,"luks":"00000000-0000-0000-0000-000000000000"}"#)
                .is_err()
        );
        assert!(json(r#"{"name":"a","role":"etcd","number":10,"surprise":1}"#).is_err());
        assert!(json(r#"{"name":"a","role":"etcd","number":10}"#).is_ok());
    }
}
