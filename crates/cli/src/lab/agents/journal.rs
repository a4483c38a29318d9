//! The log of a node without a machine: what its agent was told, and no more.

use cairn_model::log::{Cursor, LogEntry, LogQuery, Unit};
use std::collections::VecDeque;
use std::time::{Duration, UNIX_EPOCH};

pub const AGENT: &str = "cairn-agent.service";
/// Older ones go. So many fit into a frame of the wire.
const KEPT: usize = 200;
/// syslog's word for what is worth knowing.
const INFORMATIONAL: u8 = 6;

#[derive(Debug, Default)]
pub struct Journal {
    /// Oldest first; their cursors are their numbers.
    lines: VecDeque<(u64, LogEntry)>,
    written: u64,
}

impl Journal {
    /// `since_1970` is the time now.
    pub fn write(&mut self, since_1970: Duration, unit: &str, message: &str) {
        self.written = self.written.saturating_add(1);
        let Ok(cursor) = self.written.to_string().parse() else { return };
        let entry = LogEntry {
            cursor,
            time_us: u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX),
            unit: Some(unit.to_owned()),
            identifier: None,
            priority: Some(INFORMATIONAL),
            message: message.to_owned(),
            cut: false,
        };
        self.lines.push_back((self.written, entry));
        while self.lines.len() > KEPT {
            self.lines.pop_front();
        }
    }

    /// The number of the newest entry.
    pub fn written(&self) -> u64 {
        self.written
    }

    pub fn units(&self) -> Vec<Unit> {
        [Unit::KERNEL, AGENT].iter().filter_map(|unit| unit.parse().ok()).collect()
    }

    /// As a node answers: the last so many, or the first so many after an entry; all of these for whoever follows.
    pub fn read(&self, query: &LogQuery, after: Option<u64>) -> Vec<LogEntry> {
        let wanted = |entry: &LogEntry| {
            query.unit.as_ref().is_none_or(|unit| entry.unit.as_deref() == Some(unit.as_str()))
        };
        let later = self.lines.iter().filter(|(number, _)| after.is_none_or(|after| *number > after));
        let entries: Vec<&LogEntry> = later.map(|(_, entry)| entry).filter(|entry| wanted(entry)).collect();
        let lines = usize::try_from(query.lines).unwrap_or(usize::MAX);
        let (skipped, most) = match after {
            None => (entries.len().saturating_sub(lines), lines),
            Some(_) if query.follow => (0, usize::MAX),
            Some(_) => (0, lines),
        };
        entries.into_iter().skip(skipped).take(most).cloned().collect()
    }
}

/// The number of the entry that somebody has read last.
///
/// # Errors
/// When no entry of this log ever had it.
pub fn place(cursor: &Cursor) -> Result<u64, String> {
    cursor.as_str().parse().map_err(|_| "this is no place in its log".to_owned())
}

/// The clock of its host.
pub fn since_1970() -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(lines: usize) -> Journal {
        let mut journal = Journal::default();
        for number in 1..=lines {
            let unit = if number % 2 == 1 { Unit::KERNEL } else { AGENT };
            journal.write(Duration::from_secs(1), unit, &format!("line {number}"));
        }
        journal
    }

    fn read(journal: &Journal, unit: Option<&str>, lines: u32, after: Option<u64>, follow: bool) -> String {
        let unit = unit.map(|unit| unit.parse().unwrap());
        let entries = journal.read(&LogQuery { unit, lines, after: None, follow }, after);
        entries.iter().map(|entry| entry.message.trim_start_matches("line ")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_last_are_read_or_the_first_after_a_place_or_all_that_follow() {
        let journal = journal(6);
        for (unit, lines, after, follow, expected) in [
            (None, 2, None, false, "5 6"),
            (None, 0, None, true, ""),
            (None, 9, None, false, "1 2 3 4 5 6"),
            (Some(AGENT), 2, None, false, "4 6"),
            (None, 2, Some(1), false, "2 3"),
            (None, 2, Some(1), true, "2 3 4 5 6"),
            (Some(Unit::KERNEL), 9, Some(1), false, "3 5"),
            (Some("k3s.service"), 9, None, false, ""),
            (None, 9, Some(6), false, ""),
        ] {
            assert_eq!(read(&journal, unit, lines, after, follow), expected, "{unit:?} {lines} {after:?}");
        }
    }

    #[test]
    fn old_lines_go_and_the_others_keep_their_places() {
        let journal = journal(KEPT + 1);
        assert_eq!(read(&journal, None, 1, Some(0), false), "2");
        assert_eq!(read(&journal, None, 1, None, false), (KEPT + 1).to_string());
        let oldest = journal.read(&LogQuery { lines: 1, ..LogQuery::default() }, Some(0));
        assert_eq!(place(&oldest[0].cursor), Ok(2));
        assert!(place(&"s=abc;i=1".parse().unwrap()).is_err());
    }
}
