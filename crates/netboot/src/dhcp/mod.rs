//! DHCP for a cable of our own (RFC 2131): one pure function from a packet to an answer.
//!
//! [`answer`] takes the packet, the lease table, the policy and the time, and sends nothing itself.
//! [`packet`] reads, [`lease`] remembers, [`reply`] writes.

pub mod lease;
pub mod packet;
pub mod reply;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::config::OwnCable;
use crate::files::Files;
use crate::mac::Mac;
use crate::policy::{Arch, BootAnswer, BootPolicy, Client, MachineRequest};
pub use lease::Leases;
pub use packet::{Kind, Malformed, Packet};
pub use reply::Carrier;
use reply::Draft;

/// What stays the same from packet to packet.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The network and this server's address on it.
    pub cable: OwnCable,
    /// This server's own card, whose packets are its own probes.
    pub own_mac: Mac,
    /// What can be booted.
    pub files: Files,
    /// Where the HTTP server listens.
    pub http_port: u16,
}

/// What to do about a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Send these bytes.
    Answer(Answer),
    /// Send nothing.
    Silence(Silence),
    /// A client follows another DHCP server, which therefore answers on this wire: stop.
    Foreign(Ipv4Addr),
}

/// A packet to send, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The UDP payload.
    pub bytes: Vec<u8>,
    /// Where it goes.
    pub to: SocketAddrV4,
    /// Offer, Ack or Nak.
    pub kind: Kind,
    /// The address that the client gets, or has.
    pub address: Option<Ipv4Addr>,
    /// What it says about booting.
    pub told: Told,
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

/// Why firmware that asked for a boot file was given only an address, so that it goes on at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unable {
    /// A machine or firmware that nothing here can boot.
    #[error("its firmware ({0}) can't boot what is served here: only x86-64 UEFI can; use a prepared medium")]
    Arch(Arch),
    /// It did not say what it is (option 93).
    #[error("its firmware did not say which architecture it is")]
    NoArch,
    /// iPXE, to which a boot file would be a loop.
    #[error("it is iPXE: set the machine to boot by its own UEFI firmware (PXE or HTTP), without iPXE")]
    Ipxe,
    /// The policy named a file that is not among those served, or has a name too long to send.
    #[error("{0:?} is not among the files that are served: the node image is missing or not built")]
    NotServed(String),
}

/// Why a packet is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// Our own probe, come back.
    #[error("it is this machine's own")]
    Own,
    /// Through a relay: those have no place on a cable of our own.
    #[error("it came through a DHCP relay")]
    Relayed,
    /// Only servers say this.
    #[error("it is a server's message")]
    FromServer,
    /// The policy wants it so.
    #[error("this machine is not to be answered")]
    Policy,
    /// Every address is lent.
    #[error("all addresses are in use: give the network a larger range")]
    PoolEmpty,
    /// A message that calls for no answer (release, decline), or contradicts itself.
    #[error("it needs no answer")]
    NoReply,
}

/// Decides what `packet` is answered. `now` counts from any fixed moment.
pub fn answer(
    scene: &Scene,
    leases: &mut Leases,
    policy: &dyn BootPolicy,
    packet: &Packet,
    now: Duration,
) -> Outcome {
    if packet.mac == scene.own_mac {
        return Outcome::Silence(Silence::Own);
    }
    if packet.kind.is_from_server() {
        return Outcome::Silence(Silence::FromServer);
    }
    if !packet.giaddr.is_unspecified() {
        return Outcome::Silence(Silence::Relayed);
    }
    let ours = scene.cable.address;
    match (packet.kind, packet.server) {
        (Kind::Request, Some(server)) if server != ours => return Outcome::Foreign(server),
        (Kind::Decline, Some(server)) if server == ours => {
            if let Some(address) = packet.requested {
                leases.decline(&packet.lease_key(), address, now);
            }
        }
        (Kind::Release, Some(server)) if server == ours => leases.release(&packet.lease_key(), now),
        (Kind::Discover | Kind::Request | Kind::Inform, _) => {
            let (carrier, told) = match boot(scene, policy, packet) {
                Some(decided) => decided,
                None => return Outcome::Silence(Silence::Policy),
            };
            return match address(scene, leases, packet, now) {
                Ok((kind, address)) => write(scene, packet, kind, address, &carrier, told),
                Err(silence) => Outcome::Silence(silence),
            };
        }
        _ => {}
    }
    Outcome::Silence(Silence::NoReply)
}

