//! One scenario after another on one lab; a failed one does not take the others with it.

use crate::scenarios::{ALL, Needs, Scenario};
use crate::world::World;
use crate::{evidence, figures, leftovers};
use anyhow::{Context, Result, bail};
use cairn_lab::Lab;
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub const CHECKPOINT: &str = "healthy";

/// # Errors
/// When not even a beginning can be made.
pub fn test(filter: &str, keep: bool) -> Result<ExitCode> {
    let world = World::new()?;
    let chosen: Vec<&Scenario> = ALL
        .iter()
        .filter(|it| if filter.is_empty() { !it.seldom } else { it.name.contains(filter) })
        .collect();
    let taken_over = keep && is_healthy(&world);
    if !taken_over {
        clear(&world)?;
    }
    evidence::forget(&world);
    let mut tally = Tally::default();
    let begins = chosen.iter().any(|it| it.needs == Needs::Healthy) && !taken_over;
    let first = ALL.first().filter(|it| begins && !chosen.iter().any(|other| other.name == it.name));
    for scenario in first.into_iter().chain(chosen) {
        if taken_over && scenario.needs == Needs::Empty && !filter.contains(scenario.name) {
            continue;
        }
        tally.run(&world, scenario);
    }
    if begins || taken_over {
        // Shown with the figures; a lab that is broken by now has failed already.
        let _ = crate::bench::memory(&world);
    }
    if !keep {
        tally.note("nothing is left of a lab that was taken down", Instant::now(), &world, take_down(&world));
    }
    world.figures.borrow_mut().sizes(&world.cairn);
    println!("\n{}\n\n{}", figures::host(&world.scratch)?, world.figures.borrow().table());
    if !keep {
        std::fs::remove_dir_all(&world.state)?;
    }
    if tally.again > 0 {
        println!("{} needed a second attempt", tally.again);
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Scenarios that did not pass at their first attempt.
    again: usize,
}

impl Tally {
    fn run(&mut self, world: &World, scenario: &Scenario) {
        let began = Instant::now();
        let mut result = attempt(world, scenario);
        // Emulated machines share two cores with whatever else runs, and lose a race with a clock now and then.
        // What fails is tried once more, on a lab as it was saved, and both are told; what fails twice has failed.
        if let Err(error) = &result {
            println!("AGAIN {}: {error:#}", scenario.name);
            print!("{}", evidence::of(world));
            self.again += 1;
            if scenario.needs == Needs::Healthy && has_checkpoint(world) {
                // When even that fails, the attempt itself says why.
                let _ = restore(world);
            }
            result = attempt(world, scenario);
        }
        self.note(scenario.name, began, world, result);
    }

    fn note(&mut self, name: &str, began: Instant, world: &World, result: Result<()>) {
        let seconds = began.elapsed().as_secs();
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("ok {name} ({seconds} s)");
            }
            Err(error) => {
                self.failed += 1;
                println!("FAILED {name} ({seconds} s): {error:#}");
                print!("{}", evidence::of(world));
                if let Some(folder) = evidence::keep(world, self.failed) {
                    println!("  --- all of it in {}", folder.display());
                }
            }
        }
    }
}

fn attempt(world: &World, scenario: &Scenario) -> Result<()> {
    prepare(world, scenario.needs)?;
    world.set_deadline(Duration::from_secs(scenario.seconds));
    (scenario.run)(world)
}

fn has_checkpoint(world: &World) -> bool {
    world.state.join("checkpoints").join(CHECKPOINT).exists()
}

fn restore(world: &World) -> Result<()> {
    world.set_deadline(Duration::from_secs(300));
    world.cairn_lab_within(Duration::from_secs(150), &["checkpoint", "restore", CHECKPOINT])?;
    world.healthy(Duration::from_secs(150)).context("the lab could not be restored").map(drop)
}

/// Puts the lab into the state that a scenario begins with, by the checkpoint when an earlier one left it broken.
fn prepare(world: &World, needs: Needs) -> Result<()> {
    match needs {
        Needs::Nothing => Ok(()),
        Needs::Empty => clear(world),
        Needs::Healthy => {
            if is_healthy(world) {
                return Ok(());
            }
            if !has_checkpoint(world) {
                bail!("there is no healthy lab to run this on");
            }
            restore(world)
        }
    }
}

/// Whether there is a lab on which one can go on.
fn is_healthy(world: &World) -> bool {
    world.set_deadline(Duration::from_secs(120));
    resume(world).is_ok() && world.healthy(Duration::from_secs(60)).is_ok()
}

/// Machines that a scenario paused go on, and a manager that it stopped is started.
fn resume(world: &World) -> Result<()> {
    let lab = world.lab()?;
    for machine in lab.machines()? {
        if machine.is_on() {
            machine.control(|qmp| qmp.execute("cont", serde_json::json!({})))?;
        }
    }
    if lab.process("manager").is_none() {
        world.cairn_lab(&["manager", "start"])?;
    }
    Ok(())
}

pub type Step<'a> = &'a dyn Fn(&World) -> Result<()>;

/// Steps that stand on each other.
///
/// # Errors
/// At the first failure, with the lab left for looking at.
pub fn in_order(world: &World, steps: &[(&str, Step)]) -> Result<ExitCode> {
    for (what, step) in steps {
        let began = Instant::now();
        if let Err(error) = step(world) {
            print!("{}", evidence::of(world));
            return Err(error.context((*what).to_owned()));
        }
        println!("ok {what} ({} s)", began.elapsed().as_secs());
    }
    println!("\n{}\n\n{}", figures::host(&world.scratch)?, world.figures.borrow().table());
    println!("{} passed, 0 failed", steps.len());
    Ok(ExitCode::SUCCESS)
}

/// Removes whatever an earlier run left.
pub fn clear(world: &World) -> Result<()> {
    for state in [world.state.clone(), world.state.join("crashed")] {
        Lab::clear(&state)?;
    }
    std::fs::remove_dir_all(&world.state)?;
    std::fs::create_dir_all(&world.scratch)?;
    Ok(())
}

/// `cairn lab down`, and nothing is left.
pub fn take_down(world: &World) -> Result<()> {
    world.set_deadline(Duration::from_secs(120));
    world.cairn_lab(&["down"])?;
    let left = leftovers::of(&world.state);
    if !left.is_empty() {
        bail!("after `cairn lab down` there is still {}", left.join("; "));
    }
    let _ = std::fs::remove_dir_all(world.state.join("checkpoints"));
    Ok(())
}
