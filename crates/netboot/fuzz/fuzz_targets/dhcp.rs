//! Any bytes on the DHCP port, answered as if they came from a client, and overheard as if from a server.

#![no_main]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use cairn_netboot::dhcp::proxy::{self, Heard};
use cairn_netboot::dhcp::{Leases, Outcome, Packet, Scene, Shelf, Style, answer};
use cairn_netboot::{BootAnswer, Files, HomeNetwork, Images, Mac, MachineRequest, OwnCable};
use libfuzzer_sys::fuzz_target;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

fuzz_target!(|bytes: &[u8]| {
    let _ = cairn_netboot::probe::server_in(bytes, OURS);
    let Ok(packet) = Packet::parse(bytes) else { return };
    let cable = OwnCable::slash24(OURS);
    let mut leases = Leases::of(&cable);
    let files = Files::new().with("cairn.efi", "/nowhere");
    let shelf = Shelf { address: OURS, http_port: 4280, files };
    let scene = Scene { cable, own_mac: Mac([2; 6]), shelf: shelf.clone() };
    let policy = |_: &MachineRequest| BootAnswer::Discover(Images::x64("cairn.efi"));
    if let Outcome::Check(address) = answer(&scene, &mut leases, &policy, &packet, Duration::ZERO) {
        leases.unanswered(address, Duration::ZERO);
    }
    if let Outcome::Answer(answer) = answer(&scene, &mut leases, &policy, &packet, Duration::ZERO) {
        assert!(answer.bytes.len() <= 1472, "an answer has to fit one frame");
        assert!(answer.to.ip().is_broadcast() || scene.cable.contains(*answer.to.ip()));
    }
    let beside = proxy::Scene { home: HomeNetwork { address: OURS, prefix: 24 }, own_mac: Mac([2; 6]), shelf };
    for (heard, style) in [
        (Heard::Dhcp, Style::InOffer),
        (Heard::Dhcp, Style::On4011),
        (Heard::Pxe(SocketAddrV4::new(OURS, 68)), Style::On4011),
    ] {
        if let Outcome::Answer(answer) = proxy::answer(&beside, &policy, &packet, heard, style) {
            assert!(answer.bytes.len() <= 1472, "an answer has to fit one frame");
            assert_eq!(answer.address, None, "the router gives addresses");
        }
    }
});