/// The address part: what a DHCP server does without thinking of boot files.
fn address(
    scene: &Scene,
    leases: &mut Leases,
    packet: &Packet,
    now: Duration,
) -> Result<(Kind, Option<Ipv4Addr>), Silence> {
    let key = packet.lease_key();
    let own = (!packet.ciaddr.is_unspecified()).then_some(packet.ciaddr);
    match packet.kind {
        Kind::Discover => {
            let given = leases.offer(&key, packet.requested, now).ok_or(Silence::PoolEmpty)?;
            Ok((Kind::Offer, Some(given)))
        }
        // It has an address by other means and only wants to know the rest.
        Kind::Inform => match own {
            Some(own) if scene.cable.contains(own) => Ok((Kind::Ack, None)),
            _ => Err(Silence::NoReply),
        },
        // Chosen (option 50 with 54), remembered (50 without 54), or being renewed (ciaddr).
        _ => {
            let wanted = packet.requested.or(own).ok_or(Silence::NoReply)?;
            match leases.confirm(&key, wanted, now, now + scene.cable.lease) {
                true => Ok((Kind::Ack, Some(wanted))),
                // On a cable of our own nobody else could know better, so a wrong address is denied at once.
                false => Ok((Kind::Nak, None)),
            }
        }
    }
}

/// The boot part. `None`: the policy wants no answer at all.
fn boot(scene: &Scene, policy: &dyn BootPolicy, packet: &Packet) -> Option<(Carrier, Told)> {
    let on_to_the_disk = match (packet.client, packet.arch) {
        (Client::Pxe, Some(Arch::X64Efi | Arch::X86Efi | Arch::Arm64Efi)) => Carrier::LocalDisk,
        // HTTP boot has no word for it, and BIOS firmware and iPXE go on by themselves.
        _ => Carrier::None,
    };
    let unable = |why| Some((on_to_the_disk.clone(), Told::Unable(why)));
    let client = match packet.client {
        Client::System => return Some((Carrier::None, Told::NotAsked)),
        Client::Ipxe => return unable(Unable::Ipxe),
        firmware => firmware,
    };
    let Some(arch) = packet.arch else {
        return unable(Unable::NoArch);
    };
    if !matches!(arch, Arch::X64Efi | Arch::X64Http) {
        return unable(Unable::Arch(arch));
    }
    let machine = MachineRequest { mac: packet.mac, arch, client, uuid: packet.uuid() };
    match policy.decide(&machine) {
        BootAnswer::Nothing => None,
        BootAnswer::LocalDisk => Some((on_to_the_disk, Told::LocalDisk)),
        BootAnswer::Discover(name) if scene.files.find(&name).is_none() || name.len() > 127 => {
            unable(Unable::NotServed(name))
        }
        BootAnswer::Discover(name) if client == Client::Http => {
            // An IP literal: a name would need a DNS server, which this network does not have.
            let url = format!("http://{}:{}/{name}", scene.cable.address, scene.http_port);
            Some((Carrier::Http(url.clone()), Told::Boot(url)))
        }
        BootAnswer::Discover(name) => Some((Carrier::Tftp(name.clone()), Told::Boot(name))),
    }
}

fn write(
    scene: &Scene,
    to: &Packet,
    kind: Kind,
    address: Option<Ipv4Addr>,
    carrier: &Carrier,
    told: Told,
) -> Outcome {
    let draft = Draft { to, kind, address, carrier };
    // Outside this network nothing could be reached anyway, and a forged address must not be a target.
    let to = match draft.destination() {
        far if !scene.cable.contains(*far.ip()) => SocketAddrV4::new(Ipv4Addr::BROADCAST, far.port()),
        near => near,
    };
    match draft.encode(&scene.cable) {
        Some(bytes) => Outcome::Answer(Answer { bytes, to, kind, address, told }),
        None => Outcome::Silence(Silence::NoReply),
    }
}

#[cfg(test)]
mod tests;
