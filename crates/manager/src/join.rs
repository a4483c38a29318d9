//! Whether a prepared medium's join key lets a machine in: what is known of its earlier uses.

use crate::journal::Journal;
use cairn_model::cluster::{Cluster, Fingerprint};
use cairn_vault::join::{JoinTerms, Use};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::MediumKind;
    use crate::decide::tests::{cluster, key};
    use crate::journal::{Approval, Medium, Way};
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
        };
        let empty = Journal::default();
        let mut used = Journal::default();
        let medium = Medium {
            node: "etcd-1".parse().unwrap(),
            kind: MediumKind::Usb,
            sha256: String::new(),
            expires: 1,
            used_by: Some(key(2)),
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
}
