//! The figures of `docs/benchmarks.md`.

use crate::scenarios::formation;
use crate::world::World;
use crate::{figures, hundred, runner, scenarios};
use anyhow::{Context, Result};
use std::process::ExitCode;
use std::time::Duration;

/// After so long nothing of the start goes on.
const AT_REST: Duration = Duration::from_secs(60);

/// # Errors
/// When one of the measurements can't be taken.
pub fn run() -> Result<ExitCode> {
    let world = World::new()?;
    runner::clear(&world)?;
    hundred::measure(&world, hundred::NODES)?;
    let measured = measure(&world);
    let down = runner::take_down(&world);
    measured.and(down)?;
    world.figures.borrow_mut().sizes(&world.cairn);
    println!("{}\n\n{}", figures::host(&world.scratch)?, world.figures.borrow().table());
    Ok(ExitCode::SUCCESS)
}

fn measure(world: &World) -> Result<()> {
    world.set_deadline(Duration::from_secs(3600));
    formation::machines_become_a_cluster(world)?;
    std::thread::sleep(AT_REST);
    memory(world)?;
    scenarios::unlocking::power_cut(world)?;
    scenarios::stranger::gets_nothing(world)
}

/// Memory of the nodes as the status tells it.
pub fn memory(world: &World) -> Result<()> {
    let etcd = world.node("etcd-1").context("no figures of memory")?;
    let mut figures = world.figures.borrow_mut();
    figures.size("resident memory of the agent (etcd-1)", etcd.agent_resident, "15 MB");
    figures.size("used memory of an etcd node of 512 MB (etcd-1)", etcd.memory_used, "220 MB");
    let compute = world.node("compute-1")?;
    figures.size("used memory of a compute node without k3s (compute-1)", compute.memory_used, "");
    Ok(())
}
