//! The lease table: which client has which address until when. Its memory is bounded by the pool.
//!
//! ```text
//!          offer            confirm
//! (free) --------> Offered ---------> Lent --release, or time--> its holder's last one, and free
//!                     |  ^               |
//!                     |  '- taken back for somebody else when nothing else is left
//!                     '---- decline: Declined ---- in_use: InUse (an answer by ARP); both nobody's for a while
//! ```
//!
//! Whoever is offered an address and does not take it holds it on the cheapest of terms, so that a flood of questions
//! from cards that do not exist never keeps a real machine from its address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::lease_file::Record;
use crate::config::{OwnCable, Reservation};
use crate::mac::Mac;

/// How long an offered address is kept for the client that it was offered to.
pub const OFFER_HOLD: Duration = Duration::from_secs(60);

/// How long an address that a client found in use by somebody else is not handed out.
pub const DECLINE_HOLD: Duration = Duration::from_secs(600);

/// How long it is believed that nobody answered for an address. It spares the wire an ARP question for each packet of
/// a flood.
pub const CHECKED_FOR: Duration = Duration::from_secs(60);

/// On what terms an address is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Terms {
    Offered,
    /// A client said that somebody else uses it.
    Declined,
    Lent,
    /// Somebody answered for it.
    InUse,
}

#[derive(Debug, Clone)]
struct Entry {
    /// `None`: nobody's.
    key: Option<Vec<u8>>,
    terms: Terms,
    until: Duration,
    /// When it was last found that nobody answers for it.
    checked: Option<Duration>,
}

/// Who asks for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    key: Vec<u8>,
    reserved: Option<u32>,
}

/// An address to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Which one.
    pub address: Ipv4Addr,
    /// It has to be asked first whether somebody uses it already (RFC 2131, section 4.4.1).
    pub check: bool,
}

/// How a client that wants an address confirmed came to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It names this server, which therefore offered it the address.
    Chosen,
    /// It had it before.
    Remembered,
}

/// Addresses and their holders. Times are durations since any fixed moment.
#[derive(Debug, Clone)]
pub struct Leases {
    first: u32,
    last: u32,
    reserved: BTreeMap<Mac, u32>,
    reserved_addresses: BTreeSet<u32>,
    by_address: BTreeMap<u32, Entry>,
    by_key: HashMap<Vec<u8>, u32>,
    /// The pool's entries without the reserved ones, by terms and age.
    by_terms: BTreeSet<(Terms, Duration, u32)>,
}

impl Leases {
    /// An empty table for the addresses from `first` to `last`.
    pub fn new(first: Ipv4Addr, last: Ipv4Addr) -> Self {
        Self {
            first: first.to_bits(),
            last: last.to_bits(),
            reserved: BTreeMap::new(),
            reserved_addresses: BTreeSet::new(),
            by_address: BTreeMap::new(),
            by_key: HashMap::new(),
            by_terms: BTreeSet::new(),
        }
    }

    /// An empty table for this network, with its reservations.
    pub fn of(cable: &OwnCable) -> Self {
        let one = |it: &Reservation| (it.mac, it.address.to_bits());
        let reserved: BTreeMap<Mac, u32> = cable.reservations.iter().map(one).collect();
        Self {
            reserved_addresses: reserved.values().copied().collect(),
            reserved,
            ..Self::new(cable.first, cable.last)
        }
    }

    /// Who a client with this card and this [`lease_key`](super::Packet::lease_key) is. A card with a reservation is
    /// itself, whichever program on it asks; and nobody else is it by naming it.
    pub fn holder(&self, mac: Mac, key: Vec<u8>) -> Holder {
        let by_card = |mac: Mac| [1].into_iter().chain(mac.0).collect::<Vec<u8>>();
        let reserved = self.reserved.get(&mac).copied();
        let named = key.strip_prefix(&[1]).and_then(|card| <[u8; 6]>::try_from(card).ok()).map(Mac);
        let another = named.is_some_and(|card| self.reserved.contains_key(&card));
        let key = if reserved.is_some() || another { by_card(mac) } else { key };
        Holder { key, reserved }
    }

