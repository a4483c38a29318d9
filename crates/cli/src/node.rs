//! `cairn node`: machines that may become nodes, and nodes.

use crate::client::{Client, Connection};
use crate::progress::Transfer;
use crate::{medium, status};
use anyhow::{Context, Result, bail};
use cairn_manager::api::{ApproveRequest, ApproveResponse, MachineStatus, MediumRequest, Status};
use clap::Subcommand;
use std::path::PathBuf;

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
        /// The code that the machine's console shows
        #[arg(long)]
        code: String,
        /// Which node it becomes; a free one when left out
        #[arg(long = "as", value_name = "NODE")]
        node: Option<String>,
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
    Prepare {
        node: String,
        /// Where to write the disk image; there must be nothing yet. Compressed when the name ends in .gz
        #[arg(long, short)]
        output: PathBuf,
        /// How long its join key is good, in hours
        #[arg(long, value_name = "HOURS", default_value_t = 168)]
        valid: u64,
        #[command(flatten)]
        connection: Connection,
    },
    /// Restart a node; the manager unlocks it again
    Restart {
        node: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Shut a node down
    Poweroff {
        node: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// # Errors
/// What the manager says, or why it can't be asked.
pub fn run(command: NodeCommand) -> Result<()> {
    match command {
        NodeCommand::List { connection, json } => list(&connection.open()?, json),
        NodeCommand::Approve { machine, code, node, disk, wipe, connection } => {
            let client = connection.open()?;
            let id = find(&client, &machine)?.id;
            let approved = approve(&client, &id, &ApproveRequest { code, node, disk, wipe })?;
            println!(
                "{} is installed on {}; `cairn status` shows how far it is",
                approved.node, approved.disk
            );
            Ok(())
        }
        NodeCommand::Prepare { node, output, valid, connection } => {
            let seconds = valid.checked_mul(3600).context("so many hours are longer than time itself")?;
            let request = MediumRequest { valid_seconds: Some(seconds), ..MediumRequest::default() };
            let mut transfer = Transfer::new(&output.display().to_string());
            let sum = medium::save(&connection.open()?, &node, &request, &output, &mut transfer)?;
            println!("{}: write it to a card or stick, and start the machine from it", output.display());
            println!("SHA-256 of the image: {sum}");
            Ok(())
        }
        NodeCommand::Restart { node, connection } => tell(&connection.open()?, &node, "restart"),
        NodeCommand::Poweroff { node, connection } => tell(&connection.open()?, &node, "poweroff"),
    }
}

fn tell(client: &Client, node: &str, verb: &str) -> Result<()> {
    client.post(&format!("nodes/{node}/{verb}"), &serde_json::json!({})).map(drop)
}

fn list(client: &Client, json: bool) -> Result<()> {
    let status: Status = client.get("status")?;
    if json {
        println!("{}", serde_json::to_string_pretty(&(&status.nodes, &status.machines))?);
    } else {
        print!("{}", status::nodes(&status));
    }
    Ok(())
}

/// # Errors
/// When the manager refuses, in its words.
pub fn approve(client: &Client, id: &str, request: &ApproveRequest) -> Result<ApproveResponse> {
    let mut answer = client.post(&format!("machines/{id}/approve"), request)?;
    Ok(answer.body_mut().read_json()?)
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
