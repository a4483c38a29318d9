//! The power fails and comes back.

use crate::world::World;
use anyhow::Result;
use std::time::{Duration, Instant};

/// An emulated Raspberry Pi needs more than two minutes for it.
const BOOT: Duration = Duration::from_secs(300);

pub fn power_cut(world: &World) -> Result<()> {
    let began = Instant::now();
    let offset = world.power_cut("etcd-1")?;
    world.figures.borrow_mut().time(
        "power-on to unlocked (etcd-1)",
        unlocked(world, "etcd-1", offset, began)?,
        "",
    );
    world.running("etcd-1", BOOT)?;
    let began = Instant::now();
    let offset = world.power_cut("compute-1")?;
    let took = unlocked(world, "compute-1", offset, began)?;
    world.figures.borrow_mut().time("power-on to unlocked (compute-1)", took, "");
    world.running("compute-1", BOOT)
}

/// Waits until the machine says that it is locked, then that it was unlocked.
pub fn unlocked(world: &World, node: &str, offset: u64, began: Instant) -> Result<Duration> {
    let offset = world.console(node, offset, &format!("{node} is locked: waiting for the manager"), BOOT)?;
    let offset = world.console(node, offset, &format!("{node} is unlocked and starts"), BOOT)?;
    let took = began.elapsed();
    // What the manager knows may be from before the cut until the machine runs again.
    world.console(node, offset, &format!("{node} is running"), BOOT)?;
    Ok(took)
}
