//! The whole cluster goes off in order and comes back, by command line alone, and by a manager that has nothing but an
//! old copy of the cluster file, and fetches the newest from a node.

use crate::world::{World, path};
use anyhow::{Context, Result, ensure};
use cairn_manager::api::Status;
use std::time::Duration;

const OFF: Duration = Duration::from_secs(240);
const ON: Duration = Duration::from_secs(300);

pub fn and_start(world: &World) -> Result<()> {
    forget_all_but_an_old_file(world)?;
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

/// The manager loses its working directory, and goes on with a cluster file that is at least two generations old.
fn forget_all_but_an_old_file(world: &World) -> Result<()> {
    let before = world.status()?;
    let (file, passphrase) = (world.cluster_file(), world.passphrase());
    let shown =
        cairn(world, ON, &["file", "show", path(&file)?, "--passphrase-file", path(&passphrase)?, "--json"])?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    let old = shown.get("generation").and_then(serde_json::Value::as_u64).context("no generation is told")?;
    let newest = before.cluster.generation;
    ensure!(old + 2 <= newest, "the file is of generation {old}, the cluster of {newest}");
    let taken_up = || -> Result<usize> {
        let log = std::fs::read_to_string(world.state.join("processes/manager.log"))?;
        Ok(log.matches("went on from the newer cluster file").count())
    };
    let before_that = taken_up()?;
    world.lose_working_directory()?;
    let enrolled = |status: &Status| status.nodes.iter().filter(|node| node.enrolled).count();
    world.until("all nodes to be taken up again", Duration::from_secs(90), || {
        let status = world.status()?;
        ensure!(status.healthy, "{}", status.unhealthy_because.join("; "));
        ensure!(enrolled(&status) == enrolled(&before), "only {} are known", enrolled(&status));
        ensure!(taken_up()? > before_that, "no node gave it the newest file");
        Ok(())
    })
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
