//! What an owner may change with an editor: everything that the machines out there will follow.
//!
//! A machine keeps its name, number and certificates on its own disk; writing others down here would only make
//! it a stranger. Numbers that only count (generations, epochs, node numbers) are not set but raised, by what
//! they count.

use super::{Cluster, EditError, Enrolled, Name, Node};

/// Why a cluster that was changed by hand is refused; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandEditError {
    /// A counter was set.
    #[error("'{0}' is counted by Cairn; leave it as it was")]
    Counted(&'static str),
    /// An epoch was set.
    #[error("epochs are raised with 'cairn file rotate' and never lowered; leave them as they were")]
    Epochs,
    /// A member that is told wrongly founds a second etcd cluster, or waits for one that is not there.
    #[error(
        "'etcd_formed' says whether the etcd members have found each other, which Cairn sees for itself and no editor can change; leave it as it was"
    )]
    EtcdFormed,
    /// All machines have it on their disks.
    #[error("'{0}' can't be changed any more, because machines have joined that keep it on their disks")]
    Fixed(&'static str),
    /// A machine was given another name, role or number, or other keys.
    #[error(
        "the machine of '{0}' keeps its name, role, number, keys and volume on its own disk and would not follow; leave them as they were, or remove the whole node"
    )]
    Machine(Name),
    /// A number of the past.
    #[error(
        "'{node}' can't have the number {number}, which was given out before; new nodes take {next} and up"
    )]
    NumberUsed {
        /// The new node.
        node: Name,
        /// The number it was given.
        number: u8,
        /// The first number that was never given out.
        next: u8,
    },
    /// Wrong whoever had written it.
    #[error(transparent)]
    Edit(#[from] EditError),
}

impl Cluster {
    /// The cluster as it was changed by hand, if that may be. `next_number` follows the nodes by itself.
    ///
    /// # Errors
    ///
    /// The first thing that may not be.
    pub fn edited_by_hand(&self, mut wanted: Self) -> Result<Self, HandEditError> {
        if wanted.generation != self.generation {
            return Err(HandEditError::Counted("generation"));
        }
        if wanted.parent != self.parent {
            return Err(HandEditError::Counted("parent"));
        }
        if wanted.epochs != self.epochs {
            return Err(HandEditError::Epochs);
        }
        if wanted.etcd_formed != self.etcd_formed {
            return Err(HandEditError::EtcdFormed);
        }
        if self.nodes.iter().any(|node| node.enrolled.is_some()) {
            if wanted.name != self.name {
                return Err(HandEditError::Fixed("name"));
            }
            if wanted.network != self.network {
                return Err(HandEditError::Fixed("network"));
            }
        }
        for node in &wanted.nodes {
            self.accept(node)?;
        }
        let highest = wanted.nodes.iter().map(|node| node.number).max().unwrap_or_default();
        let next = self.next_number.max(highest.saturating_add(1));
        if ![self.next_number, next].contains(&wanted.next_number) {
            return Err(HandEditError::Counted("next_number"));
        }
        wanted.next_number = next;
        wanted.check()?;
        Ok(wanted)
    }

