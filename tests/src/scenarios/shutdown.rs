//! The whole cluster goes off in order and comes back, by command line alone.

use crate::world::World;
use anyhow::{Result, ensure};
use std::time::Duration;

const OFF: Duration = Duration::from_secs(240);
const ON: Duration = Duration::from_secs(300);

pub fn and_start(world: &World) -> Result<()> {
    let on = on(world)?;
    let said = cairn(world, OFF, &["shutdown", "--yes"])?;
    let (etcd, compute) = (said.find("Power off etcd-1"), said.find("Power off compute-1"));
    ensure!(etcd.is_some() && compute.is_some() && compute < etcd, "etcd did not go last: {said}");
    world.until("all machines to be off", Duration::from_secs(60), || {
        let still = self::on(world)?;
        ensure!(still.is_empty(), "still on: {}", still.join(", "));
        Ok(())
    })?;
    for name in &on {
        world.lab()?.machine(name)?.power_on()?;
    }
    let said = cairn(world, ON, &["start"])?;
    ensure!(said.contains("Check that the cluster is healthy"), "the start did not end well: {said}");
    world.healthy(Duration::from_secs(30)).map(drop)
}

fn on(world: &World) -> Result<Vec<String>> {
    let lab = world.lab()?;
    let machines = lab.machines()?;
    Ok(machines.iter().filter(|machine| machine.is_on()).map(|machine| machine.name().to_owned()).collect())
}

fn cairn(world: &World, limit: Duration, arguments: &[&str]) -> Result<String> {
    let answer = world.cairn_within(limit, arguments)?;
    ensure!(answer.is_ok(), "`cairn {}` failed: {}", arguments.join(" "), answer.words());
    Ok(answer.text())
}
