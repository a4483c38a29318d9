//! Keeping a lab as it is: machines, and the manager's own files with them.

use super::manager;
use super::paths::Paths;
use crate::say;
use anyhow::{Context, Result, bail};
use cairn_lab::{CheckpointKind, Lab, Tools};
use clap::Subcommand;

const EXTRA: &str = "manager";

#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// Save the lab under a name; it goes on afterwards
    Save { name: String },
    /// Take the present lab down and go on from a checkpoint
    Restore { name: String },
    /// The checkpoints there are
    List,
    /// Remove a checkpoint
    Remove { name: String },
}

/// # Errors
/// What a person has to be told.
pub fn run(command: CheckpointCommand, paths: &Paths) -> Result<()> {
    match command {
        CheckpointCommand::Save { name } => save(&name, paths),
        CheckpointCommand::Restore { name } => restore(&name, paths),
        CheckpointCommand::List => list(paths),
        CheckpointCommand::Remove { name } => std::fs::remove_dir_all(paths.checkpoint(&name))
            .with_context(|| format!("there is no checkpoint `{name}`, or it can't be removed")),
    }
}

fn save(name: &str, paths: &Paths) -> Result<()> {
    let lab = Lab::open(paths.state())?;
    if paths.agents().exists() {
        bail!("a lab with simulated nodes can't be saved: there is no machine that would keep what they are");
    }
    // The manager's files belong to the machines as they are now.
    manager::stop(&lab)?;
    let saved = lab.checkpoint_save(&paths.checkpoint(name), &[(EXTRA, &paths.kept())]);
    manager::start(&lab, paths)?;
    let saved = saved?;
    match (saved.kind, saved.reason) {
        (CheckpointKind::Disks, reason) => {
            say!("saved the disks only, the machines will start cold: {}", reason.unwrap_or_default())?;
        }
        (CheckpointKind::Running, _) => say!("saved with the machines running")?,
    }
    Ok(())
}

fn restore(name: &str, paths: &Paths) -> Result<()> {
    let tools = Tools::discover(&std::env::current_dir()?)?;
    Lab::clear(paths.state())?;
    paths.forget()?;
    let lab =
        Lab::checkpoint_restore(paths.state(), tools, &paths.checkpoint(name), &[(EXTRA, &paths.kept())])?;
    manager::start(&lab, paths)
}

fn list(paths: &Paths) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(paths.checkpoints()) else { return Ok(()) };
    for entry in entries.flatten() {
        say!("{}", entry.file_name().to_string_lossy())?;
    }
    Ok(())
}
