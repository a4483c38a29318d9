//! The interface's own address in own-cable mode.
//!
//! The address is given with a short lifetime and renewed while the server runs, so that it goes by itself
//! when the server was killed. That also tells it from an address that somebody else put there for good:
//! such a one is used and left alone.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use crate::kernel::Kernel;
use crate::mac::Mac;

/// How long the address stays after the last [`Link::renew`].
pub const LIFETIME: Duration = Duration::from_secs(300);

/// The interface can't be used, or the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no such interface.
    #[error("there is no network interface {0:?} here: `ip link` lists those that there are")]
    NoInterface(String),
    /// Not an Ethernet interface.
    #[error("the interface {0:?} has no Ethernet address: choose a wired one")]
    NotEthernet(String),
    /// The kernel could not be asked.
    #[error("the kernel can't be asked to set up {interface}")]
    Ask {
        /// Which interface.
        interface: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused.
    #[error(
        "the kernel did not {what} on {interface} (this needs the right to configure the network: root, or CAP_NET_ADMIN)"
    )]
    Refused {
        /// What was asked of it.
        what: String,
        /// Which interface.
        interface: String,
        /// What it said.
        source: io::Error,
    },
}

/// An interface that has our address.
#[derive(Debug)]
pub struct Link {
    interface: String,
    address: Ipv4Addr,
    prefix: u8,
    ours: bool,
}

/// The interface's own Ethernet address.
pub fn mac_of(interface: &str) -> Result<Mac, LinkError> {
    // `eth0.5` is a VLAN's usual name, so dots are allowed and paths are not.
    let name_is_sound = !interface.is_empty() && !interface.contains('/') && !interface.contains("..");
    let text = match name_is_sound {
        true => std::fs::read_to_string(format!("/sys/class/net/{interface}/address")),
        false => Err(io::ErrorKind::NotFound.into()),
    };
    let text = text.map_err(|_| LinkError::NoInterface(interface.to_owned()))?;
    text.parse()
        .ok()
        .filter(|mac| *mac != Mac([0; 6]))
        .ok_or_else(|| LinkError::NotEthernet(interface.to_owned()))
}

/// Switches the interface on.
pub async fn up(interface: &str) -> Result<(), LinkError> {
    Kernel::ask(interface)?.up().await
}

/// Makes sure that the interface has `address`, for good.
pub async fn put(interface: &str, address: Ipv4Addr, prefix: u8) -> Result<(), LinkError> {
    Kernel::ask(interface)?.put(address, prefix, None).await
}

impl Link {
    /// Makes sure that the interface has `address`.
    pub async fn give(interface: &str, address: Ipv4Addr, prefix: u8) -> Result<Self, LinkError> {
        let of_others = Kernel::ask(interface)?.has_for_good(address, prefix).await?;
        let link = Self { interface: interface.to_owned(), address, prefix, ours: !of_others };
        link.renew().await?;
        Ok(link)
    }

    /// Prolongs the lifetime of the address, if it is ours.
    pub async fn renew(&self) -> Result<(), LinkError> {
        match self.ours {
            true => Kernel::ask(&self.interface)?.put(self.address, self.prefix, Some(LIFETIME)).await,
            false => Ok(()),
        }
    }

    /// Takes the address away again, if it is ours.
    pub async fn take(self) -> Result<(), LinkError> {
        match self.ours {
            true => Kernel::ask(&self.interface)?.take(self.address, self.prefix).await,
            false => Ok(()),
        }
    }
}

/// How often the interface's cable was plugged in, as the kernel counts it (`carrier_up_count` in
/// sysfs-class-net(5)).
#[derive(Debug)]
pub struct Carrier {
    count: Option<File>,
    seen: u64,
}

impl Carrier {
    /// An interface that does not count is one whose cable stays where it is.
    pub fn of(interface: &str) -> Self {
        let count = File::open(format!("/sys/class/net/{interface}/carrier_up_count")).ok();
        let mut carrier = Self { count, seen: 0 };
        carrier.is_new();
        carrier
    }

    /// Whether it was plugged in since this was last asked.
    pub fn is_new(&mut self) -> bool {
        let before = self.seen;
        let mut text = [0; 24];
        let length = self.count.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let text = text.get(..length).and_then(|text| std::str::from_utf8(text).ok());
        self.seen = text.and_then(|text| text.trim().parse().ok()).unwrap_or(before);
        self.seen != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_or_not_ethernet_is_told() {
        assert!(matches!(mac_of("nosuch0"), Err(LinkError::NoInterface(_))));
        assert!(matches!(mac_of("../../x"), Err(LinkError::NoInterface(_))));
        assert!(matches!(mac_of(""), Err(LinkError::NoInterface(_))));
        assert!(matches!(mac_of("lo"), Err(LinkError::NotEthernet(_))));
    }
}
