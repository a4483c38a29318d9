//! The lease table: which client has which address until when. Its memory is bounded by the pool.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long an offered address is kept for the client that it was offered to.
pub const OFFER_HOLD: Duration = Duration::from_secs(60);

/// How long an address that a client found in use by somebody else is not handed out.
pub const DECLINE_HOLD: Duration = Duration::from_secs(600);

#[derive(Debug, Clone)]
struct Entry {
    /// `None`: declined, so nobody's.
    key: Option<Vec<u8>>,
    until: Duration,
}

/// Addresses and their holders. Times are durations since any fixed moment.
#[derive(Debug, Clone)]
pub struct Leases {
    first: u32,
    last: u32,
    by_address: BTreeMap<u32, Entry>,
    by_key: HashMap<Vec<u8>, u32>,
}

impl Leases {
    /// An empty table for the addresses from `first` to `last`.
    pub fn new(first: Ipv4Addr, last: Ipv4Addr) -> Self {
        let (first, last) = (first.to_bits(), last.to_bits());
        Self { first, last, by_address: BTreeMap::new(), by_key: HashMap::new() }
    }

    /// An address for `key`: the one it has or had, else the one it would like, else one never used, else
    /// the one whose lease ran out longest ago. `None` if every address is in use.
    pub fn offer(&mut self, key: &[u8], wanted: Option<Ipv4Addr>, now: Duration) -> Option<Ipv4Addr> {
        let address = self
            .by_key
            .get(key)
            .copied()
            .or_else(|| wanted.map(Ipv4Addr::to_bits).filter(|wanted| self.is_free(*wanted, now)))
            .or_else(|| self.unused(key))
            .or_else(|| self.oldest_expired(now))?;
        let held = self.by_address.get(&address).filter(|entry| entry.key.as_deref() == Some(key));
        let until = held.map_or(Duration::ZERO, |entry| entry.until).max(now + OFFER_HOLD);
        self.assign(address, key, until);
        Some(Ipv4Addr::from_bits(address))
    }

    /// Lends `address` to `key` until `until`, if it is in the pool and nobody else holds it. A client
    /// that this table does not know gets its address confirmed all the same: the table does not outlive
    /// a restart, and the clients' leases do.
    pub fn confirm(&mut self, key: &[u8], address: Ipv4Addr, now: Duration, until: Duration) -> bool {
        let address = address.to_bits();
        let own = self.by_key.get(key) == Some(&address);
        if !own && !self.is_free(address, now) {
            return false;
        }
        self.assign(address, key, until);
        true
    }

    /// The client is done with its address; it stays marked as the client's last one.
    pub fn release(&mut self, key: &[u8], now: Duration) {
        if let Some(entry) = self.by_key.get(key).and_then(|address| self.by_address.get_mut(address)) {
            entry.until = entry.until.min(now);
        }
    }

    /// The client found `address` in use by somebody else: nobody gets it for a while.
    pub fn decline(&mut self, key: &[u8], address: Ipv4Addr, now: Duration) {
        let address = address.to_bits();
        if self.by_key.get(key) == Some(&address) {
            self.by_key.remove(key);
            self.by_address.insert(address, Entry { key: None, until: now + DECLINE_HOLD });
        }
    }

    /// How many addresses are neither free nor expired.
    pub fn in_use(&self, now: Duration) -> usize {
        self.by_address.values().filter(|entry| entry.until > now).count()
    }

