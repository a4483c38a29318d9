//! Hears what machines on a wire ask of DHCP, where this library does not serve, and says nothing.

use std::io;

use crate::dhcp::Packet;
use crate::frame::{Datagram, Frames};
use crate::link;
use crate::mac::Mac;

/// Listens on one interface.
#[derive(Debug)]
pub struct Bystander {
    frames: Frames,
    own: Mac,
}

impl Bystander {
    /// Needs the right to open packet sockets (root, or CAP_NET_RAW), and a Tokio runtime.
    pub fn open(interface: &str) -> io::Result<Self> {
        let own = link::mac_of(interface).map_err(io::Error::other)?;
        Ok(Self { frames: Frames::open(interface, 67)?, own })
    }

    /// The next question of another machine's; an error when the interface is gone.
    pub async fn next(&self) -> io::Result<Packet> {
        let mut buffer = vec![0; 2048];
        loop {
            let datagram = Datagram::parse(self.frames.next(&mut buffer).await?);
            let packet = datagram.and_then(|datagram| Packet::parse(datagram.payload).ok());
            if let Some(packet) = packet.filter(|it| !it.kind.is_from_server() && it.mac != self.own) {
                return Ok(packet);
            }
        }
    }
}
