//! What a machine that asks for a boot file is told. The library asks; its user answers.
//!
//! # Why nothing here can loop
//!
//! Network boot loops in two ways, and neither has a place:
//!
//! * *A loader that is told to load itself* (iPXE that gets its own name back). UEFI firmware and U-Boot are
//!   handed the final image; there is no chain. A BIOS can't start it, so there is one link: a PXE ROM is handed
//!   iPXE, and whoever says that it is iPXE is handed a script that names the image or its parts by URL. iPXE always says so, in each of its requests (user class, and option 175), and no
//!   client that does is ever handed the loader: [`Images::for_client`] decides by that alone, without memory. So each step is
//!   strictly nearer to the image. What the image itself asks afterwards is an ordinary DHCP request, and those never
//!   carry a boot file: the policy is not even asked. So within one power-on the image is started at most once.
//! * *A machine that reinstalls itself for ever* because its firmware tries the network first. Whether a
//!   machine is installed is the policy's knowledge, and for such a machine it answers
//!   [`BootAnswer::LocalDisk`]: an address, no boot file, and the firmware goes on to its disk.

use serde::{Deserialize, Serialize};

use crate::dhcp::Unable;
use crate::mac::Mac;

mod one_shot;

pub use one_shot::{OneShot, Wishes};

/// The kind of machine and firmware, from DHCP option 93 (RFC 4578 and the IANA registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arch {
    /// 0: BIOS on an x86 machine (and a Raspberry Pi's boot loader, which says 0 too).
    Bios,
    /// 6 and 15: 32-bit x86 UEFI, which boots by PXE or by HTTP.
    X86Efi,
    /// 7 and 9: x86-64 UEFI. RFC 4578 had swapped the two, and machines send both.
    X64Efi,
    /// 11: arm64 UEFI.
    Arm64Efi,
    /// 16: x86-64 UEFI, HTTP boot.
    X64Http,
    /// 19: arm64 UEFI, HTTP boot.
    Arm64Http,
    /// 21: a 32-bit Arm machine with U-Boot.
    ArmUboot,
    /// 22: an arm64 machine with U-Boot.
    Arm64Uboot,
    /// Any other number.
    Other(u16),
}

impl From<u16> for Arch {
    fn from(number: u16) -> Self {
        match number {
            0 => Self::Bios,
            6 | 15 => Self::X86Efi,
            7 | 9 => Self::X64Efi,
            11 => Self::Arm64Efi,
            16 => Self::X64Http,
            19 => Self::Arm64Http,
            21 => Self::ArmUboot,
            22 => Self::Arm64Uboot,
            other => Self::Other(other),
        }
    }
}

/// Which program is asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Client {
    /// Firmware that boots by PXE (option 60 begins with `PXEClient`).
    Pxe,
    /// Firmware that boots by HTTP (option 60 begins with `HTTPClient`).
    Http,
    /// iPXE (user class `iPXE`, or option 175): it calls itself `PXEClient` as well.
    Ipxe,
    /// U-Boot by itself (option 60 begins with `U-Boot`, or its architecture says so). When it boots as UEFI
    /// it calls itself `PXEClient` for arm64 UEFI, and is that.
    Uboot,
    /// The boot loader of a Raspberry Pi: `PXEClient` for a BIOS, by a card or an identifier of its maker.
    RaspberryPi,
    /// An operating system that only wants an address.
    System,
}

/// What is known about a machine when it asks for a boot file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineRequest {
    /// The network card that asks.
    pub mac: Mac,
    /// The first architecture of option 93.
    pub arch: Arch,
    /// Any but [`Client::System`], which is never asked for.
    pub client: Client,
    /// The 16 bytes of option 97 as they came, if it was there and well formed.
    pub uuid: Option<[u8; 16]>,
}

/// The final image for each kind of machine, by its name among the served [`Files`](crate::Files). It is an
/// EFI program that fetches nothing by DHCP: another loader here could loop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images {
    /// For x86-64 UEFI.
    pub x64: Option<String>,
    /// For arm64 UEFI.
    pub arm64: Option<String>,
    /// For x86 machines that start as a BIOS does.
    pub bios: Option<Bios>,
    /// For the boot loader of a Raspberry Pi: the first of the files that it fetches, `config.txt`. It knows their
    /// names itself, looks for each below its serial number first, and is told only that there are some.
    pub raspberry_pi: Option<String>,
}

/// The two steps of a BIOS, which starts no EFI program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bios {
    /// For a PXE ROM, by TFTP: an iPXE that drives the card through that ROM (`undionly.kpxe`).
    pub loader: String,
    /// For iPXE, by HTTP: a script that starts the image and asks DHCP nothing, such as the one of a
    /// [UKI](crate::Files::with_uki).
    pub script: String,
}

impl Images {
    /// One image, for x86-64.
    pub fn x64(name: impl Into<String>) -> Self {
        Self { x64: Some(name.into()), ..Self::default() }
    }

    /// What is for this kind of client.
    ///
    /// # Errors
    /// When nothing is, and why.
    pub fn for_client(&self, client: Client, arch: Arch) -> Result<&str, Unable> {
        match (client, arch) {
            (Client::RaspberryPi, _) => self.raspberry_pi.as_deref().ok_or(Unable::RaspberryPi),
            (_, Arch::Bios) => {
                let Bios { loader, script } = self.bios.as_ref().ok_or(Unable::Bios)?;
                match client {
                    Client::Ipxe => Ok(script),
                    Client::Pxe => Ok(loader),
                    _ => Err(Unable::Bios),
                }
            }
            (_, Arch::X64Efi | Arch::X64Http) => self.x64.as_deref().ok_or(Unable::NoImage(arch)),
            (_, Arch::Arm64Efi | Arch::Arm64Http | Arch::Arm64Uboot) => {
                self.arm64.as_deref().ok_or(Unable::NoImage(arch))
            }
            (_, Arch::X86Efi | Arch::ArmUboot | Arch::Other(_)) => Err(Unable::Arch(arch)),
        }
    }
}

/// The policy's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootAnswer {
    /// Boot the one of these that is for this machine. Its name goes out as a TFTP path or as a URL,
    /// whichever the firmware can use.
    Discover(Images),
    /// The same with another program: a memory test, a rescue system. (Usually for once, see [`OneShot`].)
    Other(Images),
    /// No boot file, and PXE's word for "boot from the disk": the firmware goes on to its next boot entry. (HTTP boot has no such word; there the firmware first asks for about a minute.)
    LocalDisk,
    /// No answer at all, as if this server were not there.
    Nothing,
}

/// Decides for each machine; called for every DHCP packet of a booting machine, so it must be quick and
/// must not block.
pub trait BootPolicy: Send + Sync {
    /// The answer for `machine`, at this moment.
    fn decide(&self, machine: &MachineRequest) -> BootAnswer;
}

impl<F> BootPolicy for F
where
    F: Fn(&MachineRequest) -> BootAnswer + Send + Sync,
{
    fn decide(&self, machine: &MachineRequest) -> BootAnswer {
        self(machine)
    }
}
