//! The one way to standard output and standard error.
//!
//! `println!` panics where nobody reads any more (`cairn status | head -1`) and hands a terminal whatever a
//! machine calls itself; the lints forbid it here. Use [`say!`](crate::say) and [`note!`](crate::note).

use anyhow::{Context as _, Result};
use cairn_model::text::printable;
use serde::Serialize;
use std::fmt::Arguments;
use std::io::{self, Write};

/// A line for standard output.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::out::line(format_args!($($words)*)) };
}

/// A line for standard error: what a script does not read.
#[macro_export]
macro_rules! note {
    ($($words:tt)*) => { $crate::out::note(format_args!($($words)*)) };
}

/// Nobody reads standard output any more. The command ends, and there is nobody to tell.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("nobody reads what is printed any more")]
pub struct Unread;

/// Standard output, as it is.
#[derive(Debug)]
pub struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).map_err(unread)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().map_err(unread)
    }
}

fn unread(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(error.kind(), Unread),
        _ => error,
    }
}

/// Whether a command ended because nobody reads any more. Other pipes may break too, so the kind is not enough.
pub fn is_unread(error: &anyhow::Error) -> bool {
    let inner = |cause: &(dyn std::error::Error + 'static)| {
        let cause = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause.is_some_and(|inner| inner.is::<Unread>())
    };
    error.chain().any(inner)
}

/// Several lines, each with its end.
///
/// # Errors
/// When standard output can't be written.
pub fn text(text: &str) -> Result<()> {
    bytes(printable(text).as_bytes())
}

/// What is not for eyes, as it is.
///
/// # Errors
/// As [`text`].
pub fn bytes(bytes: &[u8]) -> Result<()> {
    Out.write_all(bytes).and_then(|()| Out.flush()).context("standard output could not be written")
}

pub fn line(words: Arguments<'_>) -> Result<()> {
    text(&format!("{words}\n"))
}

/// What can't be said there is not said at all.
pub fn note(words: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", printable(&words.to_string()));
}

/// A question, whose answer is typed on the same line.
pub fn prompt(words: &str) {
    let _ = write!(io::stderr(), "{}", printable(words));
    let _ = io::stderr().flush();
}

/// # Errors
/// As [`text`].
pub fn json(value: &impl Serialize) -> Result<()> {
    bytes(format!("{}\n", json_text(value)?).as_bytes())
}

/// # Errors
/// When it can't be encoded.
pub fn json_text(value: &impl Serialize) -> Result<String> {
    Ok(escaped(&serde_json::to_string_pretty(value)?))
}

/// One object of a stream of them.
///
/// # Errors
/// As [`text`].
pub fn json_line(value: &impl Serialize) -> Result<()> {
    bytes(format!("{}\n", escaped(&serde_json::to_string(value)?)).as_bytes())
}

/// JSON lets DEL and the C1 controls stand in strings as they are; a terminal takes them for commands.
fn escaped(json: &str) -> String {
    let safe = |c: char| match c {
        '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    json.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unread_output_is_told_from_other_broken_pipes() {
        let broken = |inner: io::Error| anyhow::Error::new(inner).context("standard output");
        assert!(is_unread(&broken(unread(io::ErrorKind::BrokenPipe.into()))));
        assert!(!is_unread(&broken(io::ErrorKind::BrokenPipe.into())));
        assert!(!is_unread(&broken(unread(io::ErrorKind::StorageFull.into()))));
    }

    #[test]
    fn json_says_the_same_without_commands_for_a_terminal() {
        let value = serde_json::json!({ "product": "a\u{9b}2J\x1b[2J\u{7f}\n" });
        let text = escaped(&value.to_string());
        assert!(!text.contains(char::is_control), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
