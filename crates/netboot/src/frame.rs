//! Frames on a packet socket: overheard, whomever they are for, and sent as they are.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

use nix::sys::socket::{LinkAddr, bind};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;

use crate::mac::Mac;

/// Ethernet's number for IPv4.
const ETHERTYPE_IPV4: u16 = 0x0800;
/// The same for ARP.
const ETHERTYPE_ARP: u16 = 0x0806;

/// The card of everybody.
pub(crate) const EVERYBODY: Mac = Mac([0xff; 6]);

/// Hears the IPv4 frames to one UDP port on one interface, or those of ARP, and no others.
#[derive(Debug)]
pub(crate) struct Frames(UdpSocket);

impl Frames {
    pub fn open(interface: &str, port: u16) -> io::Result<Self> {
        Self::of(interface, ETHERTYPE_IPV4, to_port(port))
    }

    pub fn open_arp(interface: &str) -> io::Result<Self> {
        Self::of(interface, ETHERTYPE_ARP, KEEP)
    }

    fn of(interface: &str, ethertype: u16, filter: impl IntoIterator<Item = SockFilter>) -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(ethertype.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        let index = nix::net::if_::if_nametoindex(interface)?;
        socket.attach_filter(&only_on(index).into_iter().chain(filter).collect::<Vec<_>>())?;
        socket.set_nonblocking(true)?;
        let link = nix::ifaddrs::getifaddrs()?
            .filter(|found| found.interface_name == interface)
            .find_map(|found| found.address.and_then(|address| address.as_link_addr().copied()));
        let link: LinkAddr = link.ok_or(io::ErrorKind::NotFound)?;
        bind(socket.as_raw_fd(), &link)?;
        // Not UDP, but the one type here that waits for any socket's datagrams without unsafe code.
        Ok(Self(UdpSocket::from_std(socket.into())?))
    }

    /// Sends a whole frame.
    pub async fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.0.send(frame).await.map(drop)
    }

    /// The next frame, from its Ethernet header on.
    pub async fn next<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        loop {
            match self.0.recv(buffer).await {
                Ok(length) => return Ok(buffer.get(..length).unwrap_or_default()),
                // The interface was down for a moment.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENETDOWN) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A UDP datagram over IPv4 in an Ethernet frame. What kind of frame it is, the filter has seen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    /// The card that it came from.
    pub card: Mac,
    /// The address that it came from.
    pub from: Ipv4Addr,
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    pub fn parse(frame: &'a [u8]) -> Option<Self> {
        let (ethernet, ip) = frame.split_first_chunk::<14>()?;
        let header = usize::from(ip.first()? & 0x0f) * 4;
        let from = Ipv4Addr::from(*ip.get(12..)?.first_chunk::<4>()?);
        let udp = ip.get(header.max(20)..)?;
        Some(Self { card: Mac(ethernet.get(6..12)?.try_into().ok()?), from, payload: udp.get(8..)? })
    }
}

/// What stands around a datagram's payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope {
    pub from_card: Mac,
    pub to_card: Mac,
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
}

impl Envelope {
    /// To everybody, from a machine that has no address yet.
    pub fn broadcast(card: Mac, (from_port, to_port): (u16, u16)) -> Self {
        Self {
            from_card: card,
            to_card: EVERYBODY,
            from: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, from_port),
            to: SocketAddrV4::new(Ipv4Addr::BROADCAST, to_port),
        }
    }

    /// The frame.
    pub fn seal(&self, payload: &[u8]) -> Vec<u8> {
        /// Version 4, and a header of five words.
        const VERSION: u16 = 0x4500;
        /// Time to live, and UDP's number.
        const LIFE: u16 = 64 << 8 | UDP;
        const UDP: u16 = 17;
        let length = u16::try_from(payload.len() + 8).unwrap_or(u16::MAX);
        let [from_high, from_low] = halves(*self.from.ip());
        let [to_high, to_low] = halves(*self.to.ip());
        let addresses = [from_high, from_low, to_high, to_low];
        let start = [VERSION, length.saturating_add(20), 0, 0, LIFE];
        let sum = checksum(start.into_iter().chain(addresses));
        let pairs = payload.chunks(2).map(|pair| match *pair {
            [high, low] => u16::from_be_bytes([high, low]),
            [high] => u16::from_be_bytes([high, 0]),
            _ => 0,
        });
        let ports = [self.from.port(), self.to.port(), length];
        // RFC 768: over the addresses, the protocol and the length too, and never 0, which means none.
        let udp_sum = match checksum(addresses.into_iter().chain([UDP, length]).chain(ports).chain(pairs)) {
            0 => 0xffff,
            sum => sum,
        };
        let words = start.into_iter().chain([sum]).chain(addresses).chain(ports).chain([udp_sum]);
        let mut frame = [self.to_card.0, self.from_card.0].concat();
        frame.extend(ETHERTYPE_IPV4.to_be_bytes());
        frame.extend(words.flat_map(u16::to_be_bytes));
        frame.extend(payload);
        frame
    }
}