    /// An address for `who`: the one lent to it, else the one reserved for it, else the one it had, else the one it would
    /// like, else one never used, else the one that has been free for longest, else the one that was offered longest ago
    /// and not taken. `None` if every address is lent or set aside. The reserved one comes second because whoever could not
    /// have it for a while has another one, which nobody else may be lent before it has run out.
    pub fn offer(&mut self, who: &Holder, wanted: Option<Ipv4Addr>, now: Duration) -> Option<Offer> {
        let has = self.by_key.get(&who.key).copied();
        let is_mine = |address: &u32| has == Some(*address);
        let running = |entry: &Entry| entry.terms == Terms::Lent && entry.until > now;
        let address = has
            .filter(|address| self.by_address.get(address).is_some_and(running))
            .or_else(|| who.reserved.filter(|address| is_mine(address) || self.is_free(*address, now)))
            .or(has)
            .or_else(|| {
                let wanted = wanted.map(Ipv4Addr::to_bits);
                wanted.filter(|wanted| self.in_pool(*wanted) && self.is_free(*wanted, now))
            })
            .or_else(|| self.unused(&who.key))
            .or_else(|| self.oldest_free(now))
            .or_else(|| self.oldest(Terms::Offered))?;
        let held = self.by_address.get(&address);
        let fresh = |at: Duration| now.saturating_sub(at) < CHECKED_FOR;
        let checked = held.and_then(|entry| entry.checked).is_some_and(fresh);
        let held = held.filter(|entry| entry.key.as_ref() == Some(&who.key) && entry.until > now);
        let lent = held.filter(|entry| entry.terms == Terms::Lent);
        let check = lent.is_none() && !checked;
        let until = held.map_or(Duration::ZERO, |entry| entry.until).max(now + OFFER_HOLD);
        let terms = lent.map_or(Terms::Offered, |entry| entry.terms);
        self.assign(address, &who.key, terms, until);
        Some(Offer { address: Ipv4Addr::from_bits(address), check })
    }

    /// Nobody answered for `address`.
    pub fn unanswered(&mut self, address: Ipv4Addr, now: Duration) {
        if let Some(entry) = self.by_address.get_mut(&address.to_bits()) {
            entry.checked = Some(now);
        }
    }

    /// Somebody who has it from elsewhere answered for `address`: nobody gets it for a while.
    pub fn in_use(&mut self, address: Ipv4Addr, now: Duration) {
        let address = address.to_bits();
        if self.by_address.contains_key(&address) {
            self.set_aside(address, Terms::InUse, now);
        }
    }

    /// Lends `address` to `who` until `until`, if it may have it and nobody else does. A client that this table
    /// does not know gets its address confirmed all the same: clients' leases outlive the table where its file is
    /// lost. An address that is only offered to somebody else goes to who was offered it before, and was slower
    /// than a flood of questions.
    pub fn confirm(
        &mut self,
        who: &Holder,
        address: Ipv4Addr,
        claim: Claim,
        now: Duration,
        until: Duration,
    ) -> bool {
        let address = address.to_bits();
        let own = self.by_key.get(&who.key) == Some(&address);
        let lendable = match who.reserved {
            Some(reserved) => reserved == address,
            None => self.in_pool(address),
        };
        let offered = |entry: &Entry| entry.terms == Terms::Offered;
        let free = self.is_free(address, now)
            || claim == Claim::Chosen && self.by_address.get(&address).is_some_and(offered);
        let may = own || lendable && free;
        if !may {
            return false;
        }
        self.assign(address, &who.key, Terms::Lent, until);
        true
    }

    /// The client is done with `address`, if it has it; it stays marked as the client's last one.
    pub fn release(&mut self, who: &Holder, address: Ipv4Addr, now: Duration) {
        let address = address.to_bits();
        let until = self.by_address.get(&address).map(|entry| entry.until);
        if let Some(until) = until.filter(|_| self.by_key.get(&who.key) == Some(&address)) {
            self.assign(address, &who.key, Terms::Lent, until.min(now));
        }
    }

    /// The client found `address`, which it has from here, in use by somebody else: nobody gets it for a while. That
    /// is its word alone, so only half of the pool can be set aside so; then the one longest aside is free again.
    pub fn decline(&mut self, who: &Holder, address: Ipv4Addr, now: Duration) -> bool {
        let address = address.to_bits();
        let own = self.by_key.get(&who.key) == Some(&address);
        if own {
            self.set_aside(address, Terms::Declined, now);
            let half = (self.size() / 2).max(1);
            if self.with(Terms::Declined).count() > half
                && let Some(oldest) = self.oldest(Terms::Declined)
            {
                self.remove(oldest);
            }
        }
        own
    }

    /// How many addresses are neither free nor expired.
    pub fn in_hand(&self, now: Duration) -> usize {
        self.by_address.values().filter(|entry| entry.until > now).count()
    }

    /// How many addresses are lent, and how many are set aside.
    pub fn taken(&self, now: Duration) -> (usize, usize) {
        let running = || self.by_terms.iter().filter(|(_, until, _)| *until > now);
        let lent = running().filter(|(terms, ..)| *terms == Terms::Lent).count();
        let offered = running().filter(|(terms, ..)| *terms == Terms::Offered).count();
        (lent, running().count() - lent - offered)
    }

