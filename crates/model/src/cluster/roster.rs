//! Who is a member: the numbered list that ends trust, because certificates here never expire.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{Cluster, Fingerprint, Name, Role};

/// The members of a cluster at one generation. A higher number replaces a lower one, never the reverse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// The cluster's name.
    pub cluster: Name,
    /// The generation of the cluster file that it was made from.
    pub number: u64,
    /// Every enrolled node.
    pub members: Vec<Member>,
}

/// One enrolled node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The node's name.
    pub name: Name,
    /// Its role.
    pub role: Role,
    /// Its fixed address.
    pub address: Ipv4Addr,
    /// The key that it shows while locked.
    pub boot: Fingerprint,
    /// The key that it shows when running, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Fingerprint>,
}

impl Roster {
    /// The cluster's members: a place that no machine has taken yet is none.
    pub fn of(cluster: &Cluster) -> Self {
        let member = |node: &super::Node| {
            let machine = node.enrolled.as_ref()?;
            Some(Member {
                name: node.name.clone(),
                role: node.role,
                address: cluster.address_of(node),
                boot: machine.boot,
                node: machine.node,
            })
        };
        Self {
            cluster: cluster.name.clone(),
            number: cluster.generation,
            members: cluster.nodes.iter().filter_map(member).collect(),
        }
    }

    /// The member that shows this key.
    pub fn member_with_key(&self, key: &Fingerprint) -> Option<&Member> {
        self.members.iter().find(|member| member.boot == *key || member.node.as_ref() == Some(key))
    }

    /// Whether this list takes the place of the other: the same cluster's, and newer.
    pub fn replaces(&self, other: &Self) -> bool {
        self.cluster == other.cluster && self.number > other.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Network;

    #[test]
    fn only_enrolled_nodes_are_members_and_removing_one_ends_it() {
        let key = Fingerprint::from_bytes([9; 32]);
        let name: Name = "etcd-2".parse().unwrap();
        let cluster = Cluster::new("home".parse().unwrap(), Network::choose(&[77; 32]), 3, 0, 0).unwrap();
        let cluster = cluster.with_enrolled(&name, key).unwrap();
        let roster = Roster::of(&cluster);
        assert_eq!(roster.members.len(), 1);
        assert_eq!(roster.member_with_key(&key).unwrap().name, name);
        let removed = Roster::of(&cluster.without_node(&name).unwrap());
        assert_eq!(removed.member_with_key(&key), None);
    }

    #[test]
    fn an_older_or_foreign_roster_replaces_nothing() {
        let cluster = Cluster::new("home".parse().unwrap(), Network::choose(&[77; 32]), 3, 0, 0).unwrap();
        let roster = Roster::of(&cluster);
        let newer = Roster { number: 2, ..roster.clone() };
        let foreign = Roster { number: 9, cluster: "other".parse().unwrap(), ..roster.clone() };
        assert!(newer.replaces(&roster));
        assert!(!roster.replaces(&newer) && !roster.replaces(&roster) && !foreign.replaces(&roster));
    }
}