fn halves(address: Ipv4Addr) -> [u16; 2] {
    let [a, b, c, d] = address.octets();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

/// RFC 1071. A frame's words overflow 16 bits by less than a thousand, so folding twice is enough.
fn checksum(words: impl Iterator<Item = u16>) -> u16 {
    let sum: u32 = words.map(u32::from).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or_default()
}

/// Classic BPF for "on this very interface, else drop". A packet socket is also given what belongs to an interface on
/// top of its own (a VLAN's, or a macvlan's): the tag is off by then, and it would be taken for the cable's.
fn only_on(interface: u32) -> [SockFilter; 3] {
    /// `SKF_AD_OFF + SKF_AD_IFINDEX` of linux/filter.h.
    const INTERFACE: u32 = 0xffff_f000 + 8;
    let op = SockFilter::new;
    [op(0x20, 0, 0, INTERFACE), op(0x15, 1, 0, interface), op(0x06, 0, 0, 0)]
}

/// Classic BPF for "keep".
const KEEP: [SockFilter; 1] = [SockFilter::new(0x06, 0, 0, 2048)];

/// Classic BPF for "UDP, not a later fragment, to this port", on an Ethernet frame with IPv4.
fn to_port(port: u16) -> [SockFilter; 9] {
    let op = SockFilter::new;
    [
        op(0x30, 0, 0, 23),              // load byte: IP protocol
        op(0x15, 0, 5, 17),              // UDP, else drop
        op(0x28, 0, 0, 20),              // load half: fragment offset
        op(0x45, 3, 0, 0x1fff),          // a later fragment: drop
        op(0xb1, 0, 0, 14),              // X = length of the IP header
        op(0x48, 0, 0, 16),              // load half: UDP destination port
        op(0x15, 1, 0, u32::from(port)), // this one: keep
        op(0x06, 0, 0, 0),               // drop
        op(0x06, 0, 0, 2048),            // keep
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_reads_back_with_right_checksums(
            cards: ([u8; 6], [u8; 6]), ports: (u16, u16), from: u32, to: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let (from, to) = (Ipv4Addr::from_bits(from), Ipv4Addr::from_bits(to));
            let envelope = Envelope {
                from_card: Mac(cards.0), to_card: Mac(cards.1),
                from: SocketAddrV4::new(from, ports.0), to: SocketAddrV4::new(to, ports.1),
            };
            let frame = envelope.seal(&payload);
            let read = Datagram { card: Mac(cards.0), from, payload: &payload };
            prop_assert_eq!(Datagram::parse(&frame), Some(read));
            let sum = |bytes: &[u8]| {
                let words = bytes.chunks(2).map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0)));
                words.sum::<u64>()
            };
            prop_assert_eq!(sum(&frame[14..34]) % 0xffff, 0);
            let udp = sum(&frame[26..34]) + 17 + (payload.len() as u64 + 8) + sum(&frame[34..]);
            prop_assert_eq!(udp % 0xffff, 0);
        }

        #[test]
        fn no_frame_makes_the_reader_panic(frame in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Datagram::parse(&frame);
        }
    }
}
