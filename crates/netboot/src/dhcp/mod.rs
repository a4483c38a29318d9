//! DHCP (RFC 2131): a pure function from a packet to an answer, for each of the two networks.
//!
//! On a cable of our own [`answer`] takes the packet, the lease table, the policy and the time; in a home network
//! [`proxy::answer`] takes the packet, the policy and the [`Style`]. They send nothing themselves. [`packet`]
//! reads, [`boot`] says what to start, [`lease`] remembers, [`lease_file`] across restarts, [`style`] learns from what a machine did, [`reply`]
//! writes.

pub mod boot;
pub mod lease;
pub mod lease_file;
pub mod packet;
pub mod proxy;
pub mod reply;
pub mod style;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::config::OwnCable;
use crate::mac::Mac;
use crate::policy::BootPolicy;
pub use boot::{Shelf, Told, Unable};
use lease::Claim;
pub use lease::Leases;
pub use packet::{Kind, Malformed, Packet};
pub use reply::Carrier;
use reply::Draft;
pub use style::Style;

/// What stays the same from packet to packet.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The network and this server's address on it.
    pub cable: OwnCable,
    /// This server's own card, whose packets are its own probes.
    pub own_mac: Mac,
    /// What can be booted.
    pub shelf: Shelf,
}

/// What to do about a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Send these bytes.
    Answer(Answer),
    /// Ask the wire first whether somebody uses this address, tell the table with [`Leases::unanswered`] or
    /// [`Leases::in_use`], and then ask again what the packet is answered.
    Check(Ipv4Addr),
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
    /// In which of the two ways, beside a router.
    pub style: Option<Style>,
}

/// Why a packet is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
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
    #[error(
        "all addresses are in use: one comes free when the lease of a machine that is gone runs out, within minutes"
    )]
    PoolEmpty,
    /// It is the router's to answer, beside which this server only tells firmware what to boot.
    #[error("the router answers it")]
    Router,
    /// Beside a router, what can't be booted here gets nothing from us.
    #[error(transparent)]
    Unable(#[from] Unable),
    /// U-Boot takes the first offer that it hears, and ours gives no address.
    #[error(
        "U-Boot takes no boot answer beside a router's: give it a cable of its own, or a prepared medium"
    )]
    Uboot,
    /// It is installed, and there is no word for that in what it speaks.
    #[error("it is installed, and goes on to its disk by itself")]
    LocalDisk,
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
    let holder = |leases: &Leases| leases.holder(packet.mac, packet.lease_key());
    match (packet.kind, packet.server) {
        (Kind::Request, Some(server)) if server != ours => return Outcome::Foreign(server),
        (Kind::Decline, Some(server)) if server == ours => {
            if let Some(address) = packet.requested {
                leases.decline(&holder(leases), address, now);
            }
        }
        (Kind::Release, Some(server)) if server == ours => {
            leases.release(&holder(leases), packet.ciaddr, now);
        }
        (Kind::Discover | Kind::Request | Kind::Inform, _) => {
            let (carrier, told) = match scene.shelf.boot(policy, packet) {
                Some(decided) => decided,
                None => return Outcome::Silence(Silence::Policy),
            };
            return match address(scene, leases, packet, now) {
                Ok((kind, address)) => write(scene, packet, kind, address, &carrier, told),
                Err(other) => other,
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
) -> Result<(Kind, Option<Ipv4Addr>), Outcome> {
    const NOTHING: Outcome = Outcome::Silence(Silence::NoReply);
    let holder = leases.holder(packet.mac, packet.lease_key());
    let own = (!packet.ciaddr.is_unspecified()).then_some(packet.ciaddr);
    match packet.kind {
        Kind::Discover => match leases.offer(&holder, packet.requested, now) {
            None => Err(Outcome::Silence(Silence::PoolEmpty)),
            Some(offer) if offer.check => Err(Outcome::Check(offer.address)),
            Some(offer) => Ok((Kind::Offer, Some(offer.address))),
        },
        // It has an address by other means and only wants to know the rest.
        Kind::Inform => match own {
            Some(own) if scene.cable.contains(own) => Ok((Kind::Ack, None)),
            _ => Err(NOTHING),
        },
        // Chosen (option 50 with 54), remembered (50 without 54), or being renewed (ciaddr).
        _ => {
            let wanted = packet.requested.or(own).ok_or(NOTHING)?;
            let claim = if packet.server.is_some() { Claim::Chosen } else { Claim::Remembered };
            match leases.confirm(&holder, wanted, claim, now, now + scene.cable.lease) {
                true => Ok((Kind::Ack, Some(wanted))),
                // On a cable of our own nobody else could know better, so a wrong address is denied at once.
                false => Ok((Kind::Nak, None)),
            }
        }
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
        Some(bytes) => Outcome::Answer(Answer { bytes, to, kind, address, told, style: None }),
        None => Outcome::Silence(Silence::NoReply),
    }
}

#[cfg(test)]
mod tests;
