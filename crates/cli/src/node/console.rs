//! `cairn node console`: a serial adapter of the manager's machine, for a node without a screen.

use crate::client::{Client, Connection, escaped};
use crate::events::Event;
use crate::{note, out};
use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_manager::api::Adapter;
use std::fmt::Write as _;
use std::io::BufRead as _;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub struct ConsoleArguments {
    /// The adapter that the node's console is on; without it, the adapters are listed
    adapter: Option<String>,
    /// Print the list as JSON
    #[arg(long, conflicts_with = "adapter")]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Shows what the console says, with what it said before, and types what is typed, line by line; Ctrl-C ends it.
///
/// # Errors
/// What the manager says, or why it can't be asked.
pub fn run(arguments: &ConsoleArguments) -> Result<()> {
    let ConsoleArguments { adapter, json, connection } = arguments;
    let client = Arc::new(connection.open()?);
    let Some(adapter) = adapter else {
        return client.look("serial")?.print(*json, |adapters: &Vec<_>| list(adapters));
    };
    let path = format!("serial/{}", escaped(adapter));
    let mut events = client.events(&format!("{path}/stream"), None)?;
    // Not waited for: it reads until Ctrl-C.
    std::thread::spawn(move || {
        if let Err(error) = type_lines(&client, &format!("{path}/input")) {
            note!("cairn: {error:#}");
        }
    });
    for event in events.by_ref() {
        // As it comes: a terminal is what the node's console means to talk to.
        out::bytes(&said(&event)?)?;
    }
    bail!("{}; was the adapter pulled out?", events.end())
}

fn list(adapters: &[Adapter]) -> String {
    let mut text = String::new();
    if adapters.is_empty() {
        text.push_str("No serial adapter is plugged into the manager's machine.\n");
    }
    for Adapter { name, device, problem } in adapters {
        let problem = problem.as_ref().map_or_else(String::new, |problem| format!(": {problem}"));
        let mark = if problem.is_empty() { '●' } else { '▲' };
        let _ = writeln!(text, "{mark} {name}  ({}){problem}", device.display());
    }
    text
}

fn said(event: &Event) -> Result<Vec<u8>> {
    match event.name.as_str() {
        "output" => STANDARD.decode(&event.data).context("the manager's answer was not understood"),
        _ => Ok(Vec::new()),
    }
}

fn type_lines(client: &Client, path: &str) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        // What the Enter key sends.
        client.send(path, format!("{}\r", line?).as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_output_is_shown_and_only_what_is_whole() {
        let event = |name: &str, data: &str| Event { name: name.into(), id: None, data: data.into() };
        assert_eq!(said(&event("output", "Y29kZQ0K")).unwrap(), b"code\r\n");
        assert_eq!(said(&event("other", "Y29kZQ0K")).unwrap(), b"");
        assert!(said(&event("output", "Y29kZQ0")).is_err());
    }
}
