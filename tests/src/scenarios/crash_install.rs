//! The manager's end comes in the middle of an installation.

use super::stranger::{self, DISK, approve, current_code, discovered, find};
use crate::world::World;
use anyhow::{Context, Result, ensure};
use cairn_lab::{DiskSpec, LabError};
use cairn_manager::api::MachineStatus;
use cairn_workflow::RowState;
use std::time::Duration;

const WHOLE: Duration = Duration::from_secs(300);

/// Goes on with the machine that had photos on its disk.
pub fn same_directory(world: &World) -> Result<()> {
    if matches!(world.lab()?.machine(stranger::NAME), Err(LabError::NoSuchMachine { .. })) {
        stranger::gets_nothing(world)?;
    }
    let machine = discovered(world, stranger::NAME, WHOLE)?;
    let disk = stranger::photos_disk(&machine)?;
    let code = current_code(world, &machine)?;
    let answer = approve(world, &machine, &code, &["--as", "compute-2", "--disk", &disk, "--wipe"])?;
    ensure!(answer.is_ok(), "the approval was refused: {}", answer.words());
    wait_until_writing(world, "compute-2")?;
    world.cairn_lab(&["manager", "kill"])?;
    world.cairn_lab(&["manager", "start"])?;
    world.running("compute-2", WHOLE)
}

pub fn empty_directory(world: &World) -> Result<()> {
    let (name, node) = ("stranger-2", "compute-3");
    stranger::start(world, name, DiskSpec::blank("empty", DISK))?;
    let machine = discovered(world, name, WHOLE)?;
    let answer = approve(world, &machine, &current_code(world, &machine)?, &["--as", node])?;
    ensure!(answer.is_ok(), "the approval was refused: {}", answer.words());
    wait_until_writing(world, node)?;
    world.lose_working_directory()?;
    world.until(&format!("{node} to run in a healthy cluster"), WHOLE, || {
        // At most it asks again.
        if let Ok(machine) = find(world, name)
            && asks(&machine)
        {
            approve_whatever_is_on_it(world, &machine, node)?;
        }
        let status = world.status()?;
        let runs = status.nodes.iter().any(|it| it.name == node && it.unlocked);
        ensure!(runs && status.healthy, "{}", status.unhealthy_because.join("; "));
        ensure!(status.nodes.iter().filter(|it| it.enrolled).count() >= 5, "a node was forgotten");
        Ok(())
    })
}

/// Whether the owner's word is wanted: for the first time, or for a disk that is not blank any more.
fn asks(machine: &MachineStatus) -> bool {
    let for_the_disk = machine.refused.as_ref().is_some_and(|reason| reason.contains("not blank"));
    machine.code.is_some() && (!machine.approved || for_the_disk)
}

fn approve_whatever_is_on_it(world: &World, machine: &MachineStatus, node: &str) -> Result<()> {
    let disks = machine.inventory.iter().flat_map(|it| &it.disks);
    let half_written = disks.into_iter().find(|disk| !disk.content.is_blank()).map(|disk| disk.id.clone());
    let wipe: Vec<&str> = half_written.iter().flat_map(|id| ["--disk", id.as_str(), "--wipe"]).collect();
    let code = machine.code.as_deref().unwrap_or_default();
    let answer = approve(world, machine, code, &[&["--as", node], wipe.as_slice()].concat())?;
    ensure!(answer.is_ok(), "the second approval was refused: {}", answer.words());
    Ok(())
}

/// The system is on its way to the disk: the worst moment.
fn wait_until_writing(world: &World, node: &str) -> Result<()> {
    world.until(&format!("the installation of {node} to write the system"), Duration::from_secs(120), || {
        let job = world.node(node)?.job.context("no job yet")?;
        let writing = |row: &cairn_workflow::Row| {
            row.id == "write-system"
                && row.state == RowState::Running
                && row.progress.is_some_and(|(done, _)| done > 0)
        };
        ensure!(job.rows.iter().any(writing), "its steps: {:?}", job.rows);
        Ok(())
    })
}
