//! The manager's own place on the wire: its cluster address, and network boot on a cable of its own.

mod address;
mod cable;

pub use address::keep as keep_address;
pub use cable::keep as keep_cable;

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
    /// Why the cluster address could not be given to an interface.
    pub address_error: Option<String>,
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

impl NetworkView {
    /// Where machines fetch the image from.
    pub fn image_base(&self) -> Option<String> {
        match &self.cable {
            _ if self.image_url.is_some() => self.image_url.clone(),
            CableView::Running { base, .. } => Some(base.clone()),
            CableView::Off | CableView::Starting { .. } | CableView::Refused { .. } => None,
        }
    }
}
