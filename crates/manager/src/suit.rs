//! What a machine is good for, told from its hardware, and the place that it would take.

use crate::journal::Journal;
use cairn_layout::plan::MIN_DISK_BYTES;
use cairn_model::cluster::{Cluster, Name, Role};
use cairn_model::inventory::{Firmware, Inventory};

/// Less, and applications have no room beside the system: k3s asks for 512 MB of its own, an agent's least.
const LEAST_FOR_COMPUTE: u64 = 900;
/// A Pi Zero 2 W has about 420 of its 512 MB usable; less was never tried.
const LEAST: u64 = 380;
/// An external drive that is worth keeping backups on.
const BACKUP_DRIVE: u64 = 200_000_000_000;

/// The place that suits a machine, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    pub role: Role,
    /// Free, or a new one that its approval makes.
    pub place: Name,
    pub reason: String,
}

/// What of a machine rules it out, whatever place it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// The disk is written for UEFI. Boards of other architectures that have none are another matter.
    #[error(
        "it started the old way (BIOS, or CSM), and a node starts from its disk by UEFI: switch its firmware to UEFI with network boot and start it again; a machine that has no UEFI can't be a node"
    )]
    Bios,
}

pub fn possible(inventory: &Inventory) -> Result<(), Impossible> {
    let x86 = matches!(inventory.architecture.as_str(), "x86_64" | "i686");
    if x86 && inventory.firmware == Firmware::Other { Err(Impossible::Bios) } else { Ok(()) }
}

/// Why a machine can't serve at all.
pub fn unfit(inventory: &Inventory) -> Option<String> {
    if let Err(why) = possible(inventory) {
        return Some(why.to_string());
    }
    if inventory.memory_mib < LEAST {
        let have = inventory.memory_mib;
        return Some(format!("it has {have} MiB of memory, and a node needs at least {LEAST}"));
    }
    let mut disks = inventory.disks.iter();
    if !disks.any(|disk| !disk.started_from && disk.size_bytes >= MIN_DISK_BYTES) {
        let need = crate::approve::gigabytes(MIN_DISK_BYTES);
        return Some(format!("it has no disk of at least {need} GB to install on"));
    }
    None
}

fn role(inventory: &Inventory) -> (Role, String) {
    let memory = inventory.memory_mib;
    if memory < LEAST_FOR_COMPUTE {
        let reason = format!("its {memory} MiB of memory are enough for etcd and not for applications");
        return (Role::Etcd, reason);
    }
    let external: Vec<_> =
        inventory.disks.iter().filter(|disk| disk.removable && disk.size_bytes >= BACKUP_DRIVE).collect();
    match external.as_slice() {
        [drive] => {
            let size = crate::approve::gigabytes(drive.size_bytes);
            (Role::Backup, format!("one big external drive ({size} GB) is plugged in"))
        }
        _ => {
            let cores = match inventory.cpu.cores {
                1 => "one core".to_owned(),
                number => format!("{number} cores"),
            };
            (Role::Compute, format!("{memory} MiB of memory and {cores} can run applications"))
        }
    }
}

/// The first free place of the role that the hardware speaks for; where etcd has no place left, none.
pub fn suggest(cluster: &Cluster, journal: &Journal, inventory: &Inventory) -> Option<Suggestion> {
    if unfit(inventory).is_some() {
        return None;
    }
    let (role, reason) = role(inventory);
    let free = cluster
        .nodes_of(role)
        .find(|node| node.enrolled.is_none() && journal.approval_of(&node.name).is_none());
    let place = match free {
        Some(node) => node.name.clone(),
        None if role == Role::Etcd => return None,
        None => cluster.free_name(role).ok()?,
    };
    Some(Suggestion { role, place, reason })
}

/// The role of a place that is not there yet: said, else told from a name such as `compute-2`.
pub fn role_of_new(name: &Name, said: Option<Role>) -> Option<Role> {
    let by_name = name.as_str().rsplit_once('-').and_then(|(role, _)| role.parse().ok());
    said.or(by_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::{cluster, inventory, key, sample_disk};
    use crate::journal::{Approval, Way};
    use cairn_model::inventory::Disk;

    fn machine(memory_mib: u64, disks: Vec<Disk>) -> Inventory {
        Inventory { memory_mib, ..inventory(disks) }
    }

    #[test]
    fn the_hardware_speaks_for_a_role_and_the_reason_is_said() {
        let drive = Disk { removable: true, size_bytes: 4_000_000_000_000, ..sample_disk("usb") };
        let cases = [
            (machine(430, vec![sample_disk("a")]), Role::Etcd, "430 MiB"),
            (machine(8000, vec![sample_disk("a")]), Role::Compute, "8000 MiB"),
            (machine(2000, vec![sample_disk("a"), drive.clone()]), Role::Backup, "4000.0 GB"),
            (machine(8000, vec![drive.clone(), drive, sample_disk("a")]), Role::Compute, "one core"),
        ];
        for (machine, role, word) in cases {
            let found = suggest(&cluster(), &Journal::default(), &machine).unwrap();
            assert!(found.role == role && found.reason.contains(word), "{found:?}");
        }
    }

    #[test]
    fn a_free_place_comes_first_and_a_new_one_is_named_after_its_role() {
        let (mut journal, machine) = (Journal::default(), machine(8000, vec![sample_disk("a")]));
        let place = |journal: &Journal| suggest(&cluster(), journal, &machine).unwrap().place.to_string();
        assert_eq!(place(&journal), "compute-1");
        journal.approve(key(1), Approval::new("compute-1".parse().unwrap(), Way::Medium, None));
        assert_eq!(place(&journal), "compute-2");
    }

    #[test]
    fn a_machine_that_cannot_serve_is_told_so() {
        let started = Disk { started_from: true, ..sample_disk("a") };
        assert!(unfit(&machine(8000, vec![started])).unwrap().contains("disk"));
        assert!(unfit(&machine(200, vec![sample_disk("a")])).unwrap().contains("200 MiB"));
        assert_eq!(suggest(&cluster(), &Journal::default(), &machine(8000, vec![])), None);
        // etcd has its three places from the beginning
        let mut journal = Journal::default();
        for (number, node) in (1..).zip(cluster().nodes_of(Role::Etcd)) {
            journal.approve(key(number), Approval::new(node.name.clone(), Way::Medium, None));
        }
        assert_eq!(suggest(&cluster(), &journal, &machine(430, vec![sample_disk("a")])), None);
    }

    #[test]
    fn a_machine_that_started_as_a_bios_does_is_told_to_switch_to_uefi() {
        let fine = machine(8000, vec![sample_disk("a")]);
        let bios = Inventory { firmware: Firmware::Other, ..fine.clone() };
        assert!(unfit(&bios).unwrap().contains("switch its firmware to UEFI"));
        assert_eq!(suggest(&cluster(), &Journal::default(), &bios), None);
        let board = Inventory { architecture: "aarch64".into(), ..bios };
        assert_eq!((unfit(&fine), unfit(&board)), (None, None));
    }

    #[test]
    fn a_new_place_has_the_role_that_was_said_or_that_its_name_says() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        assert_eq!(role_of_new(&name("compute-7"), None), Some(Role::Compute));
        assert_eq!(role_of_new(&name("attic"), Some(Role::Backup)), Some(Role::Backup));
        assert_eq!(role_of_new(&name("attic"), None), None);
    }
}
