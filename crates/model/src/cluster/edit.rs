//! Changes to a cluster: each takes the cluster as it is and gives the one that is wanted.
//!
//! The generation is not counted here but when the result is sealed, so that several changes that belong
//! together become one generation.

use uuid::Uuid;

use super::{Cluster, Enrolled, Fingerprint, Name, NameError, Node, Role, SecretClass};
use crate::address::LAST_NODE_NUMBER;

/// Why a change was refused; the cluster is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Two nodes can't have one name or number.
    #[error("there is a node '{0}' already; choose another name")]
    NameTaken(Name),
    /// No such node.
    #[error("the cluster has no node '{0}'; see 'cairn file show' for those it has")]
    NoSuchNode(Name),
    /// Numbers are never used twice, so they run out after 245 nodes.
    #[error("the cluster's network has no address left, because none is ever used twice; make a new cluster")]
    AddressesUsedUp,
    /// The place is taken by another machine.
    #[error("the place of '{0}' is taken by another machine; remove that node first")]
    PlaceTaken(Name),
    /// A key stands for one machine only.
    #[error("'{node}' can't be given the key of '{holder}'; was a disk copied? Reinstall one of the two")]
    KeyInUse {
        /// The node that was to be given the key.
        node: Name,
        /// The node that has it.
        holder: Name,
    },
    /// The node was expected to be enrolled.
    #[error("no machine has taken the place of '{0}' yet; approve one first")]
    NotEnrolled(Name),
    /// A number that no edit gives.
    #[error("'{node}' has the number {number}, which was never given out; the file was changed by hand")]
    NumberOutOfRange {
        /// The node in question.
        node: Name,
        /// Its number.
        number: u8,
    },
    /// No release has such a name.
    #[error("'{0}' is no k3s release; write it as k3s does, such as v1.34.1+k3s1")]
    K3s(String),
    /// A default name that is not a name.
    #[error("a name for the new node could not be made")]
    Name(#[from] NameError),
}

impl Cluster {
    /// With one more node; without a name it gets the first free one of its role, such as `etcd-1`.
    ///
    /// # Errors
    ///
    /// The name is taken, or no address is left.
    pub fn with_node(mut self, role: Role, name: Option<Name>) -> Result<Self, EditError> {
        let name = match name {
            Some(name) => name,
            None => self.free_name(role)?,
        };
        if self.node(&name).is_some() {
            return Err(EditError::NameTaken(name));
        }
        let number = self.next_number;
        if number > LAST_NODE_NUMBER {
            return Err(EditError::AddressesUsedUp);
        }
        self.next_number = number.saturating_add(1);
        self.nodes.push(Node { name, role, number, enrolled: None });
        Ok(self)
    }

    /// Without the node. Its number is never given out again.
    ///
    /// # Errors
    ///
    /// There is no such node.
    pub fn without_node(mut self, name: &Name) -> Result<Self, EditError> {
        let before = self.nodes.len();
        self.nodes.retain(|node| node.name != *name);
        if self.nodes.len() == before {
            return Err(EditError::NoSuchNode(name.clone()));
        }
        Ok(self)
    }

    /// With a machine, known by its boot key, in the node's place. Enrolling the same machine again changes
    /// nothing, so that a repeated approval does no harm.
    ///
    /// # Errors
    ///
    /// There is no such node, another machine has its place, or the key is another node's.
    pub fn with_enrolled(self, name: &Name, boot: Fingerprint) -> Result<Self, EditError> {
        self.refuse_key_of_another(name, &boot)?;
        self.with_changed(name, |node| match &node.enrolled {
            Some(machine) if machine.boot == boot => Ok(()),
            Some(_) => Err(EditError::PlaceTaken(node.name.clone())),
            None => {
                node.enrolled = Some(Enrolled::new(boot));
                Ok(())
            }
        })
    }

    /// With the key that the enrolled machine shows when its volume is open.
    ///
    /// # Errors
    ///
    /// There is no such node, it is not enrolled, or the key is another node's.
    pub fn with_node_key(self, name: &Name, key: Fingerprint) -> Result<Self, EditError> {
        self.refuse_key_of_another(name, &key)?;
        self.with_machine(name, |machine| machine.node = Some(key))
    }

    /// With the LUKS UUID of the enrolled machine's volume, made in today's epoch of recovery keys.
    ///
    /// # Errors
    ///
    /// There is no such node, or it is not enrolled.
    pub fn with_volume(self, name: &Name, luks: Uuid) -> Result<Self, EditError> {
        let epoch = self.epochs.of(SecretClass::Luks);
        self.with_machine(name, |machine| {
            if machine.luks != Some(luks) {
                machine.luks = Some(luks);
                machine.luks_epoch = epoch;
            }
        })
    }

    /// With the fact that the etcd cluster was founded.
    #[must_use]
    pub fn with_etcd_formed(mut self) -> Self {
        self.etcd_formed = true;
        self
    }

    /// With new secrets of one class.
    #[must_use]
    pub fn with_rotated(mut self, class: SecretClass) -> Self {
        self.epochs = self.epochs.rotated(class);
        self
    }

