//! `cairn lab`: a cluster of virtual machines. The machines are `cairn-lab`'s; the cluster on them is
//! brought up by the real manager, over the same API that everybody uses.

pub mod agents;
mod checkpoint;
mod manager;
mod media;
mod paths;
mod raspberry_pi;
mod up;

use crate::client::Client;
use crate::{out, say, status};
use anyhow::{Context, Result, bail};
use cairn_lab::{ExecLimits, Lab, Machine};
use clap::{Args, Subcommand, ValueEnum};
use paths::Paths;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long a machine may take to switch itself off.
const POWER_OFF: Duration = Duration::from_secs(180);

/// Arguments of `cairn lab`.
#[derive(Debug, Args)]
pub struct LabArguments {
    /// Everything that the lab keeps
    #[arg(long, global = true, value_name = "DIR", default_value = ".state/lab")]
    state: PathBuf,
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Switch machines with empty disks on and bring them up to a healthy cluster
    Up(up::UpArguments),
    /// Take everything down: machines, manager, networks, and their files
    Down,
    /// How the cluster and its machines are
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Sit down at a machine's serial console (Ctrl-] leaves it)
    Console { node: String },
    /// Run a command in a machine, through what the lab injected into it
    Exec {
        node: String,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Print what a shell needs so that every other command talks to the lab's manager
    Env,
    /// Keep a lab as it is, and go on from there later
    #[command(subcommand)]
    Checkpoint(checkpoint::CheckpointCommand),
    /// Switch a machine
    Power { node: String, action: PowerAction },
    /// Stop or start the lab's manager; the machines go on
    Manager { action: ManagerAction },
    /// Serve nodes without machines; `up --simulated` starts this inside the lab's network
    #[command(hide = true)]
    Agents { folder: PathBuf },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PowerAction {
    On,
    /// Through the manager: the node shuts itself down
    Off,
    /// As by pulling the plug
    Cut,
    Reset,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ManagerAction {
    Stop,
    /// As by SIGKILL
    Kill,
    Start,
}

/// # Errors
/// What a person has to be told.
pub fn run(arguments: LabArguments) -> Result<ExitCode> {
    let paths = Paths::new(&arguments.state)?;
    match arguments.command {
        LabCommand::Up(arguments) => return up::run(&arguments, &paths),
        LabCommand::Down => down(&paths)?,
        LabCommand::Status { json } => {
            Lab::open(paths.state())?;
            return status::print(&client(&paths)?, json);
        }
        LabCommand::Console { node } => {
            let lab = Lab::open(paths.state())?;
            machine(&lab, &paths, &node)?.console_attach()?;
        }
        LabCommand::Exec { node, command } => return exec(&paths, &node, &command),
        LabCommand::Env => environment(&paths)?,
        LabCommand::Checkpoint(command) => checkpoint::run(command, &paths)?,
        LabCommand::Power { node, action } => power(&paths, &node, action)?,
        LabCommand::Manager { action } => {
            let lab = Lab::open(paths.state())?;
            match action {
                ManagerAction::Stop => manager::stop(&lab)?,
                ManagerAction::Kill => manager::kill(&lab)?,
                ManagerAction::Start => manager::start(&lab, &paths)?,
            }
        }
        LabCommand::Agents { folder } => agents::serve(&folder)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A conversation with the lab's manager.
///
/// # Errors
/// When no manager was started here yet.
fn client(paths: &Paths) -> Result<Client> {
    let url = std::fs::read_to_string(paths.url()).context("no manager was started in this lab yet")?;
    Client::new(url.trim(), &paths.token())
}

fn down(paths: &Paths) -> Result<()> {
    Lab::clear(paths.state()).context("not everything could be taken down")?;
    paths.forget()
}

/// # Errors
/// When the lab has no such machine, and says so of a node that has none.
fn machine<'a>(lab: &'a Lab, paths: &Paths, node: &str) -> Result<Machine<'a>> {
    if agents::is_one(paths, node)? {
        bail!(
            "'{node}' is simulated: there is no machine behind it; only `cairn lab power {node} off` and the manager reach it"
        );
    }
    Ok(lab.machine(node)?)
}

fn exec(paths: &Paths, node: &str, command: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let lab = Lab::open(paths.state())?;
    let output = machine(&lab, paths, node)?.exec(&words, ExecLimits::default())?;
    out::bytes(&output.stdout)?;
    std::io::stderr().write_all(&output.stderr)?;
    Ok(ExitCode::from(u8::try_from(output.code).unwrap_or(u8::MAX)))
}

fn environment(paths: &Paths) -> Result<()> {
    let url = std::fs::read_to_string(paths.url()).context("no manager was started in this lab yet")?;
    say!("export CAIRN_MANAGER={}", url.trim())?;
    say!("export CAIRN_TOKEN_FILE='{}'", paths.token().canonicalize()?.display())?;
    Ok(())
}

fn power(paths: &Paths, node: &str, action: PowerAction) -> Result<()> {
    let lab = Lab::open(paths.state())?;
    let off = || client(paths)?.post(&format!("nodes/{node}/poweroff"), &serde_json::json!({}));
    if matches!(action, PowerAction::Off) && agents::is_one(paths, node)? {
        return off().map(drop);
    }
    let machine = machine(&lab, paths, node)?;
    match action {
        PowerAction::On => machine.power_on()?,
        // The image has nobody who minds a power button; its agent is told by the manager.
        PowerAction::Off => {
            off()?;
            machine.wait_off(POWER_OFF)?;
        }
        PowerAction::Cut => machine.cut()?,
        PowerAction::Reset => machine.reset()?,
    }
    Ok(())
}
