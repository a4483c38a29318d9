//! Running a program for at most so long, with what it printed.

use anyhow::{Context, Result, bail};
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);

/// What a program said.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// Both of its outputs, as a person sees them.
    pub fn words(&self) -> String {
        let both = [self.stdout.as_slice(), self.stderr.as_slice()].concat();
        String::from_utf8_lossy(&both).trim().to_owned()
    }

    pub fn is_ok(&self) -> bool {
        self.code == 0
    }
}

/// A started program. Its outputs go to files without a name, so that its own long-lived children hold no pipe open.
pub struct Running {
    child: Child,
    shown: String,
    outputs: [std::fs::File; 2],
}

/// # Errors
/// When there is no such program.
pub fn start(command: &mut Command, scratch: &std::path::Path) -> Result<Running> {
    let shown = shown(command);
    let [out, err] = [unnamed(scratch)?, unnamed(scratch)?];
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(err.try_clone()?);
    let child = command.spawn().with_context(|| format!("`{shown}` can't be started"))?;
    Ok(Running { child, shown, outputs: [out, err] })
}

/// # Errors
/// When it can't be started or takes longer than `limit`; it is killed then.
pub fn run(command: &mut Command, scratch: &std::path::Path, limit: Duration) -> Result<Answer> {
    let mut running = start(command, scratch)?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = running.ended()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            let words = running.kill()?;
            bail!("`{}` did not end within {} s; it said: {words}", running.shown, limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

impl Running {
    /// What it said, once it has ended.
    pub fn ended(&mut self) -> Result<Option<Answer>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        let [stdout, stderr] = self.printed()?;
        Ok(Some(Answer { code: status.code().unwrap_or(-1), stdout, stderr }))
    }

    /// What it has printed so far.
    pub fn printed(&mut self) -> Result<[Vec<u8>; 2]> {
        let mut read = [Vec::new(), Vec::new()];
        for (file, bytes) in self.outputs.iter().zip(&mut read) {
            // The program writes at its own place in the file: read through another one.
            let mut again =
                std::fs::File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)))?;
            again.seek(SeekFrom::Start(0))?;
            again.read_to_end(bytes)?;
        }
        Ok(read)
    }

    /// As by SIGKILL; gives its last words.
    pub fn kill(&mut self) -> Result<String> {
        self.child.kill()?;
        self.child.wait()?;
        let [stdout, stderr] = self.printed()?;
        Ok(last_lines(&[stdout, stderr].concat(), 15))
    }
}

fn unnamed(scratch: &std::path::Path) -> Result<std::fs::File> {
    let path = scratch.join("output");
    let file = std::fs::File::options().read(true).append(true).create(true).open(&path);
    let file = file.with_context(|| format!("{} can't be made", path.display()))?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The end of a text, without the bytes that move a terminal's cursor.
pub fn last_lines(bytes: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}
