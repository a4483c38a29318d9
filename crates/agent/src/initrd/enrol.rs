//! Whether an order may be carried out on this machine: a pure decision.

use crate::keys::Keys;
use cairn_layout::{Arch, Layout, SectorSize};
use cairn_model::inventory::{Disk, Inventory};
use cairn_vault::PrivateKey;
use cairn_vault::join::Onto;
use cairn_vault::leaf::Leaf;
use cairn_wire::fingerprint;
use cairn_wire::message::{EnrolOrder, Target};
use cairn_wire::tls;
use uuid::Uuid;

/// What the machine knows when an order arrives.
pub struct Facts<'a> {
    pub keys: &'a Keys,
    pub luks_uuid: Uuid,
    /// The CA (PEM) that the owner approved by the code, or that the medium carries.
    pub trusted_ca: &'a str,
    /// What the medium that the machine was started from is for; `None` without one.
    pub medium: Option<Onto>,
    pub inventory: &'a Inventory,
    /// The running kernel's root hash, if its command line has one.
    pub root_hash: Option<&'a str>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("the order comes from another cluster than the approved one")]
    Authority,
    #[error("the order's volume is not the one that this machine named; ask it again")]
    Volume,
    #[error("the {0} certificate in the order is not for this machine's key and name")]
    Certificate(&'static str),
    #[error("`{0}` can't be a node's name")]
    Name(String),
    #[error(
        "a prepared medium becomes the node itself, an installer stick installs on a disk in the machine, and the order says otherwise"
    )]
    Target,
    #[error("the machine was started from the disk `{0}`")]
    StartedFrom(String),
    #[error("there is no disk `{0}` in this machine")]
    NoSuchDisk(String),
    #[error(
        "disk `{id}` is not blank, and the approval does not say that it may be wiped; on it is: {content}"
    )]
    NotBlank { id: String, content: String },
    #[error("disk `{0}` can't be used: {1}")]
    Unfit(String, String),
    #[error(
        "the manager serves another version of the system than this machine was started with; restart it"
    )]
    Version,
}

/// # Errors
/// The first reason against the order.
pub fn check(order: &EnrolOrder, facts: &Facts<'_>) -> Result<(), OrderError> {
    let certificates = &order.certificates;
    let der = |pem: &str| tls::pem_to_der(pem).ok();
    if der(&certificates.agents_ca).is_none() || der(&certificates.agents_ca) != der(facts.trusted_ca) {
        return Err(OrderError::Authority);
    }
    if order.luks_uuid != facts.luks_uuid {
        return Err(OrderError::Volume);
    }
    let name = order.config.name.parse().map_err(|_| OrderError::Name(order.config.name.clone()))?;
    let fits = |pem: &str, key: &PrivateKey, name: &str| {
        der(pem).is_some_and(|leaf| {
            fingerprint::of_certificate(&leaf).is_ok_and(|found| found == key.fingerprint())
                && tls::issued_for(facts.trusted_ca, &leaf, name)
        })
    };
    if !fits(&certificates.boot, &facts.keys.boot, &Leaf::boot_name(&name)) {
        return Err(OrderError::Certificate("boot"));
    }
    if !fits(&certificates.node, &facts.keys.node, &Leaf::node_name(&name)) {
        return Err(OrderError::Certificate("node"));
    }
    match (&order.target, facts.medium) {
        (Target::Medium, Some(Onto::Medium)) => Ok(()),
        (Target::Disk { id, wipe, source }, None) => {
            if facts.root_hash != Some(source.root_hash.as_str()) {
                return Err(OrderError::Version);
            }
            check_named(id, *wipe, facts.inventory)
        }
        (Target::InnerDisk { id, wipe }, Some(Onto::InnerDisk)) => check_named(id, *wipe, facts.inventory),
        _ => Err(OrderError::Target),
    }
}

fn check_named(id: &str, wipe: bool, inventory: &Inventory) -> Result<(), OrderError> {
    let disk = inventory.disks.iter().find(|d| d.id == id);
    check_disk(disk.ok_or_else(|| OrderError::NoSuchDisk(id.to_owned()))?, wipe)
}

/// The rule that loses nobody's data: blank, or named and said to be wiped.
///
/// # Errors
/// With what is on the disk.
pub fn check_disk(disk: &Disk, wipe: bool) -> Result<(), OrderError> {
    if disk.started_from {
        return Err(OrderError::StartedFrom(disk.id.clone()));
    }
    if !disk.content.is_blank() && !wipe {
        return Err(OrderError::NotBlank { id: disk.id.clone(), content: disk.content.to_string() });
    }
    let unfit = |e: cairn_layout::LayoutError| OrderError::Unfit(disk.id.clone(), e.to_string());
    let arch: Arch = std::env::consts::ARCH.parse().map_err(unfit)?;
    Layout::plan(disk.size_bytes, SectorSize::B512, arch).map(drop).map_err(unfit)
}

/// `roothash=` of a kernel command line.
pub fn root_hash(command_line: &str) -> Option<&str> {
    command_line.split_whitespace().find_map(|word| word.strip_prefix("roothash="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::inventory::DiskContent;

    fn disk(content: DiskContent) -> Disk {
        Disk {
            id: "virtio-a".into(),
            kernel_name: "vda".into(),
            model: String::new(),
            serial: String::new(),
            size_bytes: 8 << 30,
            rotational: false,
            removable: false,
            started_from: false,
            content,
        }
    }

    #[test]
    fn a_disk_that_is_not_blank_is_refused_with_what_is_on_it_unless_wiping_was_said() {
        let full = disk(DiskContent::Holds("ext4 file system labelled photos".into()));
        let error = check_disk(&full, false).unwrap_err().to_string();
        assert!(error.contains("photos") && error.contains("virtio-a"), "{error}");
        assert_eq!(check_disk(&full, true), Ok(()));
        assert_eq!(check_disk(&disk(DiskContent::Blank), false), Ok(()));
    }

    #[test]
    fn the_disk_that_the_machine_was_started_from_is_never_installed_on() {
        let stick = Disk { started_from: true, ..disk(DiskContent::Blank) };
        assert_eq!(check_disk(&stick, true), Err(OrderError::StartedFrom("virtio-a".into())));
    }

    #[test]
    fn a_disk_that_is_too_small_is_refused_with_the_size_that_is_needed() {
        let small = Disk { size_bytes: 1 << 30, ..disk(DiskContent::Blank) };
        assert!(matches!(check_disk(&small, true), Err(OrderError::Unfit(..))));
    }

    #[test]
    fn the_root_hash_is_found_among_other_words() {
        assert_eq!(root_hash("ro quiet roothash=abcd root=/dev/mapper/root"), Some("abcd"));
        assert_eq!(root_hash("ro quiet"), None);
    }
}
