//! Whether a prepared medium's join key lets a machine in: what is known of its earlier uses.

use crate::approve::{self, ApproveError};
use crate::journal::{Approval, Journal, Way};
use cairn_model::cluster::{Cluster, Fingerprint};
use cairn_model::inventory::Inventory;
use cairn_vault::join::{JoinTerms, Onto, Use};

/// The use of a join key so far, from the cluster file (which outlives the journal) and the journal.
///
/// A machine that was cut off in the middle of its installation comes back with a new key of its own.
/// Its key counts as unused while the first use has not come to an end and its machine is gone.
pub fn uses(
    cluster: &Cluster,
    journal: &Journal,
    terms: &JoinTerms,
    is_reached: impl Fn(&Fingerprint) -> bool,
) -> Use {
    let Some(node) = cluster.node(&terms.node) else { return Use::NoSuchNode };
    let abandoned = |machine: &Fingerprint| {
        journal
            .approvals
            .get(machine)
            .is_some_and(|approval| approval.node == node.name && !approval.installed)
            && !is_reached(machine)
    };
    let by_file = node.enrolled.as_ref().map(|machine| machine.boot);
    let by_journal = journal.media.get(&terms.key_id).and_then(|medium| medium.used_by);
    match by_file.or(by_journal) {
        Some(machine) if abandoned(&machine) => Use::Unused,
        Some(machine) => Use::By(machine),
        None => Use::Unused,
    }
}

/// Where a machine that has proven its join key becomes a node. An installer stick's machine takes the one
/// inner disk that is blank; where there is none, or more than one, the owner has to name it.
///
/// # Errors
/// What the owner has to decide.
pub fn way(
    terms: &JoinTerms,
    approval: Option<&Approval>,
    inventory: &Inventory,
) -> Result<Way, ApproveError> {
    match (terms.onto, approval) {
        (Onto::Medium, _) => Ok(Way::Medium),
        (Onto::InnerDisk, Some(Approval { node, way: way @ Way::InnerDisk { .. }, .. }))
            if *node == terms.node =>
        {
            Ok(way.clone())
        }
        (Onto::InnerDisk, _) => approve::disk(inventory, None, false).map(Way::by_stick),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::MediumKind;
    use crate::decide::tests::{cluster, inventory, key, sample_disk};
    use crate::journal::Medium;
    use uuid::Uuid;

    #[test]
    fn a_join_key_is_used_once_unless_its_first_use_never_ended() {
        let free = cluster();
        let taken = cluster().with_enrolled(&"etcd-1".parse().unwrap(), key(1)).unwrap();
        let terms = |node: &str| JoinTerms {
            cluster: key(9),
            node: node.parse().unwrap(),
            key_id: Uuid::nil(),
            expires: 1,
            onto: Onto::Medium,
        };
        let empty = Journal::default();
        let mut used = Journal::default();
        let medium = Medium {
            node: "etcd-1".parse().unwrap(),
            kind: MediumKind::Usb,
            sha256: String::new(),
            expires: 1,
            used_by: Some(key(2)),
            address: None,
        };
        used.media.insert(Uuid::nil(), medium);
        let mut busy = Journal::default();
        let approval = Approval::new("etcd-1".parse().unwrap(), Way::Medium, None);
        busy.approvals.insert(key(1), approval.clone());
        let mut done = Journal::default();
        done.approvals.insert(key(1), Approval { installed: true, ..approval });

        let cases = [
            (&free, &empty, "etcd-1", false, Use::Unused),
            (&free, &empty, "etcd-9", false, Use::NoSuchNode),
            (&taken, &empty, "etcd-1", false, Use::By(key(1))),
            (&free, &used, "etcd-1", false, Use::By(key(2))),
            (&taken, &busy, "etcd-1", true, Use::By(key(1))),
            (&taken, &busy, "etcd-1", false, Use::Unused),
            (&taken, &done, "etcd-1", false, Use::By(key(1))),
        ];
        for (cluster, journal, node, reached, expected) in cases {
            assert_eq!(uses(cluster, journal, &terms(node), |_| reached), expected, "{node} {journal:?}");
        }
    }

    #[test]
    fn an_installer_stick_takes_the_one_blank_disk_and_otherwise_waits_for_the_owner() {
        use cairn_model::inventory::{Disk, DiskContent};
        let node: cairn_model::cluster::Name = "etcd-1".parse().unwrap();
        let terms =
            |onto| JoinTerms { cluster: key(9), node: node.clone(), key_id: Uuid::nil(), expires: 1, onto };
        let full = Disk { content: DiskContent::Holds("photos".into()), ..sample_disk("full") };
        let stick = Disk { removable: true, started_from: true, ..sample_disk("stick") };
        let inner = |id: &str, wipe| Way::InnerDisk { id: id.into(), wipe };
        let installer = terms(Onto::InnerDisk);

        let one = inventory(vec![sample_disk("a"), full.clone(), stick.clone()]);
        assert_eq!(way(&installer, None, &one), Ok(inner("a", false)));
        assert_eq!(way(&terms(Onto::Medium), None, &one), Ok(Way::Medium));
        let none = inventory(vec![full.clone(), stick.clone()]);
        assert!(matches!(way(&installer, None, &none), Err(ApproveError::ChooseDisk(..))));
        let two = inventory(vec![sample_disk("a"), sample_disk("b"), stick]);
        assert!(matches!(way(&installer, None, &two), Err(ApproveError::ChooseDisk(..))));

        let word = Approval::new(node.clone(), inner("full", true), None);
        assert_eq!(way(&installer, Some(&word), &none), Ok(inner("full", true)));
        // a word for another place, or of another kind, says nothing here
        let other = Approval::new("etcd-2".parse().unwrap(), inner("full", true), None);
        let disk = Approval::new(node.clone(), Way::Disk { id: "full".into(), wipe: true }, None);
        for approval in [other, disk] {
            assert!(way(&installer, Some(&approval), &none).is_err());
        }
    }
}
