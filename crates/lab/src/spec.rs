//! What a caller asks for: a lab, its machines and their disks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::accel::Accel;
use crate::error::LabError;

/// The bridge that every lab has: machines and manager on one cable of their own.
pub const CABLE: &str = "cable";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabSpec {
    /// `None`: KVM where it is proven to work, else TCG.
    pub accel: Option<Accel>,
    pub machines: Vec<MachineSpec>,
}

impl LabSpec {
    pub fn new(machines: Vec<MachineSpec>) -> LabSpec {
        LabSpec { accel: None, machines }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineKind {
    /// Boots from a disk when one is bootable, else from the network.
    Netboot,
    /// Boots from its disks only.
    Medium,
}

/// What the machine's processor is. Both kinds of machine have UEFI, but for a [`RaspberryPi`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    X86_64,
    /// A Cortex-A53 unless told otherwise; emulated on an x86-64 host.
    Arm64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    pub name: String,
    pub kind: MachineKind,
    pub architecture: Architecture,
    pub memory_mib: u32,
    /// On a host without hardware virtualisation one is best: two took a third more of the host's time to boot.
    pub cpus: u32,
    /// QEMU's `-cpu`, for instance `max` or `max,aes=off`.
    pub cpu: String,
    /// Where the clock stands at power-on, as QEMU's `-rtc base=` takes it, for instance `1970-01-01`. `None`: now.
    /// systemd moves a clock that stands before its own release to that release.
    pub rtc_base: Option<String>,
    /// In boot order.
    pub disks: Vec<DiskSpec>,
    /// The bridge on which its network interface begins.
    pub bridge: String,
    pub card: NetworkCard,
    /// What the machine starts from, where it is a Raspberry Pi. `None`: it is one of QEMU's own, with UEFI.
    pub raspberry_pi: Option<RaspberryPi>,
    /// Variables of a firmware that has Secure Boot on and trusts whom they say. `None`: it is off.
    pub secure_boot: Option<PathBuf>,
    /// systemd units that reach the machine from outside, by SMBIOS.
    pub injected: Vec<InjectedUnit>,
    /// Whether [`Machine::exec`](crate::Machine::exec) reaches it, through an injected unit.
    pub exec: bool,
    /// Switches that only some machines need, passed to QEMU as they are.
    pub extra_arguments: Vec<String>,
}

impl MachineSpec {
    pub fn netboot(name: &str, memory_mib: u32) -> MachineSpec {
        MachineSpec {
            name: name.to_owned(),
            kind: MachineKind::Netboot,
            architecture: Architecture::X86_64,
            memory_mib,
            cpus: 1,
            cpu: "max".to_owned(),
            rtc_base: None,
            disks: Vec::new(),
            bridge: CABLE.to_owned(),
            card: NetworkCard::Virtio,
            raspberry_pi: None,
            secure_boot: None,
            injected: Vec::new(),
            exec: false,
            extra_arguments: Vec::new(),
        }
    }

    pub fn medium(name: &str, memory_mib: u32, medium: DiskSpec) -> MachineSpec {
        MachineSpec {
            kind: MachineKind::Medium,
            disks: vec![medium],
            ..MachineSpec::netboot(name, memory_mib)
        }
    }

    /// A Raspberry Pi 3. The card's size has to be a power of two. [`Machine::exec`](crate::Machine::exec) does not reach
    /// it, nor does anything injected, and its clock always starts in 1970.
    pub fn raspberry_pi(name: &str, board: RaspberryPi, card: DiskSpec) -> MachineSpec {
        let machine = MachineSpec::medium(name, 1024, card).arm64();
        MachineSpec { cpus: 4, raspberry_pi: Some(board), ..machine }
    }

    pub fn with_disk(mut self, disk: DiskSpec) -> MachineSpec {
        self.disks.push(disk);
        self
    }

    /// Makes it an arm64 machine, whose processor is a Raspberry Pi Zero 2 W's.
    pub fn arm64(mut self) -> MachineSpec {
        self.architecture = Architecture::Arm64;
        "cortex-a53".clone_into(&mut self.cpu);
        self
    }

    pub fn with_card(mut self, card: NetworkCard) -> MachineSpec {
        self.card = card;
        self
    }

    pub fn with_secure_boot(mut self, variables: impl Into<PathBuf>) -> MachineSpec {
        self.secure_boot = Some(variables.into());
        self
    }

    pub fn with_exec(mut self) -> MachineSpec {
        self.exec = true;
        self
    }

