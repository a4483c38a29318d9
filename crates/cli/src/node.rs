//! `cairn node`: machines that may become nodes, and nodes.

use crate::client::{Client, Connection};
use crate::status;
use anyhow::{Context, Result, bail};
use cairn_manager::api::{ApproveRequest, ApproveResponse, MachineStatus, MediumRequest, Status};
use clap::Subcommand;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

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
        /// Where to write the disk image; there must be nothing yet
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
            save_medium(&connection.open()?, &node, Some(seconds), &output)?;
            println!("{}: write it to a card or stick, and start the machine from it", output.display());
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

/// Downloads a prepared medium into a new file that only its owner may read, because a join key is in it.
///
/// # Errors
/// When the manager refuses, the file exists, or the image does not arrive whole; then no file is left.
pub fn save_medium(client: &Client, node: &str, valid_seconds: Option<u64>, path: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} can't be made", path.display()))?;
    let written = download(client, node, valid_seconds, &mut file);
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written.with_context(|| format!("the medium for {node} was not prepared"))
}

fn download(client: &Client, node: &str, valid_seconds: Option<u64>, file: &mut File) -> Result<()> {
    let response = client.post(&format!("nodes/{node}/medium"), &MediumRequest { valid_seconds })?;
    let length =
        response.body().content_length().context("the manager does not say how long the image is")?;
    let mut reader = response.into_body().into_reader();
    let got = copy_sparse(&mut reader, file)?;
    if got != length {
        bail!("only {got} of {length} bytes arrived; try again");
    }
    file.set_len(length)?;
    file.sync_all()?;
    Ok(())
}

/// Copies, leaving holes where there are only zeros: most of an image is empty.
fn copy_sparse(reader: &mut impl Read, file: &mut (impl Write + Seek)) -> std::io::Result<u64> {
    let mut block = vec![0; 256 * 1024];
    let mut total: u64 = 0;
    loop {
        let count = read_block(reader, &mut block)?;
        let Some(data) = block.get(..count).filter(|data| !data.is_empty()) else { return Ok(total) };
        let length = u64::try_from(count).unwrap_or_default();
        if data.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(total))?;
            file.write_all(data)?;
        }
        total = total.saturating_add(length);
    }
}

fn read_block(reader: &mut impl Read, block: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest)? {
            0 => break,
            count => filled = filled.saturating_add(count),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_with_holes_has_the_same_content() {
        let mut source = vec![0; 700_000];
        source[300_000] = 7;
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(copy_sparse(&mut source.as_slice(), &mut file).unwrap(), 700_000);
        file.set_len(700_000).unwrap();
        let mut back = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut back).unwrap();
        assert_eq!(back, source);
    }
}
