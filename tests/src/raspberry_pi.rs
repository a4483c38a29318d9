//! An emulated Raspberry Pi 3 as the only member of an etcd, started from a card that the manager prepared.

use crate::command;
use crate::runner::{self, Step};
use crate::scenarios::unlocking;
use crate::world::World;
use anyhow::{Result, ensure};
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub const COMMAND: &str = "raspberry-pi";
const NODE: &str = "etcd-1";
const FORMATION: Duration = Duration::from_secs(20 * 60);
const BOOT: Duration = Duration::from_secs(600);

/// # Errors
/// At the first failure, with the lab left for looking at.
pub fn run() -> Result<ExitCode> {
    let world = World::new()?;
    runner::clear(&world)?;
    world.set_deadline(FORMATION + BOOT * 2);
    let steps: [(&str, Step); 3] = [
        ("a Raspberry Pi becomes a healthy etcd, started from its card", &form),
        ("it comes back locked after a power cut and the manager unlocks it", &cut),
        ("nothing is left of the lab", &runner::take_down),
    ];
    runner::in_order(&world, &steps)
}

fn form(world: &World) -> Result<()> {
    let began = Instant::now();
    let mut command = world.lab_command(&["up", "--detach", "--etcd-machine", "raspberry-pi"]);
    let answer = command::run(command.args(["--etcd", "1", "--compute", "0"]), &world.scratch, FORMATION)?;
    ensure!(answer.is_ok(), "`cairn lab up` failed with {}: {}", answer.code, answer.words());
    world.figures.borrow_mut().time("`lab up`, an etcd node on a Raspberry Pi 3", began.elapsed(), "");
    Ok(())
}

fn cut(world: &World) -> Result<()> {
    let began = Instant::now();
    let offset = world.power_cut(NODE)?;
    let took = unlocking::unlocked(world, NODE, offset, began)?;
    world.figures.borrow_mut().time("power-on to unlocked (Raspberry Pi 3)", took, "");
    world.running(NODE, BOOT)?;
    let used = world.node(NODE)?.memory_used;
    world.figures.borrow_mut().size("used memory of a Raspberry Pi 3 of 1 GB as the only member", used, "");
    Ok(())
}
