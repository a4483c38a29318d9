//! Whether an approval may stand: the place, the disk, and what is on it.

use crate::journal::{Journal, Way};
use cairn_layout::plan::MIN_DISK_BYTES;
use cairn_model::cluster::{Cluster, Fingerprint, Name};
use cairn_model::inventory::{Disk, Inventory};

/// Why an approval was refused; nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApproveError {
    #[error("no such machine is here; it may have been switched off or have got a new key by a restart")]
    NoSuchMachine,
    #[error("this machine does not wait for an approval")]
    NotWaiting,
    #[error("this machine can't be a node: {0}")]
    Impossible(crate::suit::Impossible),
    #[error("the machine has shown no code yet; wait for it")]
    NoCode,
    #[error("this is not the code that the machine shows; look at its console and compare again{}",
        if *.another { ". After three wrong codes it shows another one" } else { "" })]
    WrongCode { another: bool },
    #[error("the cluster has no node '{0}'")]
    NoSuchNode(Name),
    #[error("'{0}' is no name for a node: use small letters, digits and hyphens")]
    BadName(String),
    #[error("the place of '{0}' is taken by another machine; choose a free place or remove that node first")]
    PlaceTaken(Name),
    #[error("no place suits this machine by itself: {0}; name the place that it should take")]
    NoPlace(String),
    #[error("the cluster has no place '{0}', and its name does not say what it should be: say the role too")]
    NoRole(Name),
    #[error(
        "etcd has the places that it was founded with; take a free one of those, or remove a lost member first"
    )]
    NoMoreEtcd,
    #[error("the machine's installer stick is for '{0}' and no other node")]
    OtherPlace(Name),
    #[error("the machine has no disk '{0}'; it has: {1}")]
    NoSuchDisk(String, String),
    #[error(
        "the disk '{disk}' is not blank: {content}. Approve again with this disk named and wipe set if that may go"
    )]
    NotBlank { disk: String, content: String },
    #[error("the disk '{disk}' has {have} GB, and a node needs at least {need} GB")]
    TooSmall { disk: String, have: String, need: String },
    #[error("the machine was started from the disk '{0}'; choose another")]
    StartedFrom(String),
    #[error("no disk was named, and {0}; name one of: {1}")]
    ChooseDisk(&'static str, String),
    #[error("the approval could not be written down: {0}")]
    Store(String),
}

/// Whether a machine may take the node's place: nobody has it, and it was promised to nobody who is here.
pub fn place<'a>(
    cluster: &'a Cluster,
    journal: &Journal,
    name: &Name,
    machine: &Fingerprint,
    is_reached: impl Fn(&Fingerprint) -> bool,
) -> Result<&'a cairn_model::cluster::Node, ApproveError> {
    let node = cluster.node(name).ok_or_else(|| ApproveError::NoSuchNode(name.clone()))?;
    // A machine that was cut off in the middle of its installation comes back with a new key.
    let abandoned = |holder: &Fingerprint| {
        journal.approvals.get(holder).is_some_and(|a| a.node == *name && !a.installed) && !is_reached(holder)
    };
    let holds = |holder: &Fingerprint| holder != machine && !abandoned(holder);
    let promised = |other: &Fingerprint| other != machine && is_reached(other);
    let taken = node.enrolled.as_ref().is_some_and(|holder| holds(&holder.boot))
        || journal.approval_of(name).is_some_and(|(other, _)| promised(other));
    if taken { Err(ApproveError::PlaceTaken(name.clone())) } else { Ok(node) }
}

/// The disk to install on. A disk that is not blank needs the owner's word for this very disk.
pub fn disk(inventory: &Inventory, named: Option<&str>, wipe: bool) -> Result<Way, ApproveError> {
    let Some(named) = named else { return choose(inventory) };
    let disk = inventory
        .disks
        .iter()
        .find(|disk| disk.id == named)
        .ok_or_else(|| ApproveError::NoSuchDisk(named.to_owned(), list(inventory)))?;
    if disk.started_from {
        return Err(ApproveError::StartedFrom(disk.id.clone()));
    }
    if disk.size_bytes < MIN_DISK_BYTES {
        let (have, need) = (gigabytes(disk.size_bytes), gigabytes(MIN_DISK_BYTES));
        return Err(ApproveError::TooSmall { disk: disk.id.clone(), have, need });
    }
    if !disk.content.is_blank() && !wipe {
        let content = disk.content.to_string();
        return Err(ApproveError::NotBlank { disk: disk.id.clone(), content });
    }
    Ok(Way::Disk { id: disk.id.clone(), wipe: wipe && !disk.content.is_blank() })
}

