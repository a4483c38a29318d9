//! Looks for other DHCP servers: asks the wire as a client would, and overhears what servers answer.
//!
//! Answers are overheard on a packet socket, not on UDP port 68: the kernel's reverse-path filter drops an
//! answer from a network that this machine has no route to, which is just what a stranger's is, and the
//! port may belong to this machine's own DHCP client.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, OptionCode};
use dhcproto::{Encodable, Encoder};
use nix::sys::socket::{LinkAddr, bind};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::dhcp::Packet;
use crate::mac::Mac;
use crate::socket;

/// Ethernet's number for IPv4.
const ETHERTYPE_IPV4: u16 = 0x0800;
/// Between the questions while waiting for the first answer: packets get lost, and a bridge that has just
/// learned a port drops some.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A DHCP server that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignServer {
    /// What it calls itself (option 54), else the address that it sends from.
    pub address: Ipv4Addr,
    /// The card that its answer came from; not known if only a client named the server.
    pub mac: Option<Mac>,
}

impl std::fmt::Display for ForeignServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.mac {
            Some(mac) => write!(f, "{} ({mac})", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

/// Asks and overhears on one interface.
#[derive(Debug)]
pub struct Probe {
    question: UdpSocket,
    overheard: UdpSocket,
    mac: Mac,
    ours: Ipv4Addr,
}

impl Probe {
    /// Opens the sockets. `ours` is the server that is not foreign.
    pub fn open(interface: &str, mac: Mac, ours: Ipv4Addr) -> io::Result<Self> {
        let question = socket::udp_client(interface)?;
        // Not UDP, but the one type here that waits for any socket's datagrams without unsafe code.
        let overheard = UdpSocket::from_std(packet_socket(interface)?.into())?;
        Ok(Self { question, overheard, mac, ours })
    }

    /// Sends one DHCPDISCOVER.
    pub async fn ask(&self) -> io::Result<()> {
        let mut number = [0; 4];
        getrandom::fill(&mut number).map_err(|error| io::Error::other(error.to_string()))?;
        let bytes = discover(self.mac, u32::from_ne_bytes(number));
        self.question.send_to(&bytes, SocketAddrV4::new(Ipv4Addr::BROADCAST, 67)).await.map(drop)
    }

    /// Waits until another server is overheard, whomever it answers.
    pub async fn overhear(&self) -> io::Result<ForeignServer> {
        let mut frame = vec![0; 2048];
        loop {
            let length = match self.overheard.recv(&mut frame).await {
                Ok(length) => length,
                // The interface was down for a moment.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENETDOWN) => continue,
                Err(error) => return Err(error),
            };
            let server = frame.get(..length).and_then(|frame| server_in(frame, self.ours));
            if let Some(server) = server.filter(|server| server.mac != Some(self.mac)) {
                return Ok(server);
            }
        }
    }

    /// Asks several times and tells whether another server answers within `wait`.
    pub async fn search(&self, wait: Duration) -> io::Result<Option<ForeignServer>> {
        let end = Instant::now() + wait;
        while Instant::now() < end {
            self.ask().await?;
            let pause = end.min(Instant::now() + ASK_EVERY);
            if let Ok(found) = timeout_at(pause, self.overhear()).await {
                return found.map(Some);
            }
        }
        Ok(None)
    }
}

/// A client's first message, which asks for a broadcast answer.
pub fn discover(mac: Mac, xid: u32) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(xid, none, none, none, none, &mac.0);
    message.set_flags(Flags::default().set_broadcast());
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(MessageType::Discover));
    options.insert(DhcpOption::ParameterRequestList(vec![OptionCode::SubnetMask, OptionCode::Router]));
    let mut bytes = Vec::with_capacity(300);
    // Only data too long for its field can't be encoded, and here everything is fixed.
    let _ = message.encode(&mut Encoder::new(&mut bytes));
    bytes
}

/// The server that speaks in this Ethernet frame, if it is a DHCP server's and not `ours`.
pub fn server_in(frame: &[u8], ours: Ipv4Addr) -> Option<ForeignServer> {
    let (ethernet, ip) = frame.split_first_chunk::<14>()?;
    let header = usize::from(ip.first()? & 0x0f) * 4;
    let source = Ipv4Addr::from(*ip.get(12..)?.first_chunk::<4>()?);
    let udp = ip.get(header.max(20)..)?;
    let packet = Packet::parse(udp.get(8..)?).ok().filter(|packet| packet.kind.is_from_server())?;
    let address = packet.server.unwrap_or(source);
    let mac = ethernet.get(6..12)?.try_into().ok().map(Mac);
    (address != ours).then_some(ForeignServer { address, mac })
}

/// A raw socket that hears the IPv4 frames to UDP port 68 on `interface`, and no others.
fn packet_socket(interface: &str) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(ETHERTYPE_IPV4.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.attach_filter(&to_port_68())?;
    socket.set_nonblocking(true)?;
    let link = nix::ifaddrs::getifaddrs()?
        .filter(|found| found.interface_name == interface)
        .find_map(|found| found.address.and_then(|address| address.as_link_addr().copied()));
    let link: LinkAddr = link.ok_or(io::ErrorKind::NotFound)?;
    bind(socket.as_raw_fd(), &link)?;
    Ok(socket)
}

/// Classic BPF for "UDP, not a later fragment, destination port 68", on an Ethernet frame with IPv4.
fn to_port_68() -> [SockFilter; 9] {
    let op = SockFilter::new;
    [
        op(0x30, 0, 0, 23),     // load byte: IP protocol
        op(0x15, 0, 5, 17),     // UDP, else drop
        op(0x28, 0, 0, 20),     // load half: fragment offset
        op(0x45, 3, 0, 0x1fff), // a later fragment: drop
        op(0xb1, 0, 0, 14),     // X = length of the IP header
        op(0x48, 0, 0, 16),     // load half: UDP destination port
        op(0x15, 1, 0, 68),     // 68: keep
        op(0x06, 0, 0, 0),      // drop
        op(0x06, 0, 0, 2048),   // keep
    ]
}
