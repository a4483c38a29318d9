//! The node's journal, read by `journalctl`, in bounded pieces.

pub mod entry;

use crate::command::{self, CommandError};
use cairn_model::log::{LogEntry, LogQuery, MOST_ENTRIES, Unit};
use cairn_wire::message::Response;
use cairn_wire::server::LogReceiver;
use cairn_workflow::log::chain;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// A follower holds one of the few connections, and a process.
const MOST_READERS: usize = 4;
/// An entry's fields are cut by journalctl at 4 KiB each; a line beyond this is left out.
const LONGEST_LINE: usize = 64 * 1024;
/// A bundle's worst case as JSON: with one more entry it still fits into a frame of the wire.
const BUNDLE_BYTES: usize = 96 * 1024;
/// More units than this are not listed.
const MOST_UNITS: usize = 500;
const FIELDS: &str = "MESSAGE,PRIORITY,_SYSTEMD_UNIT,UNIT,SYSLOG_IDENTIFIER,_TRANSPORT";

/// Where a journal lies, and who reads it.
#[derive(Debug)]
pub struct Journal {
    /// This machine's own when there is none.
    directory: Option<PathBuf>,
    readers: Arc<Semaphore>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { directory: None, readers: Arc::new(Semaphore::new(MOST_READERS)) }
    }
}

impl Journal {
    pub fn in_directory(directory: PathBuf) -> Self {
        Self { directory: Some(directory), ..Self::default() }
    }

    /// The initrd writes under another machine id than the running system, hence `--merge`.
    fn place(&self) -> String {
        let merge = || "--merge".to_owned();
        self.directory.as_ref().map_or_else(merge, |path| format!("--directory={}", path.display()))
    }

    /// All units that wrote something, and the kernel.
    ///
    /// # Errors
    /// When there is no journalctl, or it fails.
    pub fn units(&self) -> Result<Vec<Unit>, CommandError> {
        let text = command::run("journalctl", &[&self.place(), "--quiet", "--field=_SYSTEMD_UNIT"], b"")?;
        let mut units: Vec<Unit> =
            text.lines().filter_map(|line| line.parse().ok()).take(MOST_UNITS).collect();
        units.sort();
        units.dedup();
        units.insert(0, Unit::kernel());
        Ok(units)
    }

    pub fn answer_units(&self) -> Response {
        match self.units() {
            Ok(units) => Response::Units { units },
            Err(error) => Response::Refused { reason: chain(&error) },
        }
    }

    /// Starts reading; it ends when the receiver is dropped.
    ///
    /// # Errors
    /// When journalctl can't be started, or too many read already.
    pub fn read(&self, query: &LogQuery) -> Result<LogReceiver, String> {
        let place = Arc::clone(&self.readers)
            .try_acquire_owned()
            .map_err(|_| format!("{MOST_READERS} readers follow this node's log already; close one"))?;
        let child = Command::new("journalctl")
            .arg(self.place())
            .args(arguments(query))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("`journalctl` can't be started: {error}"))?;
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(pump(child, query.clone(), sender, place));
        Ok(receiver)
    }
}

/// A cursor's own entry is asked for too and left out here: `--after-cursor` loses an entry where the
/// cursor's is gone.
fn arguments(query: &LogQuery) -> Vec<String> {
    let lines = query.lines.min(MOST_ENTRIES);
    let mut arguments = vec!["--quiet".into(), "--output=json".into(), format!("--output-fields={FIELDS}")];
    match &query.after {
        Some(cursor) => {
            arguments.push(format!("--lines={}", lines.saturating_add(1)));
            arguments.push(format!("--cursor={}", cursor.as_str()));
        }
        None => arguments.push(format!("--lines={lines}")),
    }
    if query.follow {
        arguments.push("--follow".into());
    }
    match &query.unit {
        Some(unit) if unit.is_kernel() => arguments.push("_TRANSPORT=kernel".into()),
        Some(unit) => arguments.push(format!("--unit={unit}")),
        None => {}
    }
    arguments
}

/// From the process to whoever reads, until one of them ends.
async fn pump(
    mut child: Child,
    query: LogQuery,
    sender: mpsc::Sender<Result<Vec<LogEntry>, String>>,
    _place: OwnedSemaphorePermit,
) {
    let Some(stdout) = child.stdout.take() else { return };
    let mut reader = BufReader::with_capacity(32 * 1024, stdout);
    loop {
        let bundle = tokio::select! {
            bundle = next_bundle(&mut reader) => bundle,
            () = sender.closed() => return,
        };
        match bundle {
            Ok(Some(mut entries)) => {
                entries.retain(|entry| Some(&entry.cursor) != query.after.as_ref());
                if !entries.is_empty() && sender.send(Ok(entries)).await.is_err() {
                    return;
                }
            }
            Ok(None) => break,
            Err(error) => return drop(sender.send(Err(format!("the journal broke off: {error}"))).await),
        }
    }
    let mut words = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(1024).read_to_string(&mut words).await;
    }
    match child.wait().await {
        Ok(status) if status.success() => {}
        _ => drop(sender.send(Err(format!("the journal can't be read: {}", words.trim()))).await),
    }
}

/// All entries that are there now, at least one; `None` at the end.
async fn next_bundle(
    reader: &mut BufReader<impl tokio::io::AsyncRead + Unpin>,
) -> std::io::Result<Option<Vec<LogEntry>>> {
    let mut entries = Vec::new();
    let mut size: usize = 0;
    while entries.is_empty() || (size < BUNDLE_BYTES && reader.buffer().contains(&b'\n')) {
        let Some(line) = next_line(reader).await? else { break };
        if let Some(entry) = entry::parse(&line) {
            size = size.saturating_add(entry::longest_as_json(&entry));
            entries.push(entry);
        }
    }
    Ok(Some(entries).filter(|entries| !entries.is_empty()))
}

/// The next line; empty when it was too long. `None` at the end.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(None);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
        too_long |= line.len().saturating_add(part.len()) > LONGEST_LINE;
        if too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        let used = end.map_or(buffer.len(), |end| end.saturating_add(1));
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests;