fn choose(inventory: &Inventory) -> Result<Way, ApproveError> {
    let mut fit = inventory.disks.iter().filter(|disk| fits(disk));
    match (fit.next(), fit.next()) {
        (Some(disk), None) => Ok(Way::Disk { id: disk.id.clone(), wipe: false }),
        (None, _) => Err(ApproveError::ChooseDisk("none is blank, fixed and large enough", list(inventory))),
        (Some(_), Some(_)) => Err(ApproveError::ChooseDisk("more than one would do", list(inventory))),
    }
}

/// Whether a disk may be taken without being named.
pub fn fits(disk: &Disk) -> bool {
    disk.content.is_blank() && !disk.removable && !disk.started_from && disk.size_bytes >= MIN_DISK_BYTES
}

fn list(inventory: &Inventory) -> String {
    let words = |disk: &Disk| format!("{} ({} GB, {})", disk.id, gigabytes(disk.size_bytes), disk.content);
    match inventory.disks.as_slice() {
        [] => "no disk at all".to_owned(),
        disks => disks.iter().map(words).collect::<Vec<_>>().join("; "),
    }
}

/// As the makers of disks count, with one decimal.
pub fn gigabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::{cluster, inventory, key, sample_disk};
    use crate::journal::Approval;
    use cairn_model::inventory::DiskContent;

    #[test]
    fn a_disk_that_is_not_blank_is_not_taken_without_the_owners_word_for_it() {
        let full = Disk { content: DiskContent::Holds("ext4 'family photos'".into()), ..sample_disk("full") };
        let machine = inventory(vec![full, sample_disk("empty")]);
        let error = disk(&machine, Some("full"), false).unwrap_err();
        assert!(error.to_string().contains("family photos"), "{error}");
        assert_eq!(disk(&machine, Some("full"), true), Ok(Way::Disk { id: "full".into(), wipe: true }));
        // the word is worth nothing for a disk that does not need it
        assert_eq!(disk(&machine, Some("empty"), true), Ok(Way::Disk { id: "empty".into(), wipe: false }));
        assert_eq!(disk(&machine, None, true), Ok(Way::Disk { id: "empty".into(), wipe: false }));
    }

    #[test]
    fn a_disk_is_chosen_only_when_there_is_no_doubt() {
        let ok = Ok(Way::Disk { id: "a".into(), wipe: false });
        let stick = Disk { removable: true, ..sample_disk("stick") };
        let small = Disk { size_bytes: MIN_DISK_BYTES - 1, ..sample_disk("small") };
        let started = Disk { started_from: true, ..sample_disk("started") };
        assert_eq!(
            disk(&inventory(vec![sample_disk("a"), stick.clone(), small.clone(), started]), None, false),
            ok
        );
        let two = disk(&inventory(vec![sample_disk("a"), sample_disk("b")]), None, false).unwrap_err();
        assert!(two.to_string().contains("a (") && two.to_string().contains("b ("), "{two}");
        assert!(disk(&inventory(vec![stick]), None, false).is_err());
        assert!(disk(&inventory(vec![]), None, false).unwrap_err().to_string().contains("no disk at all"));
        assert!(matches!(
            disk(&inventory(vec![small]), Some("small"), false),
            Err(ApproveError::TooSmall { .. })
        ));
        assert!(matches!(disk(&inventory(vec![]), Some("x"), false), Err(ApproveError::NoSuchDisk(..))));
    }

    #[test]
    fn a_place_is_free_until_a_machine_is_installed_in_it() {
        let node: Name = "etcd-1".parse().unwrap();
        let taken = cluster().with_enrolled(&node, key(1)).unwrap();
        let mut journal = Journal::default();
        assert!(place(&cluster(), &journal, &node, &key(2), |_| true).is_ok());
        assert!(place(&taken, &journal, &node, &key(1), |_| true).is_ok());
        assert_eq!(
            place(&taken, &journal, &node, &key(2), |_| false),
            Err(ApproveError::PlaceTaken(node.clone()))
        );
        journal.approvals.insert(key(1), Approval::new(node.clone(), Way::Medium, None));
        assert!(place(&cluster(), &journal, &node, &key(1), |_| true).is_ok());
        assert_eq!(
            place(&cluster(), &journal, &node, &key(2), |_| true),
            Err(ApproveError::PlaceTaken(node.clone()))
        );
        assert!(place(&cluster(), &journal, &node, &key(2), |_| false).is_ok());
        assert!(place(&taken, &journal, &node, &key(2), |_| true).is_err());
        assert!(place(&taken, &journal, &node, &key(2), |_| false).is_ok());
        let stranger = "etcd-77".parse().unwrap();
        assert!(matches!(
            place(&taken, &journal, &stranger, &key(2), |_| false),
            Err(ApproveError::NoSuchNode(_))
        ));
    }
}
