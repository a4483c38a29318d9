//! The long campaigns: the same thing again and again.

use crate::scenarios::{formation, unlocking};
use crate::world::World;
use crate::{evidence, runner};
use anyhow::{Context, Result};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const LABS: usize = 3;
const NODES: [&str; 4] = ["etcd-1", "etcd-2", "etcd-3", "compute-1"];

/// # Errors
/// At the first failure, with the lab left for looking at.
pub fn run(times: usize) -> Result<ExitCode> {
    let world = World::new()?;
    runner::clear(&world)?;
    for lab in 1..=LABS {
        world.set_deadline(Duration::from_secs(1200));
        let began = Instant::now();
        let done = formation::machines_become_a_cluster(&world);
        told(&world, &format!("lab {lab} of {LABS} came up"), began, done)?;
        if lab < LABS {
            told(&world, &format!("lab {lab} went down"), Instant::now(), runner::take_down(&world))?;
        }
    }
    for time in 1..=times {
        for node in NODES {
            world.set_deadline(Duration::from_secs(600));
            let began = Instant::now();
            let done = cut(&world, node);
            told(&world, &format!("power cut {time} of {times} of {node}"), began, done)?;
        }
    }
    told(&world, "the lab went down", Instant::now(), runner::take_down(&world))?;
    Ok(ExitCode::SUCCESS)
}

fn cut(world: &World, node: &str) -> Result<()> {
    let offset = world.power_cut(node)?;
    unlocking::unlocked(world, node, offset, Instant::now())?;
    world.running(node, Duration::from_secs(180))
}

fn told(world: &World, what: &str, began: Instant, result: Result<()>) -> Result<()> {
    match &result {
        Ok(()) => println!("ok {what} ({} s)", began.elapsed().as_secs()),
        Err(_) => print!("{}", evidence::of(world)),
    }
    result.with_context(|| what.to_owned())
}
