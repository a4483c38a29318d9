//! The lab's owner is killed and can't clean up.

use crate::command::{self, Running};
use crate::leftovers;
use crate::world::World;
use anyhow::{Context, Result, bail, ensure};
use cairn_lab::{Identity, Lab};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub fn after_a_crash(world: &World) -> Result<()> {
    let state = world.state.join("crashed");
    let first = crash(world, &state)?;
    let second = crash(world, &state)?;
    ensure!(
        first.iter().all(|process| !process.alive()),
        "the second lab left machines of the first running"
    );
    let answer = world.run(lab(world, &state).arg("down"))?;
    ensure!(answer.is_ok(), "`cairn lab down` failed: {}", answer.words());
    ensure!(second.iter().all(|process| !process.alive()), "`lab down` left machines running");
    let left = leftovers::of(&state);
    ensure!(left.is_empty(), "after `lab down` there is still {}", left.join("; "));
    let files: Vec<_> = std::fs::read_dir(&state)?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(files.is_empty(), "`lab down` left files: {files:?}");
    Ok(())
}

fn lab(world: &World, state: &Path) -> Command {
    let mut command = Command::new(&world.cairn);
    command.args(["lab", "--state"]).arg(state);
    command
}

/// Starts a lab and kills its owner and its manager; gives what goes on running.
fn crash(world: &World, state: &Path) -> Result<Vec<Identity>> {
    let mut command = lab(world, state);
    command.args(["up", "--manual", "--etcd", "1", "--compute", "0"]);
    let mut owner = command::start(&mut command, &world.scratch)?;
    let machines =
        world.until("a machine to be switched on", Duration::from_secs(80), || on(state, &mut owner));
    let words = owner.kill()?;
    let machines = machines.with_context(|| format!("`lab up` said: {words}"))?;
    let lab = Lab::open(state)?;
    lab.stop("manager", Duration::ZERO)?;
    ensure!(machines.iter().all(|machine| machine.alive()), "the machines ended with their owner");
    Ok(machines)
}

fn on(state: &Path, owner: &mut Running) -> Result<Vec<Identity>> {
    let [printed, _] = owner.printed()?;
    let through = String::from_utf8_lossy(&printed).contains("all machines are switched on");
    if let Some(answer) = owner.ended()? {
        bail!("`lab up` ended: {}", answer.words());
    }
    ensure!(through, "`lab up` is not through");
    let lab = Lab::open(state)?;
    let machines: Vec<Identity> = lab.machines()?.iter().filter_map(|machine| machine.process()).collect();
    ensure!(!machines.is_empty(), "no machine is on");
    Ok(machines)
}
