//! What a client is told to start: its kind and the images that there are decide, then the policy.

use std::net::Ipv4Addr;

use super::packet::Packet;
use super::reply::Carrier;
use crate::files::Files;
use crate::policy::{Arch, BootAnswer, BootPolicy, Client, MachineRequest};

/// The longest name that is sent: with the final NUL it fits the header's `file` field.
const LONGEST_NAME: usize = 127;

/// What can be fetched, and where.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// The address of the TFTP and HTTP servers.
    pub address: Ipv4Addr,
    /// Where the HTTP server listens.
    pub http_port: u16,
    /// What they serve.
    pub files: Files,
}

/// What an answer says about booting, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Nothing, as it was not asked.
    NotAsked,
    /// This name by TFTP, or this URL.
    Boot(String),
    /// To boot from its disk.
    LocalDisk,
    /// Nothing, though it asked.
    Unable(Unable),
}

/// Why firmware that asked for a boot file is given none, so that it goes on at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unable {
    /// It starts as a BIOS does, and there is only a UEFI program.
    #[error(
        "it starts the old way (BIOS, or CSM), and Cairn needs UEFI: switch its firmware to UEFI with network boot; a machine that has no UEFI can't be a node"
    )]
    Bios,
    /// A machine that nothing here is made for.
    #[error("nothing here is made for its kind ({0}): only 64-bit machines with UEFI can be nodes")]
    Arch(Arch),
    /// A machine that an image could be made for, and there is none.
    #[error("there is no image for its kind ({0}), only for x86-64 UEFI")]
    NoImage(Arch),
    /// Its boot loader starts no UEFI program.
    #[error("a Raspberry Pi's own boot loader can't start what is served here: use a prepared medium")]
    RaspberryPi,
    /// It did not say what it is (option 93).
    #[error("its firmware did not say which architecture it is")]
    NoArch,
    /// The policy named a file that is not among those served, or has a name too long to send.
    #[error("{0:?} is not among the files that are served: the node image is missing or not built")]
    NotServed(String),
}

impl Shelf {
    /// The boot part of an answer. `None`: the policy wants no answer at all.
    pub fn boot(&self, policy: &dyn BootPolicy, packet: &Packet) -> Option<(Carrier, Told)> {
        let on_to_the_disk = match (packet.client, packet.arch) {
            (Client::Pxe, Some(Arch::X64Efi | Arch::X86Efi | Arch::Arm64Efi)) => Carrier::LocalDisk,
            // HTTP boot has no word for it, and BIOS firmware and boot loaders go on by themselves.
            _ => Carrier::None,
        };
        let unable = |why| Some((on_to_the_disk.clone(), Told::Unable(why)));
        let client = packet.client;
        if client == Client::System {
            return Some((Carrier::None, Told::NotAsked));
        }
        let Some(arch) = packet.arch else {
            return unable(Unable::NoArch);
        };
        let machine = MachineRequest { mac: packet.mac, arch, client, uuid: packet.uuid() };
        let images = match policy.decide(&machine) {
            BootAnswer::Nothing => return None,
            BootAnswer::LocalDisk => return Some((on_to_the_disk, Told::LocalDisk)),
            BootAnswer::Discover(images) | BootAnswer::Other(images) => images,
        };
        let name = match images.for_client(client, arch) {
            Ok(name) if client == Client::Ipxe => {
                self.files.script_of(name).unwrap_or_else(|| name.to_owned())
            }
            Ok(name) => name.to_owned(),
            Err(why) => return unable(why),
        };
        if !self.files.serves(&name) || name.len() > LONGEST_NAME {
            return unable(Unable::NotServed(name));
        }
        // An IP literal: a name would need a DNS server, which a cable of our own does not have.
        let url = || format!("http://{}:{}/{name}", self.address, self.http_port);
        let carrier = match client {
            Client::Http => Carrier::Http(url()),
            Client::Ipxe => Carrier::Ipxe(url()),
            Client::RaspberryPi => Carrier::RaspberryPi(name.clone()),
            Client::Pxe | Client::Uboot | Client::System => Carrier::Tftp(name.clone()),
        };
        let told = carrier.file().map_or(name.clone(), str::to_owned);
        Some((carrier, Told::Boot(told)))
    }
}
