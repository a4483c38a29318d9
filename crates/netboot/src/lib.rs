//! Network boot on one Ethernet interface: DHCP, TFTP and HTTP, and the care not to disturb anybody.
//!
//! A machine's own UEFI firmware asks for an address and a boot file; [`Server`] gives it one and carries
//! the file. What each machine is to boot is decided by a [`BootPolicy`](policy::BootPolicy) that the user
//! of this library supplies; the library knows nothing of clusters.
//!
//! There are two modes. [`Mode::OwnCable`](config::Mode::OwnCable): this server is the only DHCP server on the
//! wire. It refuses to start where another one answers and stops by itself when one appears.
//! [`Mode::HomeNetwork`](config::Mode::HomeNetwork): a router hands out the addresses, and this server only adds
//! what to boot (proxy DHCP).
//!
//! UEFI firmware (PXE, HTTP boot) and iPXE get the final image; a BIOS gets it by way of iPXE, as kernel and initrds out
//! of the same file ([`uki`]). [`policy`] says why none of that can loop, and [`dhcp::boot`] who can't boot, and why.
//!
//! What it does not do: no other chain loader, no IPv6, no files but those named at the start, the parts of an image,
//! and those that a folder has under their checksums, no writing over the wire. It answers through DHCP relays in a home network only.
//!
//! Start reading at [`dhcp::answer`] and [`dhcp::proxy::answer`], pure functions that decide everything about DHCP, and
//! [`tftp::window::Window`], which decides what TFTP sends. [`server`] puts them on sockets. What happens is
//! told as [`story::Event`]s, from which [`diagnosis`] says in a sentence how far a machine came. Where no server
//! runs, a [`Bystander`] still hears who asks.

mod arp;
mod bystander;
pub mod config;
mod counters;
pub mod dhcp;
pub mod diagnosis;
pub mod files;
mod frame;
pub mod http;
mod kernel;
pub mod link;
pub mod mac;
pub mod policy;
pub mod probe;
pub mod server;
mod socket;
pub mod story;
pub mod tftp;
mod trouble;
pub mod uki;
mod words;

pub use bystander::Bystander;
pub use config::{Config, HTTP_PORT, HomeNetwork, Mode, OwnCable, Reservation};
pub use counters::Counts;
pub use diagnosis::{Diagnosis, Stage, diagnose};
pub use files::Files;
pub use http::Http;
pub use mac::Mac;
pub use policy::{Arch, Bios, BootAnswer, BootPolicy, Client, Images, MachineRequest, OneShot, Wishes};
pub use probe::ForeignServer;
pub use server::{Because, Port, Server, StartError, State};
pub use story::{Event, MachineStory, Story, Via, What};
pub use trouble::Trouble;

/// What is heard in a frame, for the fuzz target: whoever speaks in it, and what it carries.
#[cfg(fuzzing)]
pub fn hear_frame(frame: &[u8]) {
    let _ = arp::Neighbour::in_frame(frame);
    if let Some(datagram) = frame::Datagram::parse(frame) {
        assert!(datagram.payload.len() + 42 <= frame.len());
    }
}
