//! Guessing gets slower: after each wrong passphrase the next try waits longer, whoever makes it.

use crate::site::Site;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
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

/// One try at a time, at this machine and on the network each: a stranger there does not keep the owner out here.
#[derive(Debug, Default)]
pub struct Patience {
    here: Arc<Mutex<Tries>>,
    network: Arc<Mutex<Tries>>,
}

impl Patience {
    /// Waits until a try may be made. Who stops waiting has made none.
    pub async fn turn(&self, site: Site) -> Turn {
        let line = if site.is_network() { &self.network } else { &self.here };
        let tries = Arc::clone(line).lock_owned().await;
        if let Some(moment) = tries.not_before {
            sleep_until(moment).await;
        }
        Turn(tries)
    }
}

/// The right to one try. A try whose outcome says nothing about the passphrase is neither right nor wrong: it
/// is dropped, and the next waits no less and no longer.
#[must_use]
pub struct Turn(OwnedMutexGuard<Tries>);

impl Turn {
    /// It was the passphrase: guessing begins anew.
    pub fn right(mut self) {
        *self.0 = Tries::default();
    }

    /// It was not: that counts against the next try.
    pub fn wrong(mut self) {
        self.0.failures = self.0.failures.saturating_add(1);
        self.0.not_before = Some(Instant::now() + pause(self.0.failures));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

    const ADDRESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
    const HERE: Site = Site::Loopback(ADDRESS);

    #[tokio::test(start_paused = true)]
    async fn who_guesses_on_the_network_waits_and_does_not_keep_the_owner_waiting() {
        let (patience, afar) = (Patience::default(), Site::Network(ADDRESS));
        for _ in 0..20 {
            patience.turn(afar).await.wrong();
        }
        let began = Instant::now();
        patience.turn(HERE).await.right();
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(patience.turn(afar).await);
        assert_eq!(began.elapsed(), LONGEST);
    }

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
            patience.turn(HERE).await.wrong();
        }
        patience.turn(HERE).await.right();
        assert!(began.elapsed() > Duration::from_secs(300), "{:?}", began.elapsed());
        let anew = Instant::now();
        patience.turn(HERE).await.wrong();
        patience.turn(HERE).await.right();
        assert_eq!(anew.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_says_nothing_neither_counts_nor_begins_anew() {
        let patience = Patience::default();
        for _ in 0..FREE + 1 {
            patience.turn(HERE).await.wrong();
        }
        drop(patience.turn(HERE).await);
        patience.turn(HERE).await.wrong();
        let began = Instant::now();
        drop(patience.turn(HERE).await);
        assert_eq!(began.elapsed(), pause(FREE + 2));
    }
}