    /// A node as it was, a free place under another name, or a new one with a new number.
    fn accept(&self, node: &Node) -> Result<(), HandEditError> {
        let keys = |machine: &Enrolled| machine.keys().copied().collect::<Vec<_>>();
        let known = node.enrolled.iter().flat_map(keys).find_map(|key| self.node_with_key(&key));
        if known.is_some_and(|known| known != node) {
            return Err(HandEditError::Machine(node.name.clone()));
        }
        match self.nodes.iter().find(|before| before.number == node.number) {
            Some(before) if before.enrolled.is_some() && before != node => {
                Err(HandEditError::Machine(before.name.clone()))
            }
            None if node.number < self.next_number => Err(HandEditError::NumberUsed {
                node: node.name.clone(),
                number: node.number,
                next: self.next_number,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Network;
    use crate::cluster::{Fingerprint, Role, SecretClass};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// `etcd-1` has a machine, the other three places are free.
    fn cluster() -> Cluster {
        let cluster = Cluster::new(name("home"), Network::choose(&[77; 32]), 3, 1, 0).unwrap();
        cluster.with_enrolled(&name("etcd-1"), Fingerprint::from_bytes([1; 32])).unwrap()
    }

    fn edited(change: impl FnOnce(&mut Cluster)) -> Result<Cluster, HandEditError> {
        let before = cluster();
        let mut wanted = before.clone();
        change(&mut wanted);
        before.edited_by_hand(wanted)
    }

    fn place(place: &str, number: u8) -> Node {
        Node { name: name(place), role: Role::Compute, number, enrolled: None }
    }

    #[test]
    fn what_machines_will_follow_may_be_changed() {
        assert_eq!(edited(|_| ()), Ok(cluster()));
        assert!(edited(|it| it.k3s = "v1.35.0+k3s1".to_owned()).is_ok());
        assert!(edited(|it| it.nodes[3].name = name("attic")).is_ok());
        assert!(edited(|it| drop(it.nodes.remove(0))).is_ok());
        let more = edited(|it| it.nodes.push(place("attic", 20))).unwrap();
        assert_eq!(more.next_number, 21);
    }

    #[test]
    fn another_machine_may_be_taken_over_from_a_copy_that_went_another_way() {
        let machine = Enrolled::new(Fingerprint::from_bytes([2; 32]));
        let taken = edited(|it| it.nodes[1].enrolled = Some(machine)).unwrap();
        assert!(taken.nodes[1].enrolled.is_some());
    }

    #[test]
    fn what_only_counts_or_would_not_be_followed_is_refused() {
        type Change = fn(&mut Cluster);
        let etcd = || name("etcd-1");
        let cases: [(Change, HandEditError); 11] = [
            (|it| it.generation = 7, HandEditError::Counted("generation")),
            (|it| it.parent = Some("x".into()), HandEditError::Counted("parent")),
            (|it| it.next_number = 11, HandEditError::Counted("next_number")),
            (|it| it.next_number = 20, HandEditError::Counted("next_number")),
            (|it| it.epochs = it.epochs.clone().rotated(SecretClass::Luks), HandEditError::Epochs),
            (|it| it.etcd_formed = true, HandEditError::EtcdFormed),
            (|it| it.name = name("other"), HandEditError::Fixed("name")),
            (|it| it.network = Network::choose(&[99; 32]), HandEditError::Fixed("network")),
            (|it| it.nodes[0].role = Role::Backup, HandEditError::Machine(etcd())),
            (|it| it.nodes[0].enrolled = None, HandEditError::Machine(etcd())),
            (|it| it.nodes[0].number = 30, HandEditError::Machine(etcd())),
        ];
        for (change, expected) in cases {
            assert_eq!(edited(change), Err(expected));
        }
        assert_eq!(edited(|it| it.nodes[0].name = name("moved")), Err(HandEditError::Machine(name("moved"))),);
    }

    #[test]
    fn an_etcd_that_was_founded_is_not_founded_again_by_hand() {
        let before = cluster().with_etcd_formed();
        let wanted = Cluster { etcd_formed: false, ..before.clone() };
        assert_eq!(before.edited_by_hand(wanted), Err(HandEditError::EtcdFormed));
    }

    #[test]
    fn a_removed_nodes_number_is_not_given_out_by_hand_either() {
        let before = cluster().without_node(&name("compute-1")).unwrap();
        let mut wanted = before.clone();
        wanted.nodes.push(place("attic", 13));
        let refused = HandEditError::NumberUsed { node: name("attic"), number: 13, next: 14 };
        assert_eq!(before.edited_by_hand(wanted), Err(refused));
    }

    #[test]
    fn two_nodes_with_one_name_are_refused_as_everywhere() {
        let refused = edited(|it| it.nodes[1].name = name("etcd-3"));
        assert_eq!(refused, Err(HandEditError::Edit(EditError::NameTaken(name("etcd-3")))));
    }
}
