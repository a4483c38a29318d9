//! A node's log: entries of its journal, by unit.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// More entries than this are not given at once.
pub const MOST_ENTRIES: u32 = 1000;
/// Bytes of a message; what is longer is cut. journald itself cuts lines at 48 KiB.
pub const LONGEST_MESSAGE: usize = 4096;
/// systemd's own limit (`UNIT_NAME_MAX`).
const LONGEST_UNIT: usize = 255;
/// A cursor of journald has some 150 characters.
const LONGEST_CURSOR: usize = 300;
/// The unit types of systemd.unit(5).
const UNIT_TYPES: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];

/// Whose entries: a systemd unit such as `k3s.service`, or `kernel`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(into = "String", try_from = "String")]
pub struct Unit(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no unit; write one as systemd names it, such as k3s.service, or `kernel`")]
pub struct UnitError(String);

impl Unit {
    pub const KERNEL: &str = "kernel";

    pub fn kernel() -> Self {
        Self(Self::KERNEL.to_owned())
    }

    pub fn is_kernel(&self) -> bool {
        self.0 == Self::KERNEL
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Unit {
    type Err = UnitError;

    /// The letters of systemd.unit(5); no pattern of journalctl's can be made of them.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let letters = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        let is_unit = text.len() <= LONGEST_UNIT
            && text.chars().all(letters)
            && text
                .rsplit_once('.')
                .is_some_and(|(name, kind)| !name.is_empty() && UNIT_TYPES.contains(&kind));
        if is_unit || text == Self::KERNEL {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnitError(text.chars().take(60).flat_map(char::escape_default).collect()))
        }
    }
}

impl TryFrom<String> for Unit {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.0
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a journal, in journald's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(into = "String", try_from = "String")]
pub struct Cursor(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no place in a journal")]
pub struct CursorError;

impl Cursor {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '=' || c == ';';
        let fits = (1..=LONGEST_CURSOR).contains(&text.len()) && text.chars().all(letters);
        if fits { Ok(Self(text.to_owned())) } else { Err(CursorError) }
    }
}

impl TryFrom<String> for Cursor {
    type Error = CursorError;

    fn try_from(text: String) -> Result<Self, CursorError> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.0
    }
}

/// Which entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    /// All of the node's when left out.
    #[serde(default)]
    pub unit: Option<Unit>,
    /// The last so many; or, after a cursor, the first so many. At most [`MOST_ENTRIES`].
    pub lines: u32,
    /// Only what came after it.
    #[serde(default)]
    pub after: Option<Cursor>,
    /// And all that comes, for as long as somebody reads.
    #[serde(default)]
    pub follow: bool,
}

/// One entry of a node's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LogEntry {
    pub cursor: Cursor,
    /// Microseconds since 1970, by the node's clock.
    pub time_us: u64,
    pub unit: Option<String>,
    /// The program, as it calls itself.
    pub identifier: Option<String>,
    /// As syslog has it: 0 is an emergency, 7 is for debugging.
    pub priority: Option<u8>,
    /// What was no UTF-8 is replaced; lines are separated by `\n`.
    pub message: String,
    /// The message was longer than [`LONGEST_MESSAGE`].
    pub cut: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_told_from_options_patterns_and_paths() {
        for text in [
            "k3s.service",
            "kernel",
            "-.mount",
            "cairn-etcd.service",
            r"dev-disk-by\x2did.swap",
            "a@b:1.service",
            "system-getty.slice",
        ] {
            assert_eq!(text.parse::<Unit>().map(String::from), Ok(text.to_owned()));
        }
        let long = format!("{}.service", "a".repeat(255));
        for text in [
            "",
            "k3s",
            ".service",
            "--file=/etc/shadow",
            "--vacuum-size=1.service x",
            "*.service",
            "k3s.service\n",
            "../x.service",
            "[a].service",
            "?.service",
            &long,
        ] {
            assert!(text.parse::<Unit>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_unit_or_refused_in_printable_words(text in "\\PC*|.*") {
            match text.parse::<Unit>() {
                Ok(unit) => prop_assert!(unit.as_str() == text && !text.contains(['*', '?', '[', '/', ' '])),
                Err(error) => prop_assert!(error.to_string().chars().all(|c| !c.is_control())),
            }
        }

        #[test]
        fn a_cursor_holds_nothing_but_its_letters(text in ".*") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert!(!cursor.as_str().contains([' ', '-', '/', '\n']));
            }
        }
    }
}
