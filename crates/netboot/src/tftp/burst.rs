//! Several datagrams at once, by one call where the kernel and the card do that (`UDP_SEGMENT` of udp(7)).
//!
//! What is on the wire is the same. `sendmmsg` was the alternative: it saves the calls, but each datagram still goes
//! through the kernel alone, and that is most of the work.

use std::io;

use nix::libc::{ECONNREFUSED, ENOBUFS};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use tokio::net::UdpSocket;

/// What the kernel takes at once: so many datagrams (`UDP_MAX_SEGMENTS` of linux/udp.h when it began), and no more bytes
/// than one of UDP's own.
const DATAGRAMS: usize = 64;
const BYTES: usize = 65_507;

/// A connected socket that sends datagrams of one length.
pub struct Burst<'a> {
    socket: &'a UdpSocket,
    length: usize,
    together: bool,
}

impl<'a> Burst<'a> {
    pub fn new(socket: &'a UdpSocket, length: usize, window: u16) -> Self {
        let size = i32::try_from(length).unwrap_or_default();
        let together = window > 1 && setsockopt(socket, UdpGsoSegment, &size).is_ok();
        Self { socket, length, together }
    }

    /// Sends datagrams that lie one behind the other; the last may be shorter.
    pub async fn send(&mut self, datagrams: &[u8]) -> io::Result<()> {
        let most = (BYTES / self.length).clamp(1, DATAGRAMS) * self.length;
        for part in datagrams.chunks(most) {
            if self.together {
                match sent(self.socket.send(part).await) {
                    // A card that computes no checksums, or a path for smaller packets.
                    Err(error) if error.raw_os_error() != Some(ECONNREFUSED) => self.part()?,
                    other => {
                        other?;
                        continue;
                    }
                }
            }
            for datagram in part.chunks(self.length) {
                sent(self.socket.send(datagram).await)?;
            }
        }
        Ok(())
    }

    /// From now on each goes alone. The kernel would else refuse even one.
    fn part(&mut self) -> io::Result<()> {
        self.together = false;
        Ok(setsockopt(self.socket, UdpGsoSegment, &0)?)
    }
}

/// A queue of the card that is full is as good as a lost packet, and the time-out repairs it.
pub fn sent(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(ENOBUFS) => Ok(()),
        other => other.map(drop),
    }
}
