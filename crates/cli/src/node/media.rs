//! `cairn node prepare`, `media`, `disks`: media for machines that can't start from the network.

use crate::client::{Client, Connection};
use crate::progress::Transfer;
use crate::static_address::StaticAddressArguments;
use crate::status::gigabytes;
use crate::wifi::WifiArguments;
use crate::{medium, say};
use anyhow::{Context, Result, bail};
use cairn_manager::api::{
    DiskStatus, JobStatus, MediumBoard, MediumKind, MediumRequest, MediumState, MediumStatus, WaitingBoard,
    WriteMediumRequest,
};
use cairn_model::cluster::Name;
use cairn_workflow::RowState;
use clap::ValueEnum;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const POLL: Duration = Duration::from_millis(500);

/// Arguments of `cairn node prepare`.
#[derive(Debug, clap::Args)]
pub struct PrepareArguments {
    node: Name,
    /// Where to write the disk image; there must be nothing yet. Compressed when the name ends in .gz
    #[arg(long, short, value_name = "FILE", required_unless_present = "disk")]
    output: Option<PathBuf>,
    /// Write it to this disk of the manager's machine, as `cairn node disks` names it; what is on it is lost
    #[arg(long, value_name = "ID", conflicts_with = "output")]
    disk: Option<String>,
    /// What it will be: a USB stick, for a Raspberry Pi an SD card
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// What starts from it
    #[arg(long, value_enum, default_value_t = Board::Uefi)]
    board: Board,
    #[command(flatten)]
    wifi: WifiArguments,
    #[command(flatten)]
    address: StaticAddressArguments,
    /// How long its join key is good, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 168)]
    valid: u64,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Board {
    /// Any x86-64 machine with UEFI
    Uefi,
    /// Any arm64 machine with UEFI
    UefiArm64,
    /// A Raspberry Pi Zero 2 W, from an SD card
    #[value(name = "pi-zero-2-w")]
    PiZero2W,
}

impl From<Board> for MediumBoard {
    fn from(board: Board) -> Self {
        match board {
            Board::Uefi => Self::Uefi,
            Board::UefiArm64 => Self::UefiArm64,
            Board::PiZero2W => Self::PiZero2W,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// An SD card that becomes the node
    Sd,
    /// A USB stick that becomes the node
    Usb,
    /// A USB stick that installs the node onto a disk in the machine
    Installer,
}

impl From<Kind> for MediumKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Sd => Self::Sd,
            Kind::Usb => Self::Usb,
            Kind::Installer => Self::Installer,
        }
    }
}

/// # Errors
/// What the manager says, or where it failed.
pub fn prepare(arguments: PrepareArguments) -> Result<()> {
    let PrepareArguments { node, output, disk, kind, board, wifi, address, valid, connection } = arguments;
    let seconds = valid.checked_mul(3600).context("so many hours are longer than time itself")?;
    let address = address.get()?;
    let wifi = wifi.get()?;
    let usual = if matches!(board, Board::PiZero2W) { Kind::Sd } else { Kind::Usb };
    let (kind, board) = (MediumKind::from(kind.unwrap_or(usual)), MediumBoard::from(board));
    let (client, valid_seconds) = (connection.open()?, Some(seconds));
    if let Some(disk) = disk {
        return write(
            &client,
            &node,
            &WriteMediumRequest { disk, valid_seconds, kind, board, wifi, address },
        );
    }
    let output = output.context("name a file with --output, or a disk with --disk")?;
    let request = MediumRequest { valid_seconds, kind, board, wifi, address, ..MediumRequest::default() };
    save(&client, &node, &request, &output)
}

fn save(client: &Client, node: &Name, request: &MediumRequest, output: &Path) -> Result<()> {
    let mut transfer = Transfer::new(&output.display().to_string());
    let sum = medium::save(client, node, request, output, &mut transfer)?;
    say!("{}: write it to a {}, and start the machine from it", output.display(), request.kind)?;
    say!("SHA-256 of the image: {sum}")?;
    Ok(())
}

