//! The fixed cluster address, beside whatever a DHCP server hands out.

use crate::command;
use crate::files;
use std::net::Ipv4Addr;
use std::path::Path;

/// A drop-in of the image's own `50-cairn.network`, which does DHCP on every wired interface.
const DROP_IN: &str = "/run/systemd/network/50-cairn.network.d/cluster-address.conf";

/// Adds the address and lets networkd take it over.
///
/// # Errors
/// When the drop-in can't be written or networkd does not take it.
pub fn add_cluster_address(address: Ipv4Addr, prefix_length: u8) -> anyhow::Result<()> {
    files::write_with_mode(Path::new(DROP_IN), drop_in(address, prefix_length).as_bytes(), 0o644)?;
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
    fn the_drop_in_only_adds_an_address() {
        assert_eq!(drop_in(Ipv4Addr::new(10, 81, 3, 10), 24), "[Network]\nAddress=10.81.3.10/24\n");
    }
}
