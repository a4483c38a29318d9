//! Everything is carried home, where another router gives out other addresses.

use crate::world::World;
use anyhow::{Result, ensure};
use cairn_lab::Subnet;
use std::net::Ipv4Addr;
use std::time::Duration;

const BRIDGE: &str = "home";
const HOME: Subnet = Subnet {
    router: Ipv4Addr::new(192, 168, 7, 1),
    prefix: 24,
    first: Ipv4Addr::new(192, 168, 7, 100),
    last: Ipv4Addr::new(192, 168, 7, 200),
};

pub fn home(world: &World) -> Result<()> {
    let lab = world.lab()?;
    lab.add_bridge(BRIDGE)?;
    lab.start_dnsmasq(BRIDGE, HOME)?;
    let nodes = world.status()?.nodes.into_iter().filter(|node| node.enrolled).count();
    for machine in lab.machines()? {
        machine.move_to(BRIDGE)?;
    }
    lab.move_manager(BRIDGE, Some("192.168.7.2/24"))?;
    let leases = lab.dir().join("processes").join(format!("dnsmasq-{BRIDGE}.leases"));
    // etcd-3 has an address of its own, which leads nowhere here: it is found at its cluster address
    let asking = nodes.saturating_sub(1);
    world.until(
        "all nodes but one to have an address of the new router",
        Duration::from_secs(120),
        || {
            let leases = std::fs::read_to_string(&leases)?;
            ensure!(leases.lines().count() >= asking, "{} of {asking} have one", leases.lines().count());
            Ok(())
        },
    )?;
    for node in ["etcd-1", "compute-1"] {
        let addresses = world.exec(node, &["ip", "-4", "-brief", "address"])?;
        ensure!(addresses.contains("192.168.7."), "{node} has no address of the new router: {addresses}");
        ensure!(!addresses.contains("172.30.77."), "{node} kept its old address: {addresses}");
    }
    world.healthy(Duration::from_secs(120))?;
    super::etcd::members(world)?;
    let state = world.until("netboot to give way to the router", Duration::from_secs(60), || {
        let network = world.status()?.network;
        ensure!(network.state == "refused", "it is {}: {}", network.state, network.message);
        Ok(network.message)
    })?;
    ensure!(state.contains("DHCP"), "netboot does not say that there is another DHCP server: {state}");
    // And a start from cold finds its way there too.
    let offset = world.power_cut("etcd-2")?;
    super::unlocking::unlocked(world, "etcd-2", offset, std::time::Instant::now())?;
    world.running("etcd-2", Duration::from_secs(120))
}