    fn with_machine(self, name: &Name, change: impl FnOnce(&mut Enrolled)) -> Result<Self, EditError> {
        self.with_changed(name, |node| match &mut node.enrolled {
            Some(machine) => {
                change(machine);
                Ok(())
            }
            None => Err(EditError::NotEnrolled(node.name.clone())),
        })
    }

    fn with_changed(
        mut self,
        name: &Name,
        change: impl FnOnce(&mut Node) -> Result<(), EditError>,
    ) -> Result<Self, EditError> {
        let node = self.nodes.iter_mut().find(|node| node.name == *name);
        change(node.ok_or_else(|| EditError::NoSuchNode(name.clone()))?)?;
        Ok(self)
    }

    fn refuse_key_of_another(&self, name: &Name, key: &Fingerprint) -> Result<(), EditError> {
        match self.node_with_key(key) {
            Some(holder) if holder.name != *name => {
                Err(EditError::KeyInUse { node: name.clone(), holder: holder.name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The first name that a new node of this role can have.
    ///
    /// # Errors
    ///
    /// When no name can be made.
    pub fn free_name(&self, role: Role) -> Result<Name, EditError> {
        let mut count: u16 = 1;
        loop {
            let name: Name = format!("{role}-{count}").parse()?;
            // at most 245 nodes: the count stays far below its limit
            if self.node(&name).is_none() || count == u16::MAX {
                return Ok(name);
            }
            count = count.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Network;

    fn cluster() -> Cluster {
        Cluster::new("home".parse().unwrap(), Network::choose(&[77; 32]), 3, 1, 1).unwrap()
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn key(byte: u8) -> Fingerprint {
        Fingerprint::from_bytes([byte; 32])
    }

    #[test]
    fn new_nodes_are_named_by_role_and_numbered_from_ten() {
        let cluster = cluster();
        let listed: Vec<_> = cluster.nodes.iter().map(|it| (it.name.as_str(), it.number)).collect();
        assert_eq!(
            listed,
            [("etcd-1", 10), ("etcd-2", 11), ("etcd-3", 12), ("compute-1", 13), ("backup-1", 14)]
        );
        assert_eq!(cluster.check(), Ok(()));
    }

    #[test]
    fn a_removed_nodes_number_is_never_given_out_again() {
        let cluster = cluster().without_node(&name("backup-1")).unwrap();
        let cluster = cluster.with_node(Role::Backup, None).unwrap();
        assert_eq!(cluster.node(&name("backup-1")).unwrap().number, 15);
    }

    #[test]
    fn addresses_run_out_with_an_error_after_245_nodes() {
        let full = Cluster::new(name("home"), Network::choose(&[77; 32]), 0, 245, 0).unwrap();
        assert_eq!(full.check(), Ok(()));
        assert_eq!(full.with_node(Role::Compute, None), Err(EditError::AddressesUsedUp));
    }

    #[test]
    fn enrolling_the_same_machine_twice_changes_nothing() {
        let once = cluster().with_enrolled(&name("etcd-1"), key(1)).unwrap();
        assert_eq!(once.clone().with_enrolled(&name("etcd-1"), key(1)), Ok(once));
    }

    #[test]
    fn a_place_is_not_given_to_a_second_machine() {
        let once = cluster().with_enrolled(&name("etcd-1"), key(1)).unwrap();
        let twice = once.with_enrolled(&name("etcd-1"), key(2));
        assert_eq!(twice, Err(EditError::PlaceTaken(name("etcd-1"))));
    }

    #[test]
    fn a_key_stands_for_one_machine_only() {
        let once = cluster().with_enrolled(&name("etcd-1"), key(1)).unwrap();
        let in_use = EditError::KeyInUse { node: name("etcd-2"), holder: name("etcd-1") };
        assert_eq!(once.clone().with_enrolled(&name("etcd-2"), key(1)), Err(in_use.clone()));
        let both = once.with_enrolled(&name("etcd-2"), key(2)).unwrap();
        assert_eq!(both.with_node_key(&name("etcd-2"), key(1)), Err(in_use));
    }

    #[test]
    fn a_volume_keeps_the_epoch_in_which_it_was_made() {
        let volume = Uuid::from_u128(7);
        let made = cluster().with_enrolled(&name("etcd-1"), key(1)).unwrap();
        let made = made.with_volume(&name("etcd-1"), volume).unwrap().with_rotated(SecretClass::Luks);
        let again = made.with_volume(&name("etcd-1"), volume).unwrap();
        assert_eq!(again.node(&name("etcd-1")).unwrap().enrolled.as_ref().unwrap().luks_epoch, 1);
        let reinstalled = again.with_volume(&name("etcd-1"), Uuid::from_u128(8)).unwrap();
        assert_eq!(reinstalled.node(&name("etcd-1")).unwrap().enrolled.as_ref().unwrap().luks_epoch, 2);
    }

    #[test]
    fn a_node_without_a_machine_has_no_volume_and_no_key() {
        let refused = cluster().with_volume(&name("etcd-1"), Uuid::from_u128(7));
        assert_eq!(refused, Err(EditError::NotEnrolled(name("etcd-1"))));
    }

    #[test]
    fn two_nodes_with_one_number_are_found() {
        let mut cluster = cluster();
        cluster.nodes[1].number = 10;
        assert!(cluster.check().is_err());
    }
}