/// Follows the job to its end.
fn write(client: &Client, node: &Name, request: &WriteMediumRequest) -> Result<()> {
    let path = format!("nodes/{node}/medium/write");
    let mut job: JobStatus = client.post(&path, request)?.for_eyes()?;
    let mut shown: Option<(String, Transfer)> = None;
    loop {
        if let Some(row) = job.rows.iter().find(|row| row.state == RowState::Failed) {
            let note = row.note.as_deref().unwrap_or("the manager does not say why");
            bail!("{}: {note}", row.title);
        }
        let Some(row) = job.rows.iter().find(|row| row.state != RowState::Done) else { break };
        let transfer = match &mut shown {
            Some((id, transfer)) if *id == row.id => transfer,
            _ => {
                if let Some((_, last)) = &shown {
                    last.end();
                }
                &mut shown.insert((row.id.clone(), Transfer::new(&row.title))).1
            }
        };
        if let Some((done, total)) = row.progress {
            transfer.begin(total);
            transfer.at(done);
        }
        std::thread::sleep(POLL);
        job = client.get(&path)?;
    }
    if let Some((_, last)) = &shown {
        last.end();
    }
    say!("{}: written and read back. Take it out, and start the machine of {node} from it", request.disk)?;
    Ok(())
}

/// # Errors
/// What the manager says.
pub fn disks(client: &Client, json: bool) -> Result<()> {
    client.look("disks")?.print(json, |disks: &Vec<_>| disks_in_words(disks))
}

fn disks_in_words(disks: &[DiskStatus]) -> String {
    if disks.is_empty() {
        return "The manager's machine has no disks that could be listed; plug in a card or stick.\n"
            .to_owned();
    }
    let mut text = String::new();
    let width = disks.iter().map(|disk| disk.id.len()).max().unwrap_or(0);
    for DiskStatus { id, product, size, refused } in disks {
        let word = refused.as_ref().map_or("offered".to_owned(), |reason| format!("refused: {reason}"));
        let _ = writeln!(text, "{id:width$}  {:6.1} GB  {product}  {word}", gigabytes(*size));
    }
    text
}

/// # Errors
/// What the manager says.
pub fn boards(client: &Client, json: bool) -> Result<()> {
    client.look("boards")?.print(json, |boards: &Vec<_>| boards_in_words(boards))
}

fn boards_in_words(boards: &[WaitingBoard]) -> String {
    if boards.is_empty() {
        return "No Raspberry Pi waits on the USB of the manager's machine. Plug it in by its data port (on a Zero 2 W the \
                socket marked USB), with the card that it does not start from or with none.\n"
            .to_owned();
    }
    let line = |WaitingBoard { port, models, advice }: &_| format!("USB port {port}: {models}; {advice}\n");
    boards.iter().map(line).collect()
}

/// # Errors
/// What the manager says.
pub fn media(client: &Client, json: bool) -> Result<()> {
    client.look("media")?.print(json, |media: &Vec<_>| media_in_words(media))
}

fn media_in_words(media: &[MediumStatus]) -> String {
    if media.is_empty() {
        return "No medium was prepared by this manager.\n".to_owned();
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    media.iter().map(|medium| line(medium, now) + "\n").collect()
}

/// `now` is in seconds since 1970.
fn line(medium: &MediumStatus, now: u64) -> String {
    let MediumStatus { id, node, kind, sha256: _, expires, state, used_by } = medium;
    let mut text = format!("{id}  {node}  {kind}  {state}");
    match (state, used_by) {
        (MediumState::Good, _) => {
            let hours = expires.saturating_sub(now) / 3600;
            text.push_str(&format!(" for {} days and {} hours", hours / 24, hours % 24));
        }
        (MediumState::Used, Some(machine)) => {
            text.push_str(&format!(" by machine {}", machine.get(..16).unwrap_or(machine)));
        }
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_medium_says_how_long_it_is_good_or_who_used_it() {
        let good = MediumStatus {
            id: "a-b".into(),
            node: "etcd-1".parse().unwrap(),
            kind: MediumKind::Sd,
            sha256: String::new(),
            expires: 100 * 3600,
            state: MediumState::Good,
            used_by: None,
        };
        assert_eq!(line(&good, 2 * 3600), "a-b  etcd-1  SD card  good for 4 days and 2 hours");
        let used = MediumStatus { state: MediumState::Used, used_by: Some("c0ffee".into()), ..good };
        assert_eq!(line(&used, 0), "a-b  etcd-1  SD card  used by machine c0ffee");
    }
}
