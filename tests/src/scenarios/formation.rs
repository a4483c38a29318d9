//! From empty disks to a healthy cluster.

use crate::runner::CHECKPOINT;
use crate::up::{STATIC_ADDRESS, up};
use crate::world::World;
use anyhow::{Context, Result, bail, ensure};
use cairn_manager::api::Status;
use cairn_model::phase::Phase;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

/// The manager tells the time to who is off by more.
const RIGHT: u64 = 10;

pub fn machines_become_a_cluster(world: &World) -> Result<()> {
    let timeline = up(world, Duration::from_secs(840))?;
    timeline.figures(world);
    let status = world.status()?;
    ensure!(status.healthy, "`lab up` ended, but: {}", status.unhealthy_because.join("; "));
    ensure!(status.etcd.healthy == 3, "{} members of etcd are healthy", status.etcd.healthy);
    let nodes: Vec<_> = status.nodes.iter().filter(|node| node.enrolled).collect();
    ensure!(nodes.len() == 4, "{} nodes are enrolled", nodes.len());
    for node in &nodes {
        let right = node.phase == Phase::Running && node.encrypted && node.unlocked;
        ensure!(
            right,
            "{} is {}, encrypted {}, unlocked {}",
            node.name,
            node.phase,
            node.encrypted,
            node.unlocked
        );
    }
    let compute = nodes.iter().find(|node| node.name == "compute-1").context("no compute-1")?;
    if !compute.conditions.iter().any(|it| it.message.starts_with("waiting for artifact k3s ")) {
        bail!("compute-1 does not say that it waits for k3s: {:?}", compute.conditions);
    }
    for node in ["etcd-1", "compute-1"] {
        clock_was_set(world, node)?;
    }
    static_address(&status)?;
    // As it was on the first day, for whoever tries it a second time.
    let medium = world.state.join("media/etcd-1.img");
    world.demand(
        std::process::Command::new("cp").arg("--sparse=always").args([&medium, &used_medium(world)]),
    )?;
    Ok(())
}

/// The hardware clock runs in the year 70 (of its two digits Linux makes 2070), so the system began with another time
/// than the manager's.
fn clock_was_set(world: &World, node: &str) -> Result<()> {
    let hardware = world.exec(node, &["cat", "/proc/driver/rtc"])?;
    let date = hardware.lines().find_map(|line| line.strip_prefix("rtc_date")).unwrap_or_default();
    ensure!(date.contains("70-01-0"), "the hardware clock of {node} did not start in 1970: {date}");
    let system = world.exec(node, &["date", "+%s"])?;
    let system: u64 = system.parse().with_context(|| format!("the clock of {node} says {system}"))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    ensure!(system.abs_diff(now) <= RIGHT, "{node} says that it is {system}, and it is {now}");
    world.exec(node, &["test", "-e", "/var/lib/cairn/clock"])?;
    Ok(())
}

/// The address of its medium and its cluster address, and none of the DHCP server that is there as well.
fn static_address(status: &Status) -> Result<()> {
    let node = status.nodes.iter().find(|node| node.name == "etcd-3").context("no etcd-3")?;
    let interfaces = node.inventory.iter().flat_map(|inventory| &inventory.interfaces);
    let mut addresses: Vec<IpAddr> =
        interfaces.flat_map(|it| it.addresses.clone()).filter(IpAddr::is_ipv4).collect();
    addresses.sort();
    let mut expected = [IpAddr::from(STATIC_ADDRESS), IpAddr::from(node.address)];
    expected.sort();
    ensure!(addresses == expected, "etcd-3 has the addresses {addresses:?} instead of {expected:?}");
    Ok(())
}

/// The prepared medium of etcd-1, as it was before its first start.
pub fn used_medium(world: &World) -> std::path::PathBuf {
    world.scratch.join("etcd-1-used.img")
}

pub fn checkpoint(world: &World) -> Result<()> {
    let began = Instant::now();
    let limit = Duration::from_secs(120);
    world.cairn_lab_within(limit, &["checkpoint", "save", CHECKPOINT])?;
    let saved = began.elapsed();
    world.figures.borrow_mut().time("saving a checkpoint of the four machines", saved, "");
    let began = Instant::now();
    world.cairn_lab_within(limit, &["checkpoint", "restore", CHECKPOINT])?;
    world.healthy(Duration::from_secs(120))?;
    world.figures.borrow_mut().time("restoring it, up to healthy", began.elapsed(), "");
    Ok(())
}
