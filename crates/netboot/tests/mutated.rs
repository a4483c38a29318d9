//! A million packets, each a real one with some of its bytes changed: nothing in them may end the process, make an
//! answer that does not fit a frame, or give an address beside a router. `CAIRN_PACKETS` is another number of them, as
//! `make soak` has it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // in helpers of tests, where Clippy does not see the test

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use cairn_netboot::dhcp::proxy::{self, Heard};
use cairn_netboot::dhcp::{Leases, Outcome, Packet, Scene, Shelf, Style, answer};
use cairn_netboot::tftp::packet::{FromClient, LARGEST_BLOCK, LARGEST_WINDOW};
use cairn_netboot::tftp::window::Window;
use cairn_netboot::{BootAnswer, Files, HomeNetwork, Images, Mac, MachineRequest, OwnCable};

const PACKETS: u64 = 1_000_000;
const HOW_MANY: &str = "CAIRN_PACKETS";
const OURS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Numbers that are the same in each run (xorshift64, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Changes, cuts or repeats a few places.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.next() % 8 {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_within(at..),
                // The interesting places of a DHCP packet are its options.
                2..5 if bytes.len() > 241 => {
                    let at = 240 + self.below(bytes.len() - 240);
                    bytes[at] = self.next() as u8;
                }
                5 => bytes.insert(at, self.next() as u8),
                _ if at < bytes.len() => bytes[at] ^= 1 << (self.next() % 8),
                _ => {}
            }
            bytes.truncate(1500);
        }
    }
}

fn packets() -> u64 {
    let Some(wish) = std::env::var_os(HOW_MANY) else { return PACKETS };
    let number = wish.to_str().and_then(|wish| wish.replace('_', "").parse().ok());
    // Of fewer, too few are likely to be understood.
    let number = number.filter(|number| *number >= 1000);
    number
        .unwrap_or_else(|| panic!("{HOW_MANY} is to be a number of packets, at least 1000, and not {wish:?}"))
}

fn dhcp(kind: u8, class: &str, arch: u8, more: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 240];
    bytes[0..3].copy_from_slice(&[1, 1, 6]);
    bytes[28..34].copy_from_slice(&[0x52, 0x54, 0, 1, 2, 3]);
    bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend([53, 1, kind, 93, 2, 0, arch, 94, 3, 1, 3, 1, 97, 17, 0]);
    bytes.extend([0xab; 16]);
    bytes.extend([60, class.len() as u8]);
    bytes.extend(class.as_bytes());
    bytes.extend(more);
    bytes.push(255);
    bytes
}

fn questions() -> Vec<Vec<u8>> {
    let (pxe, http) = ("PXEClient:Arch:00007:UNDI:003001", "HTTPClient:Arch:00016:UNDI:003001");
    vec![
        dhcp(1, pxe, 7, &[]),
        dhcp(3, pxe, 7, &[50, 4, 10, 77, 0, 120, 54, 4, 10, 77, 0, 1]),
        dhcp(1, http, 16, &[61, 7, 1, 0x52, 0x54, 0, 1, 2, 3]),
        dhcp(1, pxe, 7, &[77, 4, b'i', b'P', b'X', b'E', 175, 3, 1, 1, 0]),
        dhcp(8, pxe, 0, &[43, 3, 6, 1, 8]),
        dhcp(1, "U-Boot.armv8", 22, &[]),
    ]
}

#[test]
fn no_mutated_packet_ends_the_process_or_gets_an_answer_that_it_must_not_get() {
    let packets = packets();
    let files = Files::new().with("cairn.efi", "/nowhere");
    let shelf = Shelf { address: OURS, http_port: 4280, files };
    let (cable, own_mac) = (OwnCable::slash24(OURS), Mac([2; 6]));
    let mut leases = Leases::of(&cable);
    let beside =
        proxy::Scene { home: HomeNetwork { address: OURS, prefix: 24 }, own_mac, shelf: shelf.clone() };
    let own = Scene { cable, own_mac, shelf };
    let policy = |machine: &MachineRequest| match machine.mac.0[5] % 4 {
        0 => BootAnswer::LocalDisk,
        _ => BootAnswer::Discover(Images::x64("cairn.efi")),
    };
    let from = Heard::Pxe(SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 120), 4011));
    let requests = [
        b"\0\x01cairn.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0".as_slice(),
        b"\0\x01cairn.efi\0octet\0timeout\x005\0rollover\x000\0",
        b"\0\x04\0\x07",
        b"\0\x05\0\x01not found\0",
        b"\0\x02x\0octet\0",
    ];
    let (questions, mut numbers) = (questions(), Numbers(0x9e37_79b9_7f4a_7c15));
    let (mut understood, mut answers, mut transfers) = (0_u64, 0_u64, 0_u64);
    for number in 0..packets / 2 {
        let mut bytes = questions[numbers.below(questions.len())].clone();
        numbers.mutate(&mut bytes);
        if let Ok(packet) = Packet::parse(&bytes) {
            understood += 1;
            let heard = if number % 3 == 0 { from } else { Heard::Dhcp };
            let style = if number % 2 == 0 { Style::InOffer } else { Style::On4011 };
            let now = Duration::from_millis(number);
            if let Outcome::Check(address) = answer(&own, &mut leases, &policy, &packet, now) {
                leases.unanswered(address, now);
            }
            let both = [
                (answer(&own, &mut leases, &policy, &packet, now), false),
                (proxy::answer(&beside, &policy, &packet, heard, style), true),
            ];
            for (outcome, home) in both {
                let Outcome::Answer(answer) = outcome else { continue };
                answers += 1;
                assert!((300..=1472).contains(&answer.bytes.len()), "{packet:?}");
                assert!(!home || answer.address.is_none(), "{packet:?}");
            }
        }
        let mut bytes = requests[numbers.below(requests.len())].to_vec();
        numbers.mutate(&mut bytes);
        match FromClient::parse(&bytes) {
            Ok(FromClient::Read(request)) => {
                transfers += 1;
                assert!((8..=LARGEST_BLOCK).contains(&request.block_size()));
                assert!((1..=LARGEST_WINDOW).contains(&request.window_size()));
                assert!(request.oack(u64::MAX).is_none_or(|oack| oack.len() < 200));
            }
            Ok(FromClient::Ack(number)) => {
                let mut window = Window::new(70_000_000, 512, 4);
                let _ = (window.ack(number), window.ack(number.wrapping_add(1)));
            }
            Ok(FromClient::Write | FromClient::Error(..)) | Err(_) => {}
        }
    }
    // Else the packets would be too broken to reach what is tested.
    assert!(
        understood > packets / 4 && answers > packets / 4 && transfers > packets / 20,
        "{understood} {answers} {transfers}"
    );
    eprintln!(
        "{packets} packets: {understood} questions understood, {answers} answers, {transfers} requests for files"
    );
}
