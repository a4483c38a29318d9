//! Frames overheard on a packet socket, whomever they are for.

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
