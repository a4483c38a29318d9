//! The machines that were heard or spoken to. No I/O; time is an argument.
//!
//! A machine is one key. The same box shows one key while it is locked and another when it runs, so a
//! node is known by whichever of its machines spoke last.

use crate::decide::Proven;
use cairn_model::cluster::{Cluster, Fingerprint, Name};
use cairn_model::phase::Phase;
use cairn_wire::announce::Announcement;
use cairn_wire::code::ShortCode;
use cairn_wire::message::{AgentState, Description};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Silent for so long, a machine counts as unreachable: seven polls.
pub const SILENCE: Duration = Duration::from_secs(15);
/// From one system to the next no agent runs; a small machine takes minutes.
const BETWEEN: Duration = Duration::from_secs(300);
/// A node that said so recently runs still: restarting takes it longer than this.
const ALIVE: Duration = Duration::from_secs(10);
/// A stranger that is neither heard nor reached for so long is forgotten.
const FORGET: Duration = Duration::from_secs(600);
/// A hint from our own knowledge never displaces what was heard so recently.
const FRESH: Duration = Duration::from_secs(30);
/// Anyone on the network can announce keys; a house has fewer machines than this.
const MOST_MACHINES: usize = 300;
/// After so many wrong codes the machine shows another one.
const WRONG_CODES: u8 = 3;

#[derive(Debug)]
pub struct Machine {
    pub fingerprint: Fingerprint,
    /// Where to dial and what it claims to be.
    pub hint: Announcement,
    heard: Instant,
    /// It announced itself, as opposed to a place where we only look for it.
    pub announced: bool,
    pub contact: Option<Contact>,
    /// Why the last attempt to reach it failed.
    pub error: Option<String>,
    pub code: Option<ShortCode>,
    wrong_codes: u8,
    /// It proved the join key of an installer stick for this node: the owner may name its disk.
    pub chooses: Option<Name>,
    /// Why it gets nothing further.
    pub refused: Option<String>,
    /// No further attempt at what failed before this moment.
    pub not_before: Option<Instant>,
    pub failures: u32,
    /// Why it does not get what it wants from outside the image.
    pub lacking: Vec<String>,
    /// A long question is being answered: silence means nothing.
    pub busy: bool,
    /// The roster number that it was last told.
    pub told: Option<u64>,
    /// The orders that it took: an event of an earlier one says nothing about the newest.
    pub orders: u32,
    /// Events of the newest order up to this number are in the node's job.
    pub followed: u64,
    /// When it was last told what time it is.
    pub clock_set: Option<Instant>,
    /// Wakes the task that speaks to it.
    pub wake: Arc<Notify>,
}

/// What the machine said when it was last asked.
#[derive(Clone, Debug)]
pub struct Contact {
    pub at: Instant,
    pub proven: Proven,
    pub description: Description,
}

#[derive(Debug, Default)]
pub struct Registry {
    machines: BTreeMap<Fingerprint, Machine>,
}

/// What became of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Somebody has to begin speaking to it.
    New,
    Known,
    /// There are too many already.
    Dropped,
}

impl Registry {
    /// Whether another machine than the one with this key is this node, runs, and said so a moment ago.
    pub fn runs_elsewhere(&self, node: &Name, key: &Fingerprint, now: Instant) -> bool {
        self.machines.iter().filter(|(other, _)| *other != key).any(|(_, machine)| {
            machine.contact.as_ref().is_some_and(|contact| {
                let is_node = matches!(&contact.proven, Proven::Node { node: proven, .. } if proven == node);
                is_node && now.duration_since(contact.at) < ALIVE
            })
        })
    }

    pub fn hear(&mut self, announcement: Announcement, now: Instant) -> Heard {
        self.take(announcement, true, now)
    }

    /// Looks for a machine where it should be although it does not announce itself.
    pub fn suppose(&mut self, announcement: Announcement, now: Instant) -> Heard {
        self.take(announcement, false, now)
    }

    fn take(&mut self, hint: Announcement, announced: bool, now: Instant) -> Heard {
        let count = self.machines.len();
        if let Some(machine) = self.machines.get_mut(&hint.fingerprint) {
            if announced || now.duration_since(machine.heard) > FRESH {
                let moved = machine.hint != hint;
                machine.hint = hint;
                machine.heard = now;
                machine.announced |= announced;
                if moved {
                    machine.wake.notify_one();
                }
            }
            return Heard::Known;
        }
        if count >= MOST_MACHINES {
            return Heard::Dropped;
        }
        self.machines.insert(hint.fingerprint, Machine::new(hint, announced, now));
        Heard::New
    }

    pub fn get(&self, fingerprint: &Fingerprint) -> Option<&Machine> {
        self.machines.get(fingerprint)
    }

    pub fn get_mut(&mut self, fingerprint: &Fingerprint) -> Option<&mut Machine> {
        self.machines.get_mut(fingerprint)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values()
    }

