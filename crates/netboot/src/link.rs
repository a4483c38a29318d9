//! The interface's own address in own-cable mode, given and taken by iproute2's `ip`.
//!
//! The address is given with a short lifetime and renewed while the server runs, so that it goes by itself
//! when the server was killed. That also tells it from an address that somebody else put there for good:
//! such a one is used and left alone.

use std::io;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::mac::Mac;

/// How long the address stays after the last [`Link::renew`].
pub const LIFETIME: Duration = Duration::from_secs(300);

/// The interface can't be used, or `ip` failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no such interface.
    #[error("there is no network interface {0:?} here: `ip link` lists those that there are")]
    NoInterface(String),
    /// Not an Ethernet interface.
    #[error("the interface {0:?} has no Ethernet address: choose a wired one")]
    NotEthernet(String),
    /// `ip` could not be run.
    #[error("can't run `ip` to set up {interface}: install iproute2")]
    Run {
        /// Which interface.
        interface: String,
        /// Why.
        source: io::Error,
    },
    /// `ip` refused.
    #[error(
        "`{command}` failed: {stderr} (this needs the right to configure the network: root, or CAP_NET_ADMIN)"
    )]
    Refused {
        /// The whole command.
        command: String,
        /// What it said.
        stderr: String,
    },
}

/// An interface that has our address.
#[derive(Debug)]
pub struct Link {
    interface: String,
    address: String,
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
    ip(interface, &["link", "set", "dev", interface, "up"]).await.map(drop)
}

impl Link {
    /// Makes sure that the interface has `address`.
    pub async fn give(interface: &str, address: Ipv4Addr, prefix: u8) -> Result<Self, LinkError> {
        let present = ip(interface, &["-4", "-o", "addr", "show", "dev", interface]).await?;
        let address = format!("{address}/{prefix}");
        let of_others = present.lines().any(|line| {
            line.split_whitespace().any(|word| word == address) && line.contains("valid_lft forever")
        });
        let link = Self { interface: interface.to_owned(), address, ours: !of_others };
        link.renew().await?;
        Ok(link)
    }

    /// Prolongs the lifetime of the address, if it is ours.
    pub async fn renew(&self) -> Result<(), LinkError> {
        let Self { interface, address, ours } = self;
        let seconds = LIFETIME.as_secs().to_string();
        if *ours {
            let words = [
                "-4",
                "addr",
                "replace",
                address,
                "dev",
                interface,
                "valid_lft",
                &seconds,
                "preferred_lft",
                &seconds,
            ];
            ip(interface, &words).await?;
        }
        Ok(())
    }

    /// Takes the address away again, if it is ours.
    pub async fn take(self) -> Result<(), LinkError> {
        let Self { interface, address, ours } = self;
        if ours {
            ip(&interface, &["-4", "addr", "del", &address, "dev", &interface]).await?;
        }
        Ok(())
    }
}

async fn ip(interface: &str, arguments: &[&str]) -> Result<String, LinkError> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|source| LinkError::Run { interface: interface.to_owned(), source })?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(LinkError::Refused {
            command: format!("ip {}", arguments.join(" ")),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
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
