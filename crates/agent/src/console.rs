//! The machine's own consoles: what a person in front of it reads, and the recovery key typed there.

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use zeroize::Zeroizing;

/// Kernel list of the consoles in use, such as `tty0 ttyS0`.
const ACTIVE: &str = "/sys/class/tty/console/active";
/// No recovery key is longer; a line that is, is noise on a serial line.
const MAX_LINE: usize = 200;

/// All consoles, not only the last on the kernel's command line: nobody knows whether the owner has a
/// screen or a serial cable.
fn devices() -> Vec<String> {
    let active = std::fs::read_to_string(ACTIVE).unwrap_or_default();
    active.split_whitespace().map(|name| format!("/dev/{name}")).collect()
}

/// Says a line to whoever stands before the machine, and to the journal.
pub fn say(text: &str) {
    tracing::info!("{text}");
    for device in devices() {
        // A console without anybody behind it may refuse to be written to.
        if let Ok(mut console) = OpenOptions::new().write(true).open(device) {
            let _ = console.write_all(format!("\r\ncairn: {text}\r\n").as_bytes());
        }
    }
}

/// Calls `typed` with each line that is typed at any console, without showing it. The threads end with
/// the process.
pub fn on_line(typed: impl Fn(Zeroizing<String>) + Send + Clone + 'static) {
    for device in devices() {
        let typed = typed.clone();
        std::thread::spawn(move || {
            let Ok(file) = OpenOptions::new().read(true).write(true).open(device) else { return };
            hide_typing(&file);
            read_lines(file, typed);
        });
    }
}

fn hide_typing(file: &File) {
    if let Ok(mut mode) = tcgetattr(file) {
        mode.local_modes.remove(LocalModes::ECHO);
        mode.local_modes.insert(LocalModes::ICANON);
        let _ = tcsetattr(file, OptionalActions::Now, &mode);
    }
}

fn read_lines(source: impl std::io::Read, typed: impl Fn(Zeroizing<String>)) {
    let mut reader = BufReader::with_capacity(MAX_LINE, source);
    loop {
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        match std::io::Read::take(&mut reader, limit).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = Zeroizing::new(String::from_utf8_lossy(&line).trim().to_owned());
                if !text.is_empty() {
                    typed(text);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn lines_are_read_one_by_one_and_noise_without_end_is_cut() {
        let mut input = b"first\r\n\n".to_vec();
        input.extend(vec![b'x'; 1000]);
        input.extend(b"\nlast\n");
        let seen = RefCell::new(Vec::new());
        read_lines(input.as_slice(), |line| seen.borrow_mut().push(line.to_string()));
        let seen = seen.into_inner();
        assert_eq!(seen.first().map(String::as_str), Some("first"));
        assert_eq!(seen.last().map(String::as_str), Some("last"));
        assert!(seen.iter().all(|line| line.len() <= MAX_LINE));
    }
}