    /// Drops those that are gone for good.
    pub fn forget(&mut self, now: Instant) {
        self.machines.retain(|_, machine| now.duration_since(machine.last()) < FORGET);
    }

    #[cfg(test)]
    pub fn forget_all(&mut self) {
        self.iter().for_each(|machine| machine.wake.notify_one());
        self.machines.clear();
    }

    #[cfg(test)]
    pub fn forget_one(&mut self, fingerprint: &Fingerprint) {
        self.machines.remove(fingerprint);
    }

    /// The machine that spoke last as this node.
    pub fn machine_of(&self, node: &Name, cluster: &Cluster) -> Option<&Machine> {
        self.iter().filter(|m| m.node(cluster).as_ref() == Some(node)).max_by_key(|m| m.contact_at())
    }
}

impl Machine {
    /// The node whose place its installer stick gives, while it waits for a disk to be named.
    pub fn waits_for_disk(&self) -> Option<&Name> {
        let joins = self
            .contact
            .as_ref()
            .is_some_and(|contact| matches!(contact.description.state, AgentState::Joining { .. }));
        self.chooses.as_ref().filter(|_| joins)
    }

    fn new(hint: Announcement, announced: bool, now: Instant) -> Self {
        Self {
            fingerprint: hint.fingerprint,
            hint,
            heard: now,
            announced,
            contact: None,
            error: None,
            code: None,
            wrong_codes: 0,
            chooses: None,
            refused: None,
            not_before: None,
            clock_set: None,
            failures: 0,
            lacking: Vec::new(),
            busy: false,
            told: None,
            orders: 0,
            followed: 0,
            wake: Arc::new(Notify::new()),
        }
    }

    fn contact_at(&self) -> Option<Instant> {
        self.contact.as_ref().map(|contact| contact.at)
    }

    fn last(&self) -> Instant {
        self.contact_at().map_or(self.heard, |at| at.max(self.heard))
    }

    pub fn spoke(&mut self, proven: Proven, description: Description, now: Instant) {
        if description.wants.is_empty() {
            self.lacking.clear();
        }
        self.contact = Some(Contact { at: now, proven, description });
        self.error = None;
    }

    /// Whether it answered lately.
    pub fn is_reached(&self, now: Instant) -> bool {
        self.busy || self.contact_at().is_some_and(|at| now.duration_since(at) < SILENCE)
    }

    pub fn phase(&self, now: Instant) -> Phase {
        match &self.contact {
            Some(Contact { at, description, .. }) => {
                let phase = description.state.phase();
                let between = matches!(phase, Phase::Restarting | Phase::Starting);
                let expected = between && now.duration_since(*at) < BETWEEN;
                if expected || self.is_reached(now) { phase } else { Phase::Unreachable }
            }
            // what nobody has proven yet is only what it says
            None if now.duration_since(self.heard) < SILENCE => self.hint.phase,
            None => Phase::Unreachable,
        }
    }

    /// The node that it is, by what it proved: a name that our authority gave it, or a key in the file.
    pub fn node(&self, cluster: &Cluster) -> Option<Name> {
        match &self.contact.as_ref()?.proven {
            Proven::Boot { node, key } | Proven::Node { node, key } => {
                let enrolled = cluster.node(node)?.enrolled.as_ref();
                enrolled.is_none_or(|machine| machine.shows(key)).then(|| node.clone())
            }
            Proven::Key(key) => cluster.node_with_key(key).map(|node| node.name.clone()),
        }
    }

