//! A machine's serial console: everything it said, and a line to type on.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use regex::bytes::Regex;

use crate::arguments::{CONSOLE_LOG, CONSOLE_SOCKET};
use crate::error::LabError;
use crate::process;
use crate::socket;

/// Ends an attached terminal, as in telnet.
const CTRL_BRACKET: u8 = 0x1d;

/// Where on the console a pattern was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleMatch {
    /// The text that the pattern matched.
    pub text: String,
    /// The offset behind it, from which to wait for what comes next.
    pub end: u64,
}

/// How much there is so far.
pub(crate) fn length(dir: &Path) -> u64 {
    std::fs::metadata(dir.join(CONSOLE_LOG)).map(|meta| meta.len()).unwrap_or(0)
}

/// All that came after `offset`; nothing when the machine never ran.
pub(crate) fn since(dir: &Path, offset: u64) -> Result<Vec<u8>, LabError> {
    let path = dir.join(CONSOLE_LOG);
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| {
        let mut file = File::open(&path)?;
        file.seek(SeekFrom::Start(offset))?;
        file.read_to_end(bytes)
    };
    match read(&mut bytes) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LabError::file("read", path)(error)),
        _ => Ok(bytes),
    }
}

pub(crate) fn wait_for(
    machine: &str,
    dir: &Path,
    offset: u64,
    pattern: &str,
    patience: Duration,
) -> Result<ConsoleMatch, LabError> {
    let regex = Regex::new(pattern)
        .map_err(|source| LabError::Pattern { pattern: pattern.to_owned(), source: Box::new(source) })?;
    let deadline = Instant::now() + patience;
    loop {
        let bytes = since(dir, offset)?;
        if let Some(found) = regex.find(&bytes) {
            let text = String::from_utf8_lossy(found.as_bytes()).into_owned();
            let length = u64::try_from(found.end()).unwrap_or(u64::MAX);
            return Ok(ConsoleMatch { text, end: offset.saturating_add(length) });
        }
        if Instant::now() >= deadline {
            return Err(LabError::ConsoleSilent {
                machine: machine.to_owned(),
                pattern: pattern.to_owned(),
                waited: patience,
                tail: process::tail(&dir.join(CONSOLE_LOG), 5),
            });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What a serial line may take to swallow a line of text when the machine is busy.
const SWALLOWED_WITHIN: Duration = Duration::from_secs(20);

/// Types on the console. A serial port takes sixteen bytes at a time and QEMU forgets the rest when its client goes,
/// so this one stays until QEMU has read to the end and hangs up.
pub(crate) fn send(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut console = socket::connect(dir, CONSOLE_SOCKET)?;
    console.write_all(bytes)?;
    console.shutdown(std::net::Shutdown::Write)?;
    console.set_read_timeout(Some(SWALLOWED_WITHIN))?;
    // What the machine says meanwhile is in the console's log.
    io::copy(&mut console, &mut io::sink()).map(drop)
}

/// Joins this process's terminal with the console until Ctrl-] is typed or the machine goes off.
pub(crate) fn attach(dir: &Path) -> io::Result<()> {
    let mut output = socket::connect(dir, CONSOLE_SOCKET)?;
    let mut input = output.try_clone()?;
    let _raw = RawTerminal::enter();
    std::thread::spawn(move || {
        let mut chunk = [0; 256];
        while let Ok(count) = io::stdin().read(&mut chunk) {
            let typed = chunk.get(..count).unwrap_or_default();
            if count == 0 || typed.contains(&CTRL_BRACKET) || input.write_all(typed).is_err() {
                break;
            }
        }
        let _ = input.shutdown(std::net::Shutdown::Both);
    });
    let mut screen = io::stdout();
    let mut chunk = [0; 4096];
    loop {
        let count = output.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        screen.write_all(chunk.get(..count).unwrap_or_default())?;
        screen.flush()?;
    }
}

/// Keys go to the machine as they are typed; put back at the end. Does nothing where there is no terminal.
struct RawTerminal(Option<rustix::termios::Termios>);

impl RawTerminal {
    fn enter() -> RawTerminal {
        let Ok(before) = rustix::termios::tcgetattr(io::stdin()) else { return RawTerminal(None) };
        let mut raw = before.clone();
        raw.make_raw();
        let set = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &raw);
        RawTerminal(set.is_ok().then_some(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_tells_where_to_go_on() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(since(dir.path(), 0).unwrap(), b"");
        std::fs::write(dir.path().join(CONSOLE_LOG), b"\xff boot 1\nboot 2\n").unwrap();
        let wait = |offset| wait_for("a", dir.path(), offset, r"boot \d", Duration::ZERO);
        let first = wait(0).unwrap();
        assert_eq!(first.text, "boot 1");
        let second = wait(first.end).unwrap();
        assert_eq!(second.text, "boot 2");
        let error = wait(second.end).unwrap_err();
        assert!(error.to_string().contains("boot 2"), "{error}");
        assert!(matches!(wait_for("a", dir.path(), 0, "(", Duration::ZERO), Err(LabError::Pattern { .. })));
    }
}
