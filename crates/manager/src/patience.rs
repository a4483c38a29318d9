//! Guessing gets slower: after each wrong passphrase the next try waits longer, whoever makes it.

use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// The first few are typing mistakes.
const FREE: u32 = 3;
const LONGEST: Duration = Duration::from_secs(30);

/// How long after a wrong passphrase the next one is not even looked at.
fn pause(failures: u32) -> Duration {
    match failures.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(more) => Duration::from_secs(1_u64 << more.min(5)).min(LONGEST),
    }
}

#[derive(Debug, Default)]
struct Tries {
    failures: u32,
    not_before: Option<Instant>,
}

/// One try at a time.
#[derive(Debug, Default)]
pub struct Patience(Mutex<Tries>);

impl Patience {
    /// Makes a try when its time has come; `is_wrong` says whether its outcome counts against the next one.
    pub async fn attempt<T>(&self, attempt: impl Future<Output = T>, is_wrong: impl FnOnce(&T) -> bool) -> T {
        let mut tries = self.0.lock().await;
        if let Some(moment) = tries.not_before {
            sleep_until(moment).await;
        }
        let outcome = attempt.await;
        if is_wrong(&outcome) {
            tries.failures = tries.failures.saturating_add(1);
            tries.not_before = Some(Instant::now() + pause(tries.failures));
        } else {
            *tries = Tries::default();
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_mistakes_cost_nothing_and_guessing_does() {
        let seconds: Vec<u64> = (0..12).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30, 30]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_wrong_tries_take_minutes_and_a_right_one_begins_anew() {
        let (patience, began) = (Patience::default(), Instant::now());
        for _ in 0..20 {
            patience.attempt(async { false }, |right| !right).await;
        }
        patience.attempt(async { true }, |right| !right).await;
        assert!(began.elapsed() > Duration::from_secs(300), "{:?}", began.elapsed());
        let anew = Instant::now();
        patience.attempt(async { false }, |right| !right).await;
        patience.attempt(async { true }, |right| !right).await;
        assert_eq!(anew.elapsed(), Duration::ZERO);
    }
}
