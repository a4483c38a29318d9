//! What firmware is told beside a router's DHCP server (proxy DHCP: PXE 2.1, section 2.2; RFC 4578): what to
//! boot, and never an address.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::boot::{Shelf, Told};
use super::packet::{Kind, Packet};
use super::reply::{self, Carrier};
use super::style::Style;
use super::{Answer, Outcome, Silence};
use crate::config::HomeNetwork;
use crate::mac::Mac;
use crate::policy::{BootPolicy, Client};

/// The DHCP server's port, to which a relay is answered (RFC 2131, section 4.1).
const SERVER_PORT: u16 = 67;
/// The DHCP client's port.
const CLIENT_PORT: u16 = 68;

/// What stays the same from packet to packet.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The network, and this server's address on it.
    pub home: HomeNetwork,
    /// This server's own card, whose packets are its own probes.
    pub own_mac: Mac,
    /// What can be booted.
    pub shelf: Shelf,
}

/// Where a packet was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// On port 67, where everybody's questions are.
    Dhcp,
    /// On port 4011, from this address and port.
    Pxe(SocketAddrV4),
}

/// Decides what `packet` is answered.
pub fn answer(
    scene: &Scene,
    policy: &dyn BootPolicy,
    packet: &Packet,
    heard: Heard,
    style: Style,
) -> Outcome {
    let ours = scene.home.address;
    if packet.mac == scene.own_mac {
        return Outcome::Silence(Silence::Own);
    }
    if packet.kind.is_from_server() {
        return Outcome::Silence(Silence::FromServer);
    }
    let kind = match (heard, packet.kind) {
        (_, Kind::Discover) => Kind::Offer,
        (_, Kind::Inform) | (Heard::Pxe(_), Kind::Request) => Kind::Ack,
        // Some firmware asks us by name on the router's port.
        (Heard::Dhcp, Kind::Request) if packet.server == Some(ours) => Kind::Ack,
        _ => return Outcome::Silence(Silence::Router),
    };
    match packet.client {
        Client::System => return Outcome::Silence(Silence::Router),
        Client::Uboot => return Outcome::Silence(Silence::Uboot),
        Client::Pxe | Client::Http | Client::Ipxe | Client::RaspberryPi => {}
    }
    let (carrier, told) = match scene.shelf.boot(policy, packet) {
        None => return Outcome::Silence(Silence::Policy),
        Some((_, Told::Unable(why))) => return Outcome::Silence(Silence::Unable(why)),
        Some((Carrier::None, _)) => return Outcome::Silence(Silence::LocalDisk),
        Some(decided) => decided,
    };
    let Some(to) = destination(scene, packet, heard) else {
        return Outcome::Silence(Silence::NoReply);
    };
    // HTTP boot has one style only, and so has a Raspberry Pi.
    let styled = (!matches!(carrier, Carrier::Http(_) | Carrier::RaspberryPi(_))).then_some(style);
    match reply::beside(packet, kind, &carrier, style, ours) {
        Some(bytes) => Outcome::Answer(Answer { bytes, to, kind, address: None, told, style: styled }),
        None => Outcome::Silence(Silence::NoReply),
    }
}

/// Where the answer goes. A client that has no address yet is told by broadcast whatever its flags say: there is
/// no address of ours to send to. On port 4011 it is answered where it asked from, which need not be port 68.
fn destination(scene: &Scene, packet: &Packet, heard: Heard) -> Option<SocketAddrV4> {
    let near = |address: Ipv4Addr| scene.home.contains(address);
    match heard {
        Heard::Pxe(from) if from.ip().is_unspecified() => {
            Some(SocketAddrV4::new(Ipv4Addr::BROADCAST, from.port()))
        }
        // A forged address must not be a target.
        Heard::Pxe(from) => near(*from.ip()).then_some(from),
        Heard::Dhcp if !packet.giaddr.is_unspecified() => Some(SocketAddrV4::new(packet.giaddr, SERVER_PORT)),
        Heard::Dhcp if near(packet.ciaddr) && !packet.broadcast => {
            Some(SocketAddrV4::new(packet.ciaddr, CLIENT_PORT))
        }
        Heard::Dhcp => Some(SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT)),
    }
}

/// The address that this client of the router's has or is about to have, as its own words show.
pub fn address_of(scene: &Scene, packet: &Packet, heard: Heard) -> Option<Ipv4Addr> {
    let from = match heard {
        Heard::Pxe(from) => Some(*from.ip()),
        Heard::Dhcp => None,
    };
    let chosen = packet.requested.filter(|_| packet.kind == Kind::Request);
    let mut all = from.into_iter().chain(chosen).chain([packet.ciaddr]);
    all.find(|address| scene.home.contains(*address) && *address != scene.home.address)
}

#[cfg(test)]
mod tests;
