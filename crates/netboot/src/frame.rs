//! Frames on a packet socket: overheard, whomever they are for, and sent as they are.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use nix::sys::socket::{LinkAddr, bind};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;

use crate::mac::Mac;

/// Ethernet's number for IPv4.
const ETHERTYPE_IPV4: u16 = 0x0800;

/// Hears the IPv4 frames to one UDP port on one interface, and no others.
#[derive(Debug)]
pub(crate) struct Frames(UdpSocket);

impl Frames {
    pub fn open(interface: &str, port: u16) -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(ETHERTYPE_IPV4.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        socket.attach_filter(&to_port(port))?;
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

/// A datagram to everybody from a machine that has no address yet, in a frame.
pub(crate) fn broadcast(card: Mac, (from_port, to_port): (u16, u16), payload: &[u8]) -> Vec<u8> {
    /// Version 4, and a header of five words.
    const VERSION: u16 = 0x4500;
    /// Time to live, and UDP's number.
    const LIFE: u16 = 64 << 8 | 17;
    let udp_length = u16::try_from(payload.len() + 8).unwrap_or(u16::MAX);
    let mut header = [VERSION, udp_length.saturating_add(20), 0, 0, LIFE, 0, 0, 0, 0xffff, 0xffff];
    let sum = header.iter().copied().map(u32::from).sum::<u32>();
    // RFC 1071: ten words overflow 16 bits by less than ten.
    let folded = (sum & 0xffff) + (sum >> 16);
    if let Some(checksum) = header.get_mut(5) {
        *checksum = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or_default();
    }
    let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
    let mut frame = vec![0xff; 6];
    frame.extend(card.0);
    frame.extend(ETHERTYPE_IPV4.to_be_bytes());
    frame.extend(words(&header));
    // RFC 768: a checksum of zero is none.
    frame.extend(words(&[from_port, to_port, udp_length, 0]));
    frame.extend(payload);
    frame
}

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
        fn a_frame_reads_back_with_a_right_checksum(
            card: [u8; 6], ports: (u16, u16), payload in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let frame = broadcast(Mac(card), ports, &payload);
            let read = Datagram { card: Mac(card), from: Ipv4Addr::UNSPECIFIED, payload: &payload };
            prop_assert_eq!(Datagram::parse(&frame), Some(read));
            let header = frame[14..34].chunks(2).map(|word| u64::from(u16::from_be_bytes([word[0], word[1]])));
            prop_assert_eq!(header.sum::<u64>() % 0xffff, 0);
        }

        #[test]
        fn no_frame_makes_the_reader_panic(frame in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Datagram::parse(&frame);
        }
    }
}
