//! `cairn node logs`: a node's journal on the terminal.

use crate::client::{Client, Connection};
use anyhow::Result;
use cairn_manager::api::{LogBroken, NodeLog, NodeUnits};
use cairn_model::log::{LogEntry, Unit};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use std::io::Write;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Until the manager is asked again after it went away.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct LogsArguments {
    node: String,
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
        return list_units(&client, node, *json);
    }
    let unit = unit.as_ref().map_or_else(String::new, |unit| format!("&unit={}", escaped(unit.as_str())));
    let path = format!("nodes/{}/logs?lines={lines}{unit}", escaped(node));
    if *follow {
        return print_what_comes(&client, &format!("{path}&follow=true"), *json);
    }
    let log: NodeLog = client.get(&path)?;
    if *json {
        println!("{}", serde_json::to_string_pretty(&log)?);
    } else {
        log.entries.iter().for_each(|entry| println!("{}", in_words(entry)));
    }
    Ok(())
}

fn list_units(client: &Client, node: &str, json: bool) -> Result<()> {
    let units: NodeUnits = client.get(&format!("nodes/{}/units", escaped(node)))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&units)?);
    } else {
        units.units.iter().for_each(|unit| println!("{unit}"));
    }
    Ok(())
}

/// Until nobody reads it any more. A manager that is started again is asked again.
fn print_what_comes(client: &Client, path: &str, json: bool) -> Result<()> {
    let mut after: Option<String> = None;
    let mut events = client.events(path, None)?;
    loop {
        for event in events {
            if event.name == "broken" {
                let broken: LogBroken = serde_json::from_str(&event.data)?;
                eprintln!("cairn: {}; trying again", broken.reason);
            }
            if event.name != "entry" {
                continue;
            }
            let line = if json { event.data } else { in_words(&serde_json::from_str(&event.data)?) };
            if writeln!(std::io::stdout(), "{line}").is_err() {
                return Ok(());
            }
            after = event.id.or(after);
        }
        eprintln!("cairn: the manager went away; trying again");
        events = loop {
            std::thread::sleep(AGAIN);
            if let Ok(events) = client.events(path, after.as_deref()) {
                break events;
            }
        };
    }
}

/// RFC 3986, section 2.3: all but the unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn escaped(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

/// Time (UTC), unit or program, and the message, further lines under the first.
fn in_words(entry: &LogEntry) -> String {
    let source = entry.unit.as_deref().or(entry.identifier.as_deref()).unwrap_or("-");
    let source: String = source.chars().filter(|c| !c.is_control()).collect();
    let cut = if entry.cut { " ..." } else { "" };
    format!("{}  {source}: {}{cut}", time(entry.time_us), entry.printable().replace('\n', "\n    "))
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

    #[test]
    fn what_is_typed_stays_one_part_of_the_address() {
        assert_eq!(escaped("a/../b?c=d&e f").to_string(), "a%2F..%2Fb%3Fc%3Dd%26e%20f");
    }
}
