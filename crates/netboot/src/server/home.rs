//! The server in a home network, beside the router's DHCP server.
//!
//! Questions on port 67 are heard and answered on a packet socket. A UDP socket there would need the port, which on
//! a machine with dnsmasq, libvirt or a DHCP server of its own is taken; and shared (SO_REUSEADDR) it would be
//! given the packets to this machine's address alone, so that a DHCP server here would hear no more renewals. A
//! packet socket holds no port and takes nothing from anybody. Port 4011 is PXE's own and is held.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use nix::ifaddrs::getifaddrs;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{Because, Carriers, Parts, Port, StartError};
use crate::config::HomeNetwork;
use crate::dhcp::proxy::{self, Heard, Scene};
use crate::dhcp::{Answer, Kind, Outcome, Packet, style};
use crate::frame::{Datagram, EVERYBODY, Envelope, Frames};
use crate::link;
use crate::mac::Mac;
use crate::socket;
use crate::story::unix_millis;

pub struct Home {
    scene: Scene,
    frames: Frames,
    pxe: Pxe,
    carriers: Carriers,
}

/// Port 4011.
struct Pxe {
    broadcast: UdpSocket,
    own: UdpSocket,
}

impl Home {
    pub async fn open(parts: &Parts, home: HomeNetwork) -> Result<Self, StartError> {
        let interface = parts.config.interface.clone();
        let own_mac = link::mac_of(&interface)?;
        if !has(&interface, home.address).unwrap_or(true) {
            return Err(StartError::NoAddress { address: home.address, interface });
        }
        let wrong = |source| StartError::Hear { interface: interface.clone(), source };
        let frames = Frames::open(&interface, Port::DHCP.number).map_err(wrong)?;
        let pair = socket::udp_pair(&interface, home.address, Port::PXE.number);
        let (broadcast, own) = parts.listen(Port::PXE, pair)?;
        let carriers = parts.carriers(home.address)?;
        let scene = Scene { home, own_mac, shelf: parts.shelf(home.address) };
        Ok(Self { scene, frames, pxe: Pxe { broadcast, own }, carriers })
    }

    pub async fn run(self, parts: &Parts, stopped: oneshot::Receiver<()>) -> Because {
        let Self { scene, frames, pxe, carriers } = self;
        tokio::select! {
            _ = stopped => Because::Asked,
            error = on_67(parts, &scene, &frames) => super::failed("DHCP", Err(error)),
            never = on_4011(parts, &scene, &pxe) => never,
            because = address_gone(parts, scene.home.address) => because,
            because = parts.carry(carriers, scene.home.address) => because,
        }
    }
}

/// Whether the interface has this address.
fn has(interface: &str, address: Ipv4Addr) -> io::Result<bool> {
    let is_it = |found: nix::ifaddrs::InterfaceAddress| {
        let ip = found.address.and_then(|it| it.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::ip));
        found.interface_name == interface && ip == Some(address)
    };
    Ok(getifaddrs()?.any(is_it))
}

/// Waits until the interface has lost the address: routers give another one now and then.
async fn address_gone(parts: &Parts, address: Ipv4Addr) -> Because {
    let interface = &parts.config.interface;
    loop {
        sleep(parts.config.probe_every).await;
        if !has(interface, address).unwrap_or(true) {
            return Because::AddressGone { address, interface: interface.clone() };
        }
    }
}

async fn on_67(parts: &Parts, scene: &Scene, frames: &Frames) -> io::Error {
    let mut buffer = vec![0; 2048];
    loop {
        let frame = match frames.next(&mut buffer).await {
            Ok(frame) => frame,
            Err(error) => return error,
        };
        let Some(datagram) = Datagram::parse(frame) else { continue };
        let (asked_from, payload) = (datagram.card, datagram.payload);
        if let Some((packet, answer)) = decide(parts, scene, payload, Heard::Dhcp) {
            let frame = envelope(scene, &packet, asked_from, answer.to).seal(&answer.bytes);
            let _ = frames.send(&frame).await;
            parts.told(&packet, answer);
        }
    }
}

/// A single machine is told in a frame to its card, and needs no ARP for it; a relay in one to the card that
/// passed the question on.
fn envelope(scene: &Scene, packet: &Packet, asked_from: Mac, to: SocketAddrV4) -> Envelope {
    let to_card = match to.ip() {
        ip if ip.is_broadcast() => EVERYBODY,
        ip if *ip == packet.giaddr => asked_from,
        _ => packet.mac,
    };
    let from = SocketAddrV4::new(scene.home.address, Port::DHCP.number);
    Envelope { from_card: scene.own_mac, to_card, from, to }
}

async fn on_4011(parts: &Parts, scene: &Scene, sockets: &Pxe) -> Because {
    let (mut one, mut other) = ([0; 2048], [0; 2048]);
    loop {
        let received = tokio::select! {
            received = sockets.broadcast.recv_from(&mut one) => received.map(|(length, from)| (one.get(..length), from)),
            received = sockets.own.recv_from(&mut other) => received.map(|(length, from)| (other.get(..length), from)),
        };
        // An error is about a packet sent earlier.
        let Ok((Some(bytes), SocketAddr::V4(from))) = received else { continue };
        if let Some((packet, answer)) = decide(parts, scene, bytes, Heard::Pxe(from)) {
            let _ = sockets.own.send_to(&answer.bytes, answer.to).await;
            parts.told(&packet, answer);
        }
    }
}

/// The packet in these bytes and its answer, if there is one.
fn decide(parts: &Parts, scene: &Scene, bytes: &[u8], heard: Heard) -> Option<(Packet, Answer)> {
    let Ok(packet) = Packet::parse(bytes) else {
        parts.counters.malformed_dhcp();
        return None;
    };
    if let Some(address) = proxy::address_of(scene, &packet, heard) {
        parts.story.learn(address, packet.mac);
    }
    let story = parts.story.of(packet.mac);
    let style = match packet.kind {
        Kind::Discover => style::choose(&story, unix_millis()),
        _ => style::of_exchange(&story),
    };
    match proxy::answer(scene, &*parts.policy, &packet, heard, style) {
        Outcome::Answer(answer) => Some((packet, answer)),
        Outcome::Silence(silence) => {
            parts.kept_silent(&packet, &silence);
            None
        }
        // Addresses are the router's.
        Outcome::Foreign(_) | Outcome::Check(_) => None,
    }
}
