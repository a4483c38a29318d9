//! Somebody at a real terminal: `cairn` as a person has it, with its bars, answered by what is typed.

use crate::command::last_lines;
use crate::world::World;
use anyhow::{Context, Result, bail};
use regex::Regex;
use rexpect::reader::Options;
use rexpect::session::{PtySession, spawn_with_options};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How soon a program that is told to end has to.
const ENDS_WITHIN_MS: u64 = 5_000;
/// A pseudo-terminal is born without a size; this is every terminal's.
const BEGIN: &str = r#"stty rows 24 columns 80; "$0" "$@"; echo "ended with $?""#;

pub struct Terminal<'a> {
    world: &'a World,
    session: PtySession,
    /// What was shown since the last thing that was waited for.
    unread: String,
}

impl<'a> Terminal<'a> {
    /// Runs `cairn` in a folder; it finds the lab's manager.
    pub fn open(world: &'a World, folder: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", BEGIN]).arg(&world.cairn).args(arguments).current_dir(folder);
        command.env("TERM", "xterm").envs(world.manager());
        let options = Options::new().timeout_ms(Some(ENDS_WITHIN_MS)).strip_ansi_escape_codes(true);
        let session = spawn_with_options(command, options).context("no pseudo-terminal")?;
        Ok(Self { world, session, unread: String::new() })
    }

    /// Waits until the regular expression matches what is shown; gives what matched, or its one group.
    pub fn reads(&mut self, pattern: &str, patience: Duration) -> Result<String> {
        let wanted = Regex::new(pattern)?;
        let Self { world, session, unread } = self;
        world.until(&format!("the terminal to show `{pattern}`"), patience, || {
            while let Some(character) = session.try_read() {
                unread.push(character);
            }
            let Some(found) = wanted.captures(unread) else {
                bail!("it shows: {}", last_lines(unread.as_bytes(), 12));
            };
            let end = found.get(0).map_or(0, |all| all.end());
            let text = found.get(1).or_else(|| found.get(0)).map(|text| text.as_str().to_owned());
            unread.drain(..end);
            text.context("an empty match")
        })
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) -> Result<()> {
        self.session.send_line(line).map(drop).context("nothing can be typed")
    }

    /// Waits for a question, then answers it.
    pub fn answers(&mut self, question: &str, line: &str, patience: Duration) -> Result<String> {
        let asked = self.reads(question, patience)?;
        self.types(line).map(|()| asked)
    }

    /// Waits until the program has ended well.
    pub fn ends(&mut self, patience: Duration) -> Result<()> {
        let code = self.reads(r"ended with (\d+)", patience)?;
        if code == "0" { Ok(()) } else { bail!("it ended with {code}") }
    }
}
