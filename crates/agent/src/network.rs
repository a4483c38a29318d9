//! The fixed cluster address, beside whatever a DHCP server hands out, or beside the static address that the machine was
//! given with its medium.

use crate::boot::BootDisk;
use crate::command;
use crate::console::say;
use crate::files;
use cairn_model::static_address::{FILE, StaticAddress};
use cairn_workflow::log::chain;
use std::fmt::Write as _;
use std::io;
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

const CLUSTER: &str = "cluster-address.conf";
/// Written in the initrd, and still there in the running system: `/run` is memory that both share.
const STATIC: &str = "static-address.conf";

/// Where drop-ins of the image's own files lie, which do DHCP on every interface of their kind.
fn folder(link: Link) -> &'static Path {
    Path::new(match link {
        Link::Cable => "/run/systemd/network/50-cairn.network.d",
        Link::Wifi => "/run/systemd/network/60-cairn-wifi.network.d",
    })
}

/// This one, and the other.
fn folders(link: Link) -> [&'static Path; 2] {
    let [cable, wifi] = [folder(Link::Cable), folder(Link::Wifi)];
    match link {
        Link::Cable => [cable, wifi],
        Link::Wifi => [wifi, cable],
    }
}

/// Where the addresses are, or will be.
pub fn current() -> Link {
    let wifi = folder(Link::Wifi);
    if [CLUSTER, STATIC].iter().any(|name| wifi.join(name).exists()) { Link::Wifi } else { Link::Cable }
}

/// Takes the static address from the boot partition, if it is there, on the cable before anything is known. A fault is
/// said and stops nothing else: perhaps a DHCP server is there.
pub fn begin(disk: &BootDisk) {
    let address = match disk.read(FILE) {
        Ok(None) => return,
        Ok(Some(bytes)) => serde_json::from_slice::<StaticAddress>(&bytes).map_err(|error| {
            format!("`{FILE}` on the boot partition is damaged; prepare the medium again: {error}")
        }),
        Err(error) => Err(chain(&error)),
    };
    let begun = address.and_then(|address| {
        let at = folder(current()).join(STATIC);
        files::write_with_mode(&at, static_drop_in(&address).as_bytes(), 0o644)
            .map_err(|error| error.to_string())?;
        reload().map_err(|error| chain(&error))?;
        Ok(address)
    });
    match begun {
        Ok(address) => say(&format!("the static address is {address}")),
        Err(text) => say(&format!("the static address can't be set, so a router has to give one: {text}")),
    }
}

/// What was written down, where it has to go with the node onto another disk.
///
/// # Errors
/// When the boot partition can't be read.
pub fn carried(disk: &BootDisk) -> Result<Option<Vec<u8>>, crate::boot::BootError> {
    disk.read(FILE)
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
    let [here, elsewhere] = folders(link);
    files::write_with_mode(&here.join(CLUSTER), drop_in(address, prefix_length).as_bytes(), 0o644)?;
    if elsewhere.join(CLUSTER).exists() {
        std::fs::remove_file(elsewhere.join(CLUSTER))?;
    }
    move_static(here, elsewhere)?;
    Ok(reload()?)
}

/// The static address alone goes onto this link: the machine is no node yet, and has no cluster address.
///
/// # Errors
/// When its drop-in can't be moved or networkd does not take it.
pub fn put_static_address(link: Link) -> anyhow::Result<()> {
    let [here, elsewhere] = folders(link);
    if move_static(here, elsewhere)? {
        reload()?;
    }
    Ok(())
}

/// Whether it was there.
fn move_static(here: &Path, elsewhere: &Path) -> io::Result<bool> {
    let from = elsewhere.join(STATIC);
    if !from.exists() {
        return Ok(false);
    }
    std::fs::create_dir_all(here)?;
    std::fs::rename(from, here.join(STATIC))?;
    Ok(true)
}

/// networkctl would need D-Bus, which the image does not have.
fn reload() -> Result<(), command::CommandError> {
    command::run("systemctl", &["reload", "systemd-networkd.service"], b"").map(drop)
}

fn drop_in(address: Ipv4Addr, prefix_length: u8) -> String {
    format!("[Network]\nAddress={address}/{prefix_length}\n")
}

/// The cluster's drop-in adds its address to this one, since lines with `Address=` are a list (systemd.network(5)). No
/// address of 169.254.0.0/16 beside it: networkd takes one wherever DHCP is off, not only where it failed.
fn static_drop_in(address: &StaticAddress) -> String {
    let mut text = String::from("[Network]\nDHCP=no\nLinkLocalAddressing=no\n");
    let _ = writeln!(text, "Address={}/{}", address.address(), address.prefix_length());
    let _ = writeln!(text, "Gateway={}", address.gateway());
    for server in address.dns() {
        let _ = writeln!(text, "DNS={server}");
    }
    text
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
    fn a_static_address_takes_the_place_of_dhcp_and_leaves_the_link_a_cluster_address() {
        let dns = ["192.168.1.1".to_owned(), "9.9.9.9".to_owned()];
        let address = StaticAddress::new("192.168.1.21/24", "192.168.1.1", &dns).unwrap();
        let lines = "[Network]\nDHCP=no\nLinkLocalAddressing=no\nAddress=192.168.1.21/24\nGateway=192.168.1.1\nDNS=192.168.1.1\nDNS=9.9.9.9\n";
        assert_eq!(static_drop_in(&address), lines);
    }

    #[test]
    fn a_static_address_is_on_one_link_at_a_time_and_none_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [cable, wifi] = ["cable.d", "wifi.d"].map(|name| folder.path().join(name));
        assert!(!move_static(&wifi, &cable).unwrap());
        std::fs::create_dir(&cable).unwrap();
        std::fs::write(cable.join(STATIC), "x").unwrap();
        assert!(move_static(&wifi, &cable).unwrap());
        assert!(wifi.join(STATIC).exists() && !cable.join(STATIC).exists());
        // it is there already
        assert!(!move_static(&wifi, &cable).unwrap());
        assert!(wifi.join(STATIC).exists());
    }

    #[test]
    fn the_drop_in_only_adds_an_address() {
        assert_eq!(drop_in(Ipv4Addr::new(10, 81, 3, 10), 24), "[Network]\nAddress=10.81.3.10/24\n");
    }
}