    /// Begins at a place of the key's own: a table that a restart has emptied would else lend the first addresses
    /// again, which other clients still have.
    fn unused(&self, key: &[u8]) -> Option<u32> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let size = u64::from(self.last.saturating_sub(self.first)) + 1;
        let begin = self.first.saturating_add(u32::try_from(hasher.finish() % size).unwrap_or_default());
        let mut addresses = (begin..=self.last).chain(self.first..begin);
        addresses.find(|address| !self.by_address.contains_key(address))
    }

    fn is_free(&self, address: u32, now: Duration) -> bool {
        (self.first..=self.last).contains(&address)
            && self.by_address.get(&address).is_none_or(|entry| entry.until <= now)
    }

    fn oldest_expired(&self, now: Duration) -> Option<u32> {
        let expired = self.by_address.iter().filter(|(_, entry)| entry.until <= now);
        expired.min_by_key(|(_, entry)| entry.until).map(|(address, _)| *address)
    }

    /// Keeps both maps each other's inverse.
    fn assign(&mut self, address: u32, key: &[u8], until: Duration) {
        if let Some(before) = self.by_key.insert(key.to_vec(), address)
            && before != address
        {
            self.by_address.remove(&before);
        }
        let entry = Entry { key: Some(key.to_vec()), until };
        if let Some(Entry { key: Some(loser), .. }) = self.by_address.insert(address, entry)
            && loser != key
        {
            self.by_key.remove(&loser);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEASE: Duration = Duration::from_secs(600);

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    fn table(size: u8) -> Leases {
        Leases::new(address(100), address(99 + size))
    }

    #[test]
    fn an_emptied_table_lends_a_client_what_it_had_and_another_client_something_else() {
        let (one, other) = (b"one".as_slice(), b"other".as_slice());
        let lend = |key| table(100).offer(key, None, Duration::ZERO);
        assert_eq!(lend(one), lend(one));
        assert_ne!(lend(one), lend(other));
    }

    #[test]
    fn a_client_gets_the_same_address_again_even_after_its_lease_ran_out() {
        let mut leases = table(5);
        let first = leases.offer(b"a", None, Duration::ZERO).unwrap();
        assert!(leases.confirm(b"a", first, Duration::ZERO, LEASE));
        leases.offer(b"b", None, Duration::ZERO);
        assert_eq!(leases.offer(b"a", None, LEASE * 9), Some(first));
    }

    #[test]
    fn a_full_pool_offers_nothing_until_the_oldest_lease_has_expired() {
        let mut leases = table(2);
        let [_, sooner] = [(b"a", 100), (b"b", 50)].map(|(key, seconds)| {
            let given = leases.offer(key, None, Duration::ZERO).unwrap();
            assert!(leases.confirm(key, given, Duration::ZERO, Duration::from_secs(seconds)));
            given
        });
        assert_eq!(leases.offer(b"c", None, Duration::from_secs(49)), None);
        assert_eq!(leases.offer(b"c", None, Duration::from_secs(200)), Some(sooner));
    }

    #[test]
    fn a_declined_address_is_nobodys_for_a_while() {
        let mut leases = table(1);
        let given = leases.offer(b"a", None, Duration::ZERO).unwrap();
        leases.decline(b"a", given, Duration::ZERO);
        assert_eq!(leases.offer(b"b", None, Duration::ZERO), None);
        assert_eq!(leases.offer(b"b", None, DECLINE_HOLD), Some(given));
    }

    #[test]
    fn somebody_elses_address_is_not_confirmed_declined_or_released() {
        let mut leases = table(2);
        let given = leases.offer(b"a", None, Duration::ZERO).unwrap();
        assert!(leases.confirm(b"a", given, Duration::ZERO, LEASE));
        assert!(!leases.confirm(b"b", given, Duration::ZERO, LEASE));
        leases.decline(b"b", given, Duration::ZERO);
        leases.release(b"b", Duration::ZERO);
        assert_eq!(leases.in_use(Duration::ZERO), 1);
        assert!(!leases.confirm(b"b", address(7), Duration::ZERO, LEASE), "outside the pool");
    }

    proptest! {
        #[test]
        fn two_clients_never_hold_one_address_and_the_table_never_outgrows_the_pool(
            steps in prop::collection::vec((0u8..6, 0u8..12, 95u8..110, 0u64..900), 1..200)
        ) {
            let mut leases = table(5);
            let mut now = Duration::ZERO;
            for (what, client, last, later) in steps {
                now += Duration::from_secs(later);
                let key = [client];
                match what {
                    0 | 1 => { leases.offer(&key, Some(address(last)), now); }
                    2 | 3 => { leases.confirm(&key, address(last), now, now + LEASE); }
                    4 => leases.release(&key, now),
                    _ => leases.decline(&key, address(last), now),
                }
                prop_assert!(leases.by_address.len() <= 5 && leases.by_key.len() <= 5);
                for (key, held) in &leases.by_key {
                    prop_assert_eq!(leases.by_address.get(held).and_then(|e| e.key.as_ref()), Some(key));
                    prop_assert!((leases.first..=leases.last).contains(held));
                }
            }
        }
    }
}
