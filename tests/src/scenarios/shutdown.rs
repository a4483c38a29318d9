//! The whole cluster goes off in order and comes back, at a terminal alone, and by a manager that has nothing but an
//! old copy of the cluster file, and fetches the newest from a node.

use crate::terminal::Terminal;
use crate::world::{World, path};
use anyhow::{Context, Result, ensure};
use cairn_manager::api::Status;
use std::time::Duration;

const OFF: Duration = Duration::from_secs(240);
const MINUTE: Duration = Duration::from_secs(60);
const ON: Duration = Duration::from_secs(300);

pub fn and_start(world: &World) -> Result<()> {
    forget_all_but_an_old_file(world)?;
    let on = on(world)?;
    let mut terminal = Terminal::open(world, &world.scratch, &["shutdown"])?;
    terminal.answers("Shut down all nodes of `lab`\\? \\[y/N\\] ", "y", MINUTE)?;
    let first = terminal.reads(r"Power off (\S+)\s", OFF)?;
    ensure!(first == "compute-1", "etcd does not go last: {first} is powered off first");
    terminal.reads("Power off etcd-1", OFF)?;
    terminal.ends(OFF)?;
    let lab = world.lab()?;
    for name in &on {
        let machine = lab.machine(name)?;
        machine.wait_off(MINUTE).context("after `cairn shutdown`")?;
        machine.power_on()?;
    }
    let mut terminal = Terminal::open(world, &world.scratch, &["start"])?;
    terminal.reads("Check that the cluster is healthy", ON)?;
    terminal.ends(MINUTE)?;
    let status = world.healthy(MINUTE)?;
    let nodes = status.nodes.iter().filter(|node| node.enrolled);
    let locked: Vec<_> = nodes.filter(|node| !node.unlocked).map(|node| &node.name).collect();
    ensure!(locked.is_empty(), "still locked: {locked:?}");
    Ok(())
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
