//! The last bytes that a console said, numbered, so that a reader who was away resumes.

use std::collections::VecDeque;
use std::time::SystemTime;

/// Some 800 full lines: a whole boot with its kernel messages.
const KEPT: usize = 64 * 1024;

#[derive(Debug)]
pub struct Scrollback {
    bytes: VecDeque<u8>,
    /// How many bytes there ever were.
    end: u64,
}

impl Scrollback {
    /// Numbers begin at the time of the start in microseconds: a line carries at most one byte in 86, so they
    /// rise over restarts too.
    pub fn new(now: SystemTime) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { bytes: VecDeque::new(), end: u64::try_from(since.as_micros()).unwrap_or_default() }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let excess = self.bytes.len().saturating_sub(KEPT);
        self.bytes.drain(..excess);
        self.end = self.end.saturating_add(u64::try_from(bytes.len()).unwrap_or_default());
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// All that came after a byte; with a number from the future, all there is.
    pub fn after(&self, offset: u64) -> Vec<u8> {
        let missing = self.end.checked_sub(offset).and_then(|missing| usize::try_from(missing).ok());
        let missing = missing.unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.iter().skip(self.bytes.len() - missing).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_reader_that_resumes_gets_just_what_it_missed(
            first in proptest::collection::vec(any::<u8>(), 0..500), more in proptest::collection::vec(any::<u8>(), 0..500),
        ) {
            let mut scrollback = Scrollback::new(SystemTime::UNIX_EPOCH);
            scrollback.push(&first);
            let there = scrollback.end();
            scrollback.push(&more);
            prop_assert_eq!(scrollback.after(there), more);
            prop_assert_eq!(scrollback.after(scrollback.end()), Vec::<u8>::new());
            prop_assert_eq!(scrollback.after(u64::MAX).len(), scrollback.after(0).len());
        }

        #[test]
        fn no_more_is_kept_than_the_bound(pieces in proptest::collection::vec(0..40_000_usize, 0..8)) {
            let mut scrollback = Scrollback::new(SystemTime::UNIX_EPOCH);
            for piece in &pieces {
                scrollback.push(&vec![7; *piece]);
            }
            let all: usize = pieces.iter().sum();
            prop_assert_eq!(scrollback.after(0).len(), all.min(KEPT));
            prop_assert_eq!(scrollback.end(), all as u64);
        }
    }
}
