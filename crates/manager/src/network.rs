//! The manager's own place on the wire: its cluster address, network boot on a cable of its own, and what
//! it sees of the network.

mod address;
mod bystand;
mod cable;
mod fit;
mod report;
mod scan;
pub mod types;

pub use address::keep as keep_address;
pub use bystand::keep as bystand;
pub use cable::keep as keep_cable;
pub use report::look;
pub use scan::{ScanRefused, Scanner, scan};

use cairn_netboot::ForeignServer;
use std::collections::BTreeMap;

/// Other DHCP servers that are remembered. A house has one, or two by mistake.
const RIVALS: usize = 16;

/// Whether an address is one of this machine's. Without the manager's own cluster address no packet to a
/// node's would stay in the house: it would go to the default gateway.
pub fn is_ours(address: std::net::Ipv4Addr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

/// What is to be said about the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkView {
    /// The URL that the owner gave for fetching the image.
    pub image_url: Option<String>,
    pub cable: CableView,
    /// Those that are given the cluster address.
    pub interfaces: Vec<String>,
    /// Why the cluster address could not be given to an interface.
    pub address_error: Option<String>,
    /// Other DHCP servers that were heard.
    pub rivals: Vec<Rival>,
    /// Why an interface can't be listened on, by its name.
    pub deaf: BTreeMap<String, String>,
}

/// A DHCP server that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    pub interface: String,
    pub server: ForeignServer,
    /// When it was last heard.
    pub unix_seconds: u64,
}

/// Network boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CableView {
    /// Not wanted.
    #[default]
    Off,
    Starting {
        interface: String,
    },
    Running {
        interface: String,
        base: String,
    },
    /// It did not start or has stopped; it is tried again.
    Refused {
        interface: String,
        reason: String,
    },
}

impl CableView {
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Off => None,
            Self::Starting { interface }
            | Self::Running { interface, .. }
            | Self::Refused { interface, .. } => Some(interface),
        }
    }

    /// How network boot stands.
    pub fn sentence(&self) -> String {
        match self {
            Self::Off => "Network boot is off; machines that start by themselves are found.".to_owned(),
            Self::Starting { interface } => format!("Looking whether {interface} is a cable of our own."),
            Self::Running { interface, .. } => {
                format!("Network boot runs on {interface}: machines there may be switched on.")
            }
            Self::Refused { interface, reason } => format!(
                "Network boot does not run on {interface}; nodes are found all the same. The reason: {reason}."
            ),
        }
    }
}

impl NetworkView {
    /// The interfaces that the owner named.
    pub fn chosen(&self) -> Vec<String> {
        self.interfaces.iter().cloned().chain(self.cable.interface().map(str::to_owned)).collect()
    }

    /// Another DHCP server answered.
    pub fn heard(&mut self, interface: &str, server: ForeignServer, unix_seconds: u64) {
        let is_it = |it: &&mut Rival| it.interface == interface && it.server.address == server.address;
        if let Some(known) = self.rivals.iter_mut().find(is_it) {
            known.unix_seconds = unix_seconds;
            known.server.mac = server.mac.or(known.server.mac);
        } else if self.rivals.len() < RIVALS {
            self.rivals.push(Rival { interface: interface.to_owned(), server, unix_seconds });
        }
    }

    /// Where machines fetch the image from.
    pub fn image_base(&self) -> Option<String> {
        match &self.cable {
            _ if self.image_url.is_some() => self.image_url.clone(),
            CableView::Running { base, .. } => Some(base.clone()),
            CableView::Off | CableView::Starting { .. } | CableView::Refused { .. } => None,
        }
    }
}
