//! The fixed cluster address, beside whatever a DHCP server hands out.

use crate::command;
use crate::files;
use std::net::Ipv4Addr;
use std::path::Path;

/// What the cluster address is put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Cable,
    Wifi,
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cable => "the cable",
            Self::Wifi => "Wi-Fi",
        })
    }
}

/// Where the address belongs: on the cable where there is one, and where it was while nothing is connected.
pub fn place(now: Link, cable: bool, wifi: bool) -> Link {
    match (cable, wifi) {
        (true, _) => Link::Cable,
        (false, true) => Link::Wifi,
        (false, false) => now,
    }
}

/// Drop-ins of the image's own files, which do DHCP on every interface of their kind.
fn drop_ins(link: Link) -> [&'static str; 2] {
    let [cable, wifi] = [
        "/run/systemd/network/50-cairn.network.d/cluster-address.conf",
        "/run/systemd/network/60-cairn-wifi.network.d/cluster-address.conf",
    ];
    match link {
        Link::Cable => [cable, wifi],
        Link::Wifi => [wifi, cable],
    }
}

/// Where the address is, or will be.
pub fn current() -> Link {
    let [wifi, _] = drop_ins(Link::Wifi);
    if Path::new(wifi).exists() { Link::Wifi } else { Link::Cable }
}

/// Adds the address where the initrd had it, on the cable before anything is known, and lets networkd take it over.
///
/// # Errors
/// When the drop-in can't be written or networkd does not take it.
pub fn add_cluster_address(address: Ipv4Addr, prefix_length: u8) -> anyhow::Result<()> {
    put_cluster_address(current(), address, prefix_length)
}

/// The same on this link, and on no other: on two at once, others would send to either.
///
/// # Errors
/// As [`add_cluster_address`].
pub fn put_cluster_address(link: Link, address: Ipv4Addr, prefix_length: u8) -> anyhow::Result<()> {
    let [here, elsewhere] = drop_ins(link);
    files::write_with_mode(Path::new(here), drop_in(address, prefix_length).as_bytes(), 0o644)?;
    if Path::new(elsewhere).exists() {
        std::fs::remove_file(elsewhere)?;
    }
    // networkctl would need D-Bus, which the image does not have.
    command::run("systemctl", &["reload", "systemd-networkd.service"], b"")?;
    Ok(())
}

fn drop_in(address: Ipv4Addr, prefix_length: u8) -> String {
    format!("[Network]\nAddress={address}/{prefix_length}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_follows_the_cable_and_stays_where_it_was_while_nothing_is_connected() {
        for now in [Link::Cable, Link::Wifi] {
            assert_eq!(place(now, true, false), Link::Cable);
            assert_eq!(place(now, true, true), Link::Cable);
            assert_eq!(place(now, false, true), Link::Wifi);
            assert_eq!(place(now, false, false), now);
        }
    }

    #[test]
    fn the_drop_in_only_adds_an_address() {
        assert_eq!(drop_in(Ipv4Addr::new(10, 81, 3, 10), 24), "[Network]\nAddress=10.81.3.10/24\n");
    }
}
