//! Bridges, cables and a home router inside the namespace.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::command::CommandError;
use crate::namespace::Namespace;
use crate::process::ProcessSpec;

/// The manager's network interface inside the namespace.
pub const MANAGER_INTERFACE: &str = "mgr0";
const MANAGER_PORT: &str = "mgr0-port";

/// A network with a router in it that hands out addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub router: Ipv4Addr,
    pub prefix: u8,
    pub first: Ipv4Addr,
    pub last: Ipv4Addr,
}

pub(crate) fn add_bridge(namespace: &Namespace, name: &str) -> Result<(), CommandError> {
    // No spanning tree, no delay, multicast to everybody: as a home switch does it.
    let plain = ["stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"];
    namespace.ip(&[["link", "add", name, "type", "bridge"].as_slice(), &plain].concat())?;
    namespace.ip(&["link", "set", name, "up"])?;
    Ok(())
}

pub(crate) fn add_tap(namespace: &Namespace, tap: &str, bridge: &str) -> Result<(), CommandError> {
    namespace.ip(&["tuntap", "add", "dev", tap, "mode", "tap"])?;
    move_port(namespace, tap, bridge)
}

pub(crate) fn move_port(namespace: &Namespace, port: &str, bridge: &str) -> Result<(), CommandError> {
    namespace.ip(&["link", "set", port, "master", bridge])?;
    namespace.ip(&["link", "set", port, "up"])?;
    Ok(())
}

pub(crate) fn add_manager(namespace: &Namespace, bridge: &str) -> Result<(), CommandError> {
    namespace.ip(&["link", "add", MANAGER_INTERFACE, "type", "veth", "peer", "name", MANAGER_PORT])?;
    move_port(namespace, MANAGER_PORT, bridge)?;
    namespace.ip(&["link", "set", MANAGER_INTERFACE, "up"])?;
    Ok(())
}

/// Pulls the manager's cable and plugs it in at the other bridge.
pub(crate) fn move_manager(namespace: &Namespace, bridge: &str) -> Result<(), CommandError> {
    namespace.ip(&["link", "set", MANAGER_PORT, "down"])?;
    move_port(namespace, MANAGER_PORT, bridge)
}

pub(crate) fn address(
    namespace: &Namespace,
    verb: &str,
    address: &str,
    interface: &str,
) -> Result<(), CommandError> {
    namespace.ip(&["address", verb, address, "dev", interface]).map(drop)
}

/// A home router as far as its DHCP server goes.
pub(crate) fn dnsmasq(bridge: &str, subnet: &Subnet, leases: &std::path::Path) -> ProcessSpec {
    let mask = netmask(subnet.prefix);
    let mut command = vec!["dnsmasq".to_owned()];
    command.extend(
        // Port 0: no DNS. The check of an address before it is offered costs seconds and no address is taken here.
        ["keep-in-foreground", "conf-file=/dev/null", "port=0", "bind-interfaces", "no-ping", "user=root"]
            .map(|option| format!("--{option}")),
    );
    command.extend(["--log-facility=-", "--dhcp-authoritative"].map(str::to_owned));
    command.push(format!("--interface={bridge}"));
    command.push(format!("--dhcp-range={},{},{mask},2m", subnet.first, subnet.last));
    command.push(format!("--dhcp-option=option:router,{}", subnet.router));
    command.push(format!("--dhcp-leasefile={}", leases.display()));
    command.push("--pid-file=".to_owned());
    ProcessSpec::new(&dnsmasq_name(bridge), command)
}

pub(crate) fn dnsmasq_name(bridge: &str) -> String {
    format!("dnsmasq-{bridge}")
}

fn netmask(prefix: u8) -> Ipv4Addr {
    let host_bits = 32_u32.saturating_sub(u32::from(prefix));
    Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_length_is_written_as_a_mask() {
        assert_eq!(netmask(24), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(netmask(32), Ipv4Addr::BROADCAST);
        assert_eq!(netmask(0), Ipv4Addr::UNSPECIFIED);
    }
}
