//! The manager's own place on the wire: its cluster address, network boot, and what
//! it sees of the network.

mod address;
mod bystand;
mod fit;
mod netboot;
mod report;
mod rights;
mod scan;
pub mod types;
mod way;

pub use address::keep as keep_address;
pub use bystand::keep as bystand;
pub use netboot::keep as keep_netboot;
pub use report::look;
pub use rights::{RightsError, claim as claim_rights};
pub use scan::{ScanRefused, Scanner, scan};
pub use way::Way;

use cairn_netboot::ForeignServer;
use std::collections::{BTreeMap, BTreeSet};

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
    pub netboot: BootView,
    /// Those that are given the cluster address.
    pub interfaces: Vec<String>,
    /// Why the cluster address could not be given to an interface.
    pub address_error: Option<String>,
    /// Other DHCP servers that were heard.
    pub rivals: Vec<Rival>,
    /// What network boot can't do as it should, while it runs.
    pub boot_troubles: Vec<String>,
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
pub enum BootView {
    /// Not wanted.
    #[default]
    Off,
    /// Until it is known which network it is, there is no way.
    Starting {
        interface: String,
        way: Option<Way>,
    },
    Running {
        interface: String,
        way: Way,
        base: String,
    },
    /// It did not start or has stopped; it is tried again.
    Refused {
        interface: String,
        way: Way,
        reason: String,
    },
}

impl BootView {
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Off => None,
            Self::Starting { interface, .. }
            | Self::Running { interface, .. }
            | Self::Refused { interface, .. } => Some(interface),
        }
    }

    pub fn way(&self) -> Option<Way> {
        match self {
            Self::Off => None,
            Self::Starting { way, .. } => *way,
            Self::Running { way, .. } | Self::Refused { way, .. } => Some(*way),
        }
    }

    /// How network boot stands.
    pub fn sentence(&self) -> String {
        match self {
            Self::Off => "Network boot is off; machines that start by themselves are found.".to_owned(),
            Self::Starting { interface, way: None } => {
                format!("Looking what kind of network {interface} leads to.")
            }
            Self::Starting { interface, way: Some(Way::OwnCable) } => {
                format!("Looking whether {interface} is a cable of our own.")
            }
            Self::Starting { interface, way: Some(Way::HomeNetwork) } => {
                format!("Network boot starts on {interface}, beside the router.")
            }
            Self::Running { interface, way: Way::OwnCable, .. } => {
                format!("Network boot runs on {interface}: machines there may be switched on.")
            }
            // Whoever answers first can serve another initrd, and no code would show it.
            Self::Running { interface, way: Way::HomeNetwork, .. } => {
                format!(
                    "Network boot runs on {interface} beside the router: machines there may be switched on. Whoever else is on this network could answer them first; a cable of their own or a prepared medium rules that out."
                )
            }
            Self::Refused { interface, reason, .. } => format!(
                "Network boot does not run on {interface}; nodes are found all the same. The reason: {reason}."
            ),
        }
    }
}

impl NetworkView {
    /// The interfaces that the owner named.
    pub fn chosen(&self) -> Vec<String> {
        self.interfaces.iter().cloned().chain(self.netboot.interface().map(str::to_owned)).collect()
    }

    /// Another DHCP server answered.
    pub fn heard(&mut self, interface: &str, server: ForeignServer, unix_seconds: u64) {
        let is_it = |it: &&mut Rival| it.interface == interface && it.server.address == server.address;
        if let Some(known) = self.rivals.iter_mut().find(is_it) {
            known.unix_seconds = unix_seconds;
            known.server.mac = server.mac.or(known.server.mac);
            return;
        }
        self.rivals.push(Rival { interface: interface.to_owned(), server, unix_seconds });
        if self.rivals.len() > RIVALS
            && let Some((oldest, _)) = self.rivals.iter().enumerate().min_by_key(|(_, it)| it.unix_seconds)
        {
            self.rivals.remove(oldest);
        }
    }

    /// It was asked on this interface for other DHCP servers, and none answered.
    pub fn alone(&mut self, interface: &str) {
        self.rivals.retain(|rival| rival.interface != interface);
    }

    /// These interfaces are listened on now; what was said of others is over.
    pub fn listened(&mut self, interfaces: &BTreeSet<String>) {
        self.deaf.retain(|name, _| interfaces.contains(name));
    }

    /// Where machines fetch the image from.
    pub fn image_base(&self) -> Option<String> {
        match &self.netboot {
            _ if self.image_url.is_some() => self.image_url.clone(),
            BootView::Running { base, .. } => Some(base.clone()),
            BootView::Off | BootView::Starting { .. } | BootView::Refused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(last: u8) -> ForeignServer {
        ForeignServer { address: [192, 168, 1, last].into(), mac: None }
    }

    #[test]
    fn of_too_many_other_dhcp_servers_the_oldest_is_forgotten_and_a_silent_wire_clears_its_own() {
        let mut view = NetworkView::default();
        for (last, at) in (0..16).zip(100_u64..) {
            view.heard("eth0", server(last), at);
        }
        view.heard("eth0", server(0), 200);
        view.heard("eth1", server(99), 201);
        let known: Vec<u8> = view.rivals.iter().map(|rival| rival.server.address.octets()[3]).collect();
        assert!(known.contains(&0) && known.contains(&99) && !known.contains(&1), "{known:?}");
        assert_eq!(known.len(), RIVALS);
        view.alone("eth0");
        let left: Vec<_> = view.rivals.iter().map(|rival| rival.interface.as_str()).collect();
        assert_eq!(left, ["eth1"]);
    }

    #[test]
    fn no_complaint_outlives_its_interface() {
        let complaint = |name: &str| (name.to_owned(), "can't be heard".to_owned());
        let deaf = [complaint("eth0"), complaint("usb0")].into();
        let mut view = NetworkView { deaf, ..NetworkView::default() };
        view.listened(&["eth0".to_owned(), "wlan0".to_owned()].into());
        assert_eq!(view.deaf, [complaint("eth0")].into());
    }
}
