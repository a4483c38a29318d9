//! Looks for other DHCP servers: asks the wire as a client would, and overhears what servers answer.
//!
//! Answers are overheard on a packet socket, not on UDP port 68: the kernel's reverse-path filter drops an
//! answer from a network that this machine has no route to, which is just what a stranger's is, and the
//! port may belong to this machine's own DHCP client. The question goes out there too, from 0.0.0.0 as RFC
//! 2131 wants it: the kernel would name an address of ours as its source, and a router's reverse-path filter
//! (or that of this very machine, when the server is on a bridge of its own) would drop it.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, OptionCode};
use dhcproto::{Encodable, Encoder};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::dhcp::Packet;
use crate::frame::{Datagram, Envelope, Frames};
use crate::mac::Mac;

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
    frames: Frames,
    mac: Mac,
    ours: Ipv4Addr,
}

impl Probe {
    /// Opens the socket. `ours` is the server that is not foreign.
    pub fn open(interface: &str, mac: Mac, ours: Ipv4Addr) -> io::Result<Self> {
        Ok(Self { frames: Frames::open(interface, 68)?, mac, ours })
    }

    /// Sends one DHCPDISCOVER.
    pub async fn ask(&self) -> io::Result<()> {
        let mut number = [0; 4];
        getrandom::fill(&mut number).map_err(|error| io::Error::other(error.to_string()))?;
        let bytes = discover(self.mac, u32::from_ne_bytes(number));
        self.frames.send(&Envelope::broadcast(self.mac, (68, 67)).seal(&bytes)).await
    }

    /// Waits until another server is overheard, whomever it answers.
    pub async fn overhear(&self) -> io::Result<ForeignServer> {
        let mut buffer = vec![0; 2048];
        loop {
            let server = server_in(self.frames.next(&mut buffer).await?, self.ours);
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
    let datagram = Datagram::parse(frame)?;
    let packet = Packet::parse(datagram.payload).ok().filter(|packet| packet.kind.is_from_server())?;
    let address = packet.server.unwrap_or(datagram.from);
    (address != ours).then_some(ForeignServer { address, mac: Some(datagram.card) })
}