    /// Refuses or fails, and tries no sooner than after a while that grows.
    pub fn fail(&mut self, reason: String, now: Instant) {
        let seconds = 15_u64.saturating_mul(1 << self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        self.refused = Some(reason);
        self.not_before = Some(now + Duration::from_secs(seconds));
    }

    /// Nothing is refused any more, unless it waits to be tried again.
    pub fn nothing_wrong(&mut self, now: Instant) {
        if self.not_before.is_none_or(|moment| now >= moment) {
            self.refused = None;
        }
    }

    /// It took its order. A failure that follows at once is told by its events, so the order is not
    /// repeated before they can have come.
    pub fn ordered(&mut self, now: Instant) {
        self.refused = None;
        self.not_before = Some(now + SILENCE);
    }

    pub fn succeed(&mut self) {
        self.failures = 0;
        self.refused = None;
        self.not_before = None;
    }

    /// Counts a wrong code. `true` when there will be another code, so that nobody guesses for long.
    pub fn wrong_code(&mut self) -> bool {
        self.wrong_codes = self.wrong_codes.saturating_add(1);
        let exhausted = self.wrong_codes >= WRONG_CODES;
        if exhausted {
            self.wrong_codes = 0;
            self.code = None;
            self.wake.notify_one();
        }
        exhausted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::{cluster, description, key};
    use cairn_wire::message::AgentState;

    fn announcement(byte: u8) -> Announcement {
        Announcement {
            fingerprint: key(byte),
            phase: Phase::Discovered,
            node: None,
            port: 4210,
            addresses: Vec::new(),
        }
    }

    #[test]
    fn a_node_runs_elsewhere_only_while_another_machine_said_so_a_moment_ago() {
        let start = Instant::now();
        let node: Name = "etcd-1".parse().unwrap();
        let mut registry = Registry::default();
        registry.hear(announcement(2), start);
        let proven = Proven::Node { node: node.clone(), key: key(2) };
        let running = description(AgentState::Running { node: "etcd-1".into() });
        registry.get_mut(&key(2)).unwrap().spoke(proven, running, start);
        assert!(registry.runs_elsewhere(&node, &key(1), start));
        assert!(!registry.runs_elsewhere(&node, &key(2), start));
        assert!(!registry.runs_elsewhere(&"etcd-2".parse().unwrap(), &key(1), start));
        assert!(!registry.runs_elsewhere(&node, &key(1), start + ALIVE));
    }

    #[test]
    fn a_machine_that_falls_silent_becomes_unreachable_and_comes_back() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut registry = Registry::default();
        assert_eq!(registry.hear(announcement(1), start), Heard::New);
        assert_eq!(registry.hear(announcement(1), start), Heard::Known);
        let machine = registry.get_mut(&key(1)).unwrap();
        machine.spoke(Proven::Key(key(1)), description(AgentState::Fresh), start);
        assert_eq!(machine.phase(after(14)), Phase::Discovered);
        assert_eq!(machine.phase(after(16)), Phase::Unreachable);
        machine.busy = true;
        assert_eq!(machine.phase(after(16)), Phase::Discovered);
        machine.busy = false;
        machine.spoke(Proven::Key(key(1)), description(AgentState::Fresh), after(20));
        assert_eq!(machine.phase(after(21)), Phase::Discovered);
    }

    #[test]
    fn a_machine_on_its_way_to_the_next_system_is_given_time() {
        let start = Instant::now();
        let mut machine = Machine::new(announcement(1), true, start);
        let starting = AgentState::Starting { node: "etcd-1".into() };
        machine.spoke(Proven::Key(key(1)), description(starting), start);
        assert_eq!(machine.phase(start + Duration::from_secs(200)), Phase::Starting);
        assert_eq!(machine.phase(start + BETWEEN), Phase::Unreachable);
    }

    #[test]
    fn strangers_are_forgotten_and_their_number_is_bounded() {
        let start = Instant::now();
        let mut registry = Registry::default();
        for number in 0..u16::try_from(MOST_MACHINES).unwrap() + 10 {
            let mut hint = announcement(0);
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            hint.fingerprint = Fingerprint::from_bytes(bytes);
            registry.hear(hint, start);
        }
        assert_eq!(registry.iter().count(), MOST_MACHINES);
        registry.forget(start + FORGET + Duration::from_secs(1));
        assert_eq!(registry.iter().count(), 0);
    }

    #[test]
    fn a_supposed_address_does_not_displace_one_that_was_heard() {
        let start = Instant::now();
        let mut registry = Registry::default();
        let heard = Announcement { addresses: vec!["192.168.1.9".parse().unwrap()], ..announcement(1) };
        registry.hear(heard.clone(), start);
        registry.suppose(announcement(1), start + Duration::from_secs(5));
        assert_eq!(registry.get(&key(1)).unwrap().hint, heard);
        registry.suppose(announcement(1), start + Duration::from_secs(40));
        assert_eq!(registry.get(&key(1)).unwrap().hint, announcement(1));
    }

    #[test]
    fn the_third_wrong_code_makes_a_new_one() {
        let mut machine = Machine::new(announcement(1), true, Instant::now());
        machine.code = Some(ShortCode::new(&key(1), &key(2), &[0; 16], &[1; 16]));
        assert!(!machine.wrong_code() && !machine.wrong_code() && machine.code.is_some());
        assert!(machine.wrong_code() && machine.code.is_none());
    }

    #[test]
    fn a_node_is_whichever_of_its_machines_spoke_last() {
        let start = Instant::now();
        let cluster = cluster().with_enrolled(&"etcd-1".parse().unwrap(), key(1)).unwrap();
        let cluster = cluster.with_node_key(&"etcd-1".parse().unwrap(), key(2)).unwrap();
        let node: Name = "etcd-1".parse().unwrap();
        let mut registry = Registry::default();
        for (byte, proven, seconds) in [
            (1, Proven::Boot { node: node.clone(), key: key(1) }, 5),
            (2, Proven::Node { node: node.clone(), key: key(2) }, 9),
            (3, Proven::Node { node: node.clone(), key: key(3) }, 12),
        ] {
            registry.hear(announcement(byte), start);
            let state = AgentState::Locked { node: "etcd-1".into() };
            let at = start + Duration::from_secs(seconds);
            registry.get_mut(&key(byte)).unwrap().spoke(proven, description(state), at);
        }
        assert_eq!(registry.machine_of(&node, &cluster).unwrap().fingerprint, key(2));
    }
}