    /// How many addresses can be lent to anybody.
    pub fn size(&self) -> usize {
        let reserved = self.reserved_addresses.range(self.first..=self.last).count();
        let all = usize::try_from(u64::from(self.last.saturating_sub(self.first)) + 1).unwrap_or(usize::MAX);
        all.saturating_sub(reserved)
    }

    /// What has to outlive a restart, with the time that each lease still runs.
    pub fn records(&self, now: Duration) -> Vec<Record> {
        let record = |(address, entry): (&u32, &Entry)| {
            let left = entry.until.checked_sub(now).filter(|left| !left.is_zero())?;
            let key = entry.key.clone().filter(|_| entry.terms == Terms::Lent)?;
            Some(Record { address: Ipv4Addr::from_bits(*address), key, left })
        };
        self.by_address.iter().filter_map(record).collect()
    }

    /// Takes what an earlier table remembered, as far as it fits this network and its reservations. No lease gets longer
    /// than `longest`, whatever a clock that was changed says.
    pub fn restore(&mut self, records: Vec<Record>, longest: Duration, now: Duration) {
        for Record { address, key, left } in records {
            let card = key.strip_prefix(&[1]).and_then(|mac| <[u8; 6]>::try_from(mac).ok()).map(Mac);
            // Any other card stands for "no reservation".
            let who = self.holder(card.unwrap_or(Mac([0; 6])), key);
            self.confirm(&who, address, Claim::Remembered, now, now + left.min(longest));
        }
    }

    /// Whether an offer could be made to anybody.
    pub fn has_room(&self, now: Duration) -> bool {
        self.by_terms.len() < self.size()
            || self.oldest_free(now).is_some()
            || self.oldest(Terms::Offered).is_some()
    }

    /// Begins at a place of the key's own: a table that a restart has emptied would else lend the first addresses
    /// again, which other clients still have.
    fn unused(&self, key: &[u8]) -> Option<u32> {
        if self.by_terms.len() >= self.size() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let size = u64::from(self.last.saturating_sub(self.first)) + 1;
        let begin = self.first.saturating_add(u32::try_from(hasher.finish() % size).unwrap_or_default());
        let mut addresses = (begin..=self.last).chain(self.first..begin);
        addresses.find(|address| !self.by_address.contains_key(address) && !self.is_reserved(*address))
    }

    fn between(&self, address: u32) -> bool {
        (self.first..=self.last).contains(&address)
    }

    fn is_reserved(&self, address: u32) -> bool {
        self.reserved_addresses.contains(&address)
    }

    /// Whether it can be lent to anybody.
    fn in_pool(&self, address: u32) -> bool {
        self.between(address) && !self.is_reserved(address)
    }

    fn is_free(&self, address: u32, now: Duration) -> bool {
        self.by_address.get(&address).is_none_or(|entry| entry.until <= now)
    }

    fn with(&self, terms: Terms) -> impl Iterator<Item = &(Terms, Duration, u32)> {
        self.by_terms.range((terms, Duration::ZERO, 0)..=(terms, Duration::MAX, u32::MAX))
    }

    fn oldest(&self, terms: Terms) -> Option<u32> {
        self.with(terms).next().map(|(.., address)| *address)
    }

    /// What was never taken comes before what somebody may come back for.
    fn oldest_free(&self, now: Duration) -> Option<u32> {
        let first = |terms| self.with(terms).next().filter(|(_, until, _)| *until <= now);
        let others = [Terms::Declined, Terms::Lent, Terms::InUse].into_iter().filter_map(first);
        let found = first(Terms::Offered).or_else(|| others.min_by_key(|(_, until, _)| *until));
        found.map(|(.., address)| *address)
    }

    fn set_aside(&mut self, address: u32, terms: Terms, now: Duration) {
        self.remove(address);
        self.insert(address, Entry { key: None, terms, until: now + DECLINE_HOLD, checked: None });
    }

    /// Keeps the maps each other's inverse.
    fn assign(&mut self, address: u32, key: &[u8], terms: Terms, until: Duration) {
        if let Some(before) = self.by_key.get(key).copied().filter(|before| *before != address) {
            self.remove(before);
        }
        let checked = self.remove(address).and_then(|entry| entry.checked);
        self.by_key.insert(key.to_vec(), address);
        self.insert(address, Entry { key: Some(key.to_vec()), terms, until, checked });
    }

    fn insert(&mut self, address: u32, entry: Entry) {
        if !self.is_reserved(address) {
            self.by_terms.insert((entry.terms, entry.until, address));
        }
        self.by_address.insert(address, entry);
    }

    fn remove(&mut self, address: u32) -> Option<Entry> {
        let entry = self.by_address.remove(&address)?;
        self.by_terms.remove(&(entry.terms, entry.until, address));
        if let Some(key) = &entry.key {
            self.by_key.remove(key);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
