//! How long a step that says how far it is will still take. No clock; time is an argument.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// What was longer ago says nothing about now: a cable may have been plugged into another port.
const WINDOW: Duration = Duration::from_secs(20);
/// Before this, a guess would jump about.
const FIRST: Duration = Duration::from_secs(2);

/// The latest progress of one step.
#[derive(Debug, Default)]
pub struct Pace {
    step: String,
    seen: VecDeque<(Instant, u64)>,
    total: u64,
}

impl Pace {
    pub fn saw(&mut self, step: &str, done: u64, total: u64, now: Instant) {
        let again = self.seen.back().is_some_and(|(_, before)| done < *before);
        if again || self.step != step || self.total != total {
            self.seen.clear();
        }
        step.clone_into(&mut self.step);
        self.total = total;
        self.seen.push_back((now, done));
        while self.seen.len() > 2 && self.seen.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.seen.pop_front();
        }
    }

    /// `None` while there is nothing to tell it from, or when nothing moves.
    pub fn seconds_left(&self, step: &str) -> Option<u64> {
        let ((first, from), (last, to)) = (self.seen.front()?, self.seen.back()?);
        let took = last.duration_since(*first);
        if self.step != step || took < FIRST || to <= from {
            return None;
        }
        let left = u128::from(self.total.saturating_sub(*to));
        let seconds = left * took.as_millis() / u128::from(to - from) / 1000;
        u64::try_from(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_what_went_lately() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        pace.saw("copy", 0, 1000, at(0));
        pace.saw("copy", 10, 1000, at(1));
        assert_eq!(pace.seconds_left("copy"), None);
        pace.saw("copy", 100, 1000, at(10));
        assert_eq!((pace.seconds_left("copy"), pace.seconds_left("other")), (Some(90), None));
        // ten times as fast since, and what was before is forgotten
        for second in 11..40 {
            pace.saw("copy", 100 + (second - 10) * 30, 1000, at(second));
        }
        assert_eq!(pace.seconds_left("copy"), Some(1));
        // begun again
        pace.saw("copy", 0, 1000, at(41));
        assert_eq!(pace.seconds_left("copy"), None);
        // it stands still
        pace.saw("copy", 0, 1000, at(60));
        assert_eq!(pace.seconds_left("copy"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_progress_makes_it_panic(reports in proptest::collection::vec((0u64.., 0u64.., 0u64..9), 0..20)) {
            let mut now = Instant::now();
            let mut pace = Pace::default();
            for (done, total, later) in reports {
                now += Duration::from_secs(later);
                pace.saw("a", done, total, now);
                let _ = pace.seconds_left("a");
            }
        }
    }
}
