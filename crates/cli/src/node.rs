//! `cairn node`: machines that may become nodes, and nodes.

mod console;
mod discover;
mod logs;
mod media;
mod next_boot;

pub(crate) use discover::in_words;

use crate::client::{Client, Connection};
use crate::{consent, out, say, status};
use anyhow::{Result, bail};
use cairn_manager::api::{
    ApproveRequest, ApproveResponse, BlinkRequest, BlinkResponse, MachineStatus, Status,
};
use cairn_model::cluster::{Name, Role};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List nodes and unknown machines
    List {
        #[command(flatten)]
        connection: Connection,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a machine a node, after comparing the code on its console
    Approve {
        /// The machine, as `cairn node list` names it
        machine: String,
        /// The code that the machine's console shows; a machine with an installer stick has none
        #[arg(long, default_value = "", hide_default_value = true)]
        code: String,
        /// Which node it becomes: a free place, or a new name; what suits its hardware when left out
        #[arg(long = "as", value_name = "NODE")]
        node: Option<Name>,
        /// Of a new place whose name does not say it: compute or backup
        #[arg(long, requires = "node")]
        role: Option<Role>,
        /// The disk to install on; may be left out when there is only one that is blank
        #[arg(long, value_name = "ID")]
        disk: Option<String>,
        /// What is on that disk may be lost
        #[arg(long, requires = "disk")]
        wipe: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Prepare a medium for a node that can't start from the network
    Prepare(media::PrepareArguments),
    /// List the media that were prepared, and what became of them
    Media {
        #[command(flatten)]
        connection: Connection,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the disks of the manager's machine that a medium can be written to
    Disks {
        #[command(flatten)]
        connection: Connection,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the Raspberry Pis on the USB of the manager's machine that found no card to start from
    Boards {
        #[command(flatten)]
        connection: Connection,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Restart a node; the manager unlocks it again
    Restart {
        node: Name,
        #[command(flatten)]
        connection: Connection,
    },
    /// Take a node out of the cluster; it is powered off, its disk stays as it is
    Remove {
        node: Name,
        /// Don't ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Shut a node down
    Poweroff {
        node: Name,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show the machines that wait, what they are made of and what they would be good for
    Discover(discover::DiscoverArguments),
    /// Make a machine show itself: its network socket blinks, or its activity light
    Blink {
        /// A node, or a machine as `cairn node list` names it
        machine: String,
        /// For how long, 60 at most
        #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=60))]
        seconds: u32,
        #[command(flatten)]
        connection: Connection,
    },
    /// Choose what a machine starts once, when it next boots from the network
    NextBoot {
        /// A node, or a machine as `cairn node list` names it
        machine: String,
        /// A rescue system, a memory test, or what is usual after all
        #[arg(value_enum)]
        start: next_boot::Start,
        #[command(flatten)]
        connection: Connection,
    },
    /// What a node wrote into its journal
    Logs(logs::LogsArguments),
    /// Read and type on a node's serial console, by an adapter of the manager's machine
    Console(console::ConsoleArguments),
}

/// # Errors
/// What the manager says, or why it can't be asked.
pub fn run(command: NodeCommand) -> Result<()> {
    match command {
        NodeCommand::List { connection, json } => list(&connection.open()?, json),
        NodeCommand::Approve { machine, code, node, role, disk, wipe, connection } => {
            let client = connection.open()?;
            let id = find(&client, &machine)?.id;
            let node = node.map(String::from);
            let approved = approve(&client, &id, &ApproveRequest { code, node, role, disk, wipe })?;
            say!("{} is installed on {}; `cairn status` shows how far it is", approved.node, approved.disk)?;
            if !approved.cluster_file.is_empty() {
                say!("Then {}", approved.cluster_file)?;
            }
            Ok(())
        }
        NodeCommand::Prepare(arguments) => media::prepare(arguments),
        NodeCommand::Media { connection, json } => media::media(&connection.open()?, json),
        NodeCommand::Disks { connection, json } => media::disks(&connection.open()?, json),
        NodeCommand::Boards { connection, json } => media::boards(&connection.open()?, json),
        NodeCommand::Restart { node, connection } => tell(&connection.open()?, &node, "restart"),
        NodeCommand::Remove { node, yes, connection } => {
            let client = connection.open()?;
            consent::confirm(
                &format!("Remove {node} from the cluster? What is on its disk stays there, encrypted"),
                yes,
            )?;
            client.delete(&format!("nodes/{node}"))?;
            say!("{node} is removed; the cluster file has changed: store it again")
        }
        NodeCommand::Poweroff { node, connection } => tell(&connection.open()?, &node, "poweroff"),
        NodeCommand::Discover(arguments) => discover::run(&arguments),
        NodeCommand::Blink { machine, seconds, connection } => blink(&connection.open()?, &machine, seconds),
        NodeCommand::NextBoot { machine, start, connection } => {
            next_boot::run(&connection.open()?, &machine, start)
        }
        NodeCommand::Logs(arguments) => logs::run(&arguments),
        NodeCommand::Console(arguments) => console::run(&arguments),
    }
}

fn tell(client: &Client, node: &Name, verb: &str) -> Result<()> {
    client.post(&format!("nodes/{node}/{verb}"), &serde_json::json!({})).map(drop)
}

fn blink(client: &Client, machine: &str, seconds: u32) -> Result<()> {
    let path = format!("{}/blink", path(client, machine)?);
    let request = BlinkRequest { seconds: Some(seconds) };
    let BlinkResponse { light, seconds } = client.post(&path, &request)?.for_eyes()?;
    say!("{light} blinks for {seconds} seconds")
}

/// Where the API has a node, or a machine that is none yet.
fn path(client: &Client, machine: &str) -> Result<String> {
    let status: Status = client.get("status")?;
    if status.nodes.iter().any(|node| node.name == machine) {
        return Ok(format!("nodes/{machine}"));
    }
    Ok(format!("machines/{}", find(client, machine)?.id))
}

fn list(client: &Client, json: bool) -> Result<()> {
    let answer = client.look("status")?;
    if json {
        let status: Status = answer.exact()?;
        return out::json(&serde_json::json!({ "nodes": status.nodes, "machines": status.machines }));
    }
    out::text(&status::nodes(&answer.for_eyes()?))
}

/// # Errors
/// When the manager refuses, in its words.
pub fn approve(client: &Client, id: &str, request: &ApproveRequest) -> Result<ApproveResponse> {
    client.post(&format!("machines/{id}/approve"), request)?.for_eyes()
}

/// The one machine whose id begins so.
fn find(client: &Client, id: &str) -> Result<MachineStatus> {
    let status: Status = client.get("status")?;
    let mut fitting =
        status.machines.into_iter().filter(|m| m.id.starts_with(id) || m.short_id.starts_with(id));
    match (fitting.next(), fitting.next()) {
        (Some(machine), None) => Ok(machine),
        (Some(_), Some(_)) => bail!("more than one machine begins with `{id}`; write more of its id"),
        (None, _) => bail!("no machine `{id}` waits for an approval; see `cairn node list`"),
    }
}
