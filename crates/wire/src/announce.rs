//! How nodes are found: signed announcements by multicast DNS (RFC 6762, RFC 6763).
//!
//! An agent announces `_cairn._tcp.local` on every wired interface, unasked and again every few
//! seconds, because machines come, move and change their addresses while nobody asks. What an
//! announcement says is a hint of where to dial; who answers there is proven by TLS alone. The
//! signature keeps a stranger from making the manager's list of machines look wrong.

mod packet;
mod socket;

pub use packet::{Announcement, PacketError};
pub use socket::{Announcer, Listener};

/// RFC 6762 section 3.
const GROUP: std::net::Ipv4Addr = std::net::Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
const SERVICE: &str = "_cairn._tcp.local";
