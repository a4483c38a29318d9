//! `cairn node logs`: a node's journal on the terminal.

use crate::client::{Client, Connection, Stream, escaped};
use crate::{note, out, say};
use anyhow::Result;
use cairn_manager::api::{LogBroken, NodeLog, NodeUnits};
use cairn_model::cluster::Name;
use cairn_model::log::{LogEntry, Unit};
use cairn_model::text::{one_line, printable};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Until the manager is asked again after it went away.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct LogsArguments {
    node: Name,
    /// Only this unit's, such as k3s.service, or `kernel`
    #[arg(long, short)]
    unit: Option<Unit>,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// How many of the last entries
    #[arg(long, short = 'n', default_value_t = 200)]
    lines: u32,
    /// List the units that have entries
    #[arg(long, conflicts_with_all = ["unit", "follow", "lines"])]
    units: bool,
    /// Print JSON; one object per line when following
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// # Errors
/// What the manager says, or why it can't be asked.
pub fn run(arguments: &LogsArguments) -> Result<()> {
    let LogsArguments { node, unit, follow, lines, units, json, connection } = arguments;
    let client = connection.open()?;
    if *units {
        return client.look(&format!("nodes/{node}/units"))?.print(*json, units_in_words);
    }
    let unit = unit.as_ref().map_or_else(String::new, |unit| format!("&unit={}", escaped(unit.as_str())));
    let path = format!("nodes/{node}/logs?lines={lines}{unit}");
    if *follow {
        return print_what_comes(&client, &format!("{path}&follow=true"), *json);
    }
    // Exactly: a message may have several lines.
    let log: NodeLog = client.look(&path)?.exact()?;
    if *json {
        return out::json(&log);
    }
    log.entries.iter().try_for_each(|entry| say!("{}", in_words(entry)))
}

fn units_in_words(units: &NodeUnits) -> String {
    units.units.iter().map(|unit| format!("{unit}\n")).collect()
}

/// Until nobody reads it any more. A manager that is started again is asked again.
fn print_what_comes(client: &Client, path: &str, json: bool) -> Result<()> {
    let mut after: Option<String> = None;
    let mut events = client.events(path, None)?;
    loop {
        for event in events.by_ref() {
            if event.name == "broken" {
                let broken: LogBroken = serde_json::from_str(&event.data)?;
                note!("cairn: {}; trying again", one_line(&broken.reason));
            }
            if event.name != "entry" {
                continue;
            }
            let entry: LogEntry = serde_json::from_str(&event.data)?;
            if json {
                out::json_line(&entry)?
            } else {
                say!("{}", in_words(&entry))?
            }
            after = event.id.or(after);
        }
        events = again(client, path, after.as_deref(), events.end());
    }
}

/// Asks until the manager answers, and says each reason once.
fn again(client: &Client, path: &str, after: Option<&str>, mut said: String) -> Stream {
    note!("cairn: {said}; trying again");
    loop {
        std::thread::sleep(AGAIN);
        match client.events(path, after).map_err(|error| format!("{error:#}")) {
            Ok(events) => return events,
            Err(reason) if reason == said => {}
            Err(reason) => {
                note!("cairn: {reason}; trying again");
                said = reason;
            }
        }
    }
}

/// Time (UTC), unit or program, and the message, further lines under the first.
fn in_words(entry: &LogEntry) -> String {
    let source = entry.unit.as_deref().or(entry.identifier.as_deref()).unwrap_or("-");
    let cut = if entry.cut { " ..." } else { "" };
    let message = entry.message.replace('\n', "\n    ");
    printable(&format!("{}  {}: {message}{cut}", time(entry.time_us), one_line(source)))
}

fn time(microseconds: u64) -> String {
    let seconds = i64::try_from(microseconds / 1_000_000).ok();
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{microseconds} us"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_with_its_time() {
        let entry = LogEntry {
            cursor: "s=1".parse().unwrap(),
            time_us: 1_709_164_799_000_000,
            unit: Some("k3s.service".into()),
            identifier: Some("k3s".into()),
            priority: Some(6),
            message: "up\nand running\x1b[2J".into(),
            cut: true,
        };
        let expected = "2024-02-28T23:59:59Z  k3s.service: up\n    and running\u{fffd}[2J ...";
        assert_eq!(in_words(&entry), expected);
    }

    #[test]
    fn a_clock_that_is_far_off_is_shown_as_it_is() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(u64::MAX), format!("{} us", u64::MAX));
    }
}