    /// The same for the same name, so that a lab made again is the same hardware.
    pub fn mac(&self) -> String {
        let hash = Sha256::digest(self.name.as_bytes());
        let tail: Vec<String> = hash.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
        format!("52:54:00:{}", tail.join(":"))
    }

    pub fn uuid(&self) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{}.lab.cairn", self.name).as_bytes())
    }

    pub(crate) fn check(&self) -> Result<(), LabError> {
        check_name("machine", &self.name, 32)?;
        self.disks.iter().try_for_each(|disk| check_name("disk", &disk.serial, 20))
    }
}

/// What a Raspberry Pi's firmware reads from the card and hands over, as files that have to stay where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaspberryPi {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    pub device_tree: PathBuf,
    pub command_line: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkCard {
    Virtio,
    /// Intel's 82574L. It has lights that its driver can make blink, and no driver in the firmware: a machine with
    /// it does not boot from the network.
    E1000e,
}

impl NetworkCard {
    pub(crate) fn device(self) -> &'static str {
        match self {
            Self::Virtio => "virtio-net-pci",
            Self::E1000e => "e1000e",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskBus {
    Virtio,
    /// A machine with such a disk can't be checkpointed while it runs: QEMU can't migrate it.
    Nvme,
    Sata,
    /// A removable stick, that [`Machine::pull_disk`](crate::Machine::pull_disk) takes out.
    Usb,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskSource {
    Blank,
    /// Begins as this image (raw), which stays as it is and has to stay where it is.
    Over(PathBuf),
    /// Begins as a copy of this image (raw), which may go away afterwards.
    Copy(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// At most 20 characters, which is what a virtio disk can tell.
    pub serial: String,
    /// In bytes; at least as large as its source.
    pub size: u64,
    pub bus: DiskBus,
    pub source: DiskSource,
}

impl DiskSpec {
    pub fn blank(serial: &str, size: u64) -> DiskSpec {
        DiskSpec { serial: serial.to_owned(), size, bus: DiskBus::Virtio, source: DiskSource::Blank }
    }

    pub fn over(serial: &str, size: u64, image: impl Into<PathBuf>) -> DiskSpec {
        DiskSpec { source: DiskSource::Over(image.into()), ..DiskSpec::blank(serial, size) }
    }

    pub fn copy_of(serial: &str, size: u64, image: impl Into<PathBuf>) -> DiskSpec {
        DiskSpec { source: DiskSource::Copy(image.into()), ..DiskSpec::blank(serial, size) }
    }

    pub fn on(mut self, bus: DiskBus) -> DiskSpec {
        self.bus = bus;
        self
    }
}

/// How slow a disk is at writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteLimit {
    /// A second.
    pub writes: u32,
    /// A second.
    pub bytes: u64,
}

/// A systemd unit that a machine finds although its image does not hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectedUnit {
    /// With its ending, for instance `fault.service`.
    pub name: String,
    pub text: String,
    /// The target that pulls it in.
    pub wanted_by: String,
}

impl InjectedUnit {
    pub fn new(name: &str, text: &str) -> InjectedUnit {
        InjectedUnit {
            name: name.to_owned(),
            text: text.to_owned(),
            wanted_by: "multi-user.target".to_owned(),
        }
    }
}

/// Names become file names, parts of QEMU's comma-separated options and interface names.
pub(crate) fn check_name(what: &'static str, name: &str, longest: usize) -> Result<(), LabError> {
    let good = name.len() <= longest
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if good { Ok(()) } else { Err(LabError::BadName { what, name: name.to_owned(), longest }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_keeps_its_mac_and_uuid_as_long_as_it_keeps_its_name() {
        let one = MachineSpec::netboot("etcd-1", 512);
        let two = MachineSpec::netboot("etcd-2", 512);
        assert_eq!(one.mac(), MachineSpec::netboot("etcd-1", 1024).mac());
        assert_eq!(one.uuid(), MachineSpec::netboot("etcd-1", 1024).uuid());
        assert_ne!(one.mac(), two.mac());
        assert_ne!(one.uuid(), two.uuid());
        assert!(one.mac().starts_with("52:54:00:"));
    }

    #[test]
    fn a_name_that_would_escape_its_place_is_refused() {
        for name in ["", "../x", "a,b", "A", "1a", "a b", "a=b", &"a".repeat(33)] {
            assert!(check_name("machine", name, 32).is_err(), "{name:?}");
        }
        assert!(check_name("machine", "compute-12", 32).is_ok());
    }
}
