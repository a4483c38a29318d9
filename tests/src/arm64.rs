//! A cluster whose etcd members are arm64 machines of 512 MB and whose compute node is an x86-64 one, from empty disks,
//! and under the load of a k3s.

use crate::runner::{self, Step};
use crate::scenarios::{etcd, unlocking};
use crate::world::World;
use crate::{cards, command, load};
use anyhow::{Context, Result, ensure};
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub const LOAD_SECONDS: u64 = 600;
const MEMBERS: [&str; 3] = ["etcd-1", "etcd-2", "etcd-3"];
const FORMATION: Duration = Duration::from_secs(30 * 60);
const BOOT: Duration = Duration::from_secs(300);
/// Of the members at rest and under load, in bytes.
const MOST_AT_REST: u64 = 220_000_000;
const MOST_UNDER_LOAD: u64 = 380_000_000;

/// # Errors
/// At the first failure, with the lab left for looking at.
pub fn run(seconds: u64) -> Result<ExitCode> {
    let world = World::new()?;
    runner::clear(&world)?;
    world.set_deadline(FORMATION + BOOT + Duration::from_secs(seconds.saturating_add(900)));
    let steps: [(&str, Step); 5] = [
        ("three arm64 machines and an x86-64 one with empty disks become a healthy cluster", &form),
        ("each member says what processor it has, and all hold the same key", &look),
        ("an arm64 member that was power-cut comes back locked and the manager unlocks it", &cut),
        ("etcd on arm64 takes the load of a k3s without another election", &|world| loaded(world, seconds)),
        ("nothing is left of the lab", &runner::take_down),
    ];
    runner::in_order(&world, &steps)
}

fn form(world: &World) -> Result<()> {
    let began = Instant::now();
    let mut command =
        world.lab_command(&["up", "--detach", "--clock", "1970-01-01", "--etcd-machine", "arm64"]);
    let answer = command::run(command.args(["--etcd", "3", "--compute", "1"]), &world.scratch, FORMATION)?;
    ensure!(answer.is_ok(), "`cairn lab up` failed with {}: {}", answer.code, answer.words());
    world.figures.borrow_mut().time(
        "`lab up`, 3 arm64 etcd nodes and an x86-64 compute node",
        began.elapsed(),
        "",
    );
    Ok(())
}

fn look(world: &World) -> Result<()> {
    for node in MEMBERS {
        let said = world.exec(node, &["uname", "-m"])?;
        ensure!(said.trim() == "aarch64", "{node} says {said}");
    }
    let said = world.exec("compute-1", &["uname", "-m"])?;
    ensure!(said.trim() == "x86_64", "compute-1 says {said}");
    etcd::members(world)
}

fn cut(world: &World) -> Result<()> {
    let began = Instant::now();
    let offset = world.power_cut("etcd-2")?;
    let took = unlocking::unlocked(world, "etcd-2", offset, began)?;
    world.figures.borrow_mut().time("power-on to unlocked (arm64, etcd-2)", took, "");
    world.running("etcd-2", BOOT)?;
    world.healthy(BOOT).map(drop)
}

fn loaded(world: &World, seconds: u64) -> Result<()> {
    let at_rest = memory(world)?;
    let before = etcd::terms(world)?;
    let cards = cards::imitate(world, &MEMBERS)?;
    let told = load::put_on(world, seconds)?;
    let stalls = cards.stop()?;
    let under_load = memory(world)?;
    let after = etcd::terms(world)?;
    {
        let mut figures = world.figures.borrow_mut();
        figures.size("used memory of an arm64 etcd node of 512 MB at rest", at_rest, "220 MB");
        figures.size("the same at the end of the load", under_load, "380 MB");
        figures.set("the load, and what became of it", told.to_string(), "");
        figures.set("stalls of one card or another meanwhile", stalls.to_string(), "");
    }
    ensure!(at_rest <= MOST_AT_REST, "at rest a member uses {at_rest} bytes");
    ensure!(under_load <= MOST_UNDER_LOAD, "under load a member uses {under_load} bytes");
    ensure!(before == after, "leaders changed under load: before {before:?}, after {after:?} ({told})");
    for node in MEMBERS {
        let killed = world.exec(node, &["journalctl", "-k", "-q", "--no-pager", "--grep", "Out of memory"]);
        ensure!(killed.is_err(), "{node} ran out of memory: {killed:?}");
    }
    world.healthy(BOOT).map(drop)
}

/// The most that any member uses.
fn memory(world: &World) -> Result<u64> {
    let used = MEMBERS.iter().map(|node| world.node(node).map(|node| node.memory_used));
    used.collect::<Result<Vec<u64>>>()?.into_iter().max().context("there are no members")
}
