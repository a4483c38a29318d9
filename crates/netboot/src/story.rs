//! What each machine asked, was told and fetched: events on a channel, and a bounded log per machine.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::dhcp::{Kind, Packet, Style, Told};
use crate::mac::Mac;
use crate::policy::{Arch, Client};
use crate::trouble::Trouble;

/// Machines remembered; one more pushes out the one heard of least recently.
const MACHINES: usize = 256;
/// Events remembered for each machine.
const EVENTS: usize = 100;
/// Events that a slow receiver may lag behind before it loses some.
const CHANNEL: usize = 1024;
/// Addresses whose machines are known. An address pool is no larger, and a home network has hundreds.
const ADDRESSES: usize = 4096;
/// Progress is told at most this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1 over all machines, without gaps.
    pub number: u64,
    /// Milliseconds since 1970 by this machine's clock.
    pub unix_millis: u64,
    /// The machine it is about, if it is about one that is known.
    pub machine: Option<Mac>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// The machine sent a DHCP message.
    DhcpAsked {
        /// Which one.
        message: Kind,
        /// Which program on the machine.
        client: Client,
        /// Its architecture, if it said it.
        arch: Option<Arch>,
    },
    /// It asked on a wire where nothing of ours answers.
    DhcpOverheard {
        /// Which message.
        message: Kind,
        /// Which program on the machine.
        client: Client,
        /// Its architecture, if it said it.
        arch: Option<Arch>,
    },
    /// It was answered.
    DhcpAnswered {
        /// With which message.
        message: Kind,
        /// The address it got.
        address: Option<Ipv4Addr>,
        /// What it was told to boot.
        told: Told,
        /// The same for a reader: why it got no boot file.
        because: Option<String>,
        /// In which way, beside a router.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        style: Option<Style>,
    },
    /// It is installed, and goes on to its disk without an answer.
    DhcpLeftToDisk,
    /// It was not answered.
    DhcpIgnored {
        /// Why.
        because: String,
    },
    /// A transfer began.
    FetchStarted {
        /// Numbers the transfer.
        fetch: u64,
        /// By which protocol.
        via: Via,
        /// The file's name.
        file: String,
        /// Bytes that this transfer is to carry.
        size: u64,
    },
    /// A transfer goes on. These may be skipped; all others are told.
    FetchProgress {
        /// Which transfer.
        fetch: u64,
        /// Bytes so far.
        bytes: u64,
        /// Of so many.
        size: u64,
    },
    /// A transfer has arrived whole.
    FetchDone {
        /// Which transfer.
        fetch: u64,
        /// Bytes.
        bytes: u64,
        /// Milliseconds that it took.
        millis: u64,
    },
    /// A transfer ended early.
    FetchAborted {
        /// Which transfer.
        fetch: u64,
        /// Bytes that had arrived.
        bytes: u64,
        /// Why.
        because: String,
    },
    /// A request for a file was refused.
    FetchRefused {
        /// By which protocol.
        via: Via,
        /// What was asked for, cut to 255 bytes.
        file: String,
        /// Why.
        because: String,
    },
    /// An address can't be given to this machine, because somebody uses it who does not have it from here.
    AddressInUse {
        /// Which one; nobody is given it for a while.
        address: Ipv4Addr,
        /// Whose card answered for it; `None` if this machine said so.
        by: Option<Mac>,
    },
    /// Something began to go wrong with the server; told once.
    Troubled {
        /// What, and what to do.
        trouble: Trouble,
    },
    /// The server has stopped by itself.
    Stopped {
        /// Why, and what to do.
        because: String,
    },
}

/// The protocol of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// TFTP.
    Tftp,
    /// HTTP.
    Http,
}

/// One machine's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineStory {
    /// Which machine.
    pub machine: Mac,
    /// Its latest events, oldest first; of a transfer's progress only the newest.
    pub events: Vec<Event>,
}

/// The log of all machines.
#[derive(Debug)]
pub struct Story {
    inner: Mutex<Inner>,
    channel: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Inner {
    number: u64,
    fetches: u64,
    machines: HashMap<Mac, VecDeque<Event>>,
    /// At most [`ADDRESSES`].
    addresses: HashMap<Ipv4Addr, Mac>,
}

impl Story {
    /// An empty log.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), channel: broadcast::channel(CHANNEL).0 })
    }

    /// Every event from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.channel.subscribe()
    }

    /// The logs of all machines, by address of their cards.
    pub fn machines(&self) -> Vec<MachineStory> {
        let inner = self.lock();
        let mut all: Vec<_> = inner
            .machines
            .iter()
            .map(|(machine, events)| MachineStory {
                machine: *machine,
                events: events.iter().cloned().collect(),
            })
            .collect();
        all.sort_by_key(|story| story.machine);
        all
    }

    /// A [`Bystander`](crate::Bystander) heard `packet`.
    pub fn overheard(&self, packet: &Packet) {
        let what = What::DhcpOverheard { message: packet.kind, client: packet.client, arch: packet.arch };
        self.tell(Some(packet.mac), what);
    }

    /// Something happened.
    pub fn tell(&self, machine: Option<Mac>, what: What) {
        let mut inner = self.lock();
        inner.number += 1;
        let event = Event { number: inner.number, unix_millis: unix_millis(), machine, what };
        tracing::debug!(?event, "netboot");
        inner.remember(&event);
        // Sent under the lock, so that the numbers arrive in order. Without receivers it is an error.
        let _ = self.channel.send(event);
    }

    /// `machine` has `address` now.
    pub(crate) fn learn(&self, address: Ipv4Addr, machine: Mac) {
        let mut inner = self.lock();
        // Only somebody who floods the network with addresses gets there: it costs the others their names.
        if inner.addresses.len() >= ADDRESSES && !inner.addresses.contains_key(&address) {
            inner.addresses.clear();
        }
        inner.addresses.insert(address, machine);
    }

    /// The latest events of one machine, oldest first.
    pub(crate) fn of(&self, machine: Mac) -> Vec<Event> {
        self.lock().machines.get(&machine).into_iter().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Inner {
    fn remember(&mut self, event: &Event) {
        let Some(machine) = event.machine else { return };
        if !self.machines.contains_key(&machine) && self.machines.len() >= MACHINES {
            let last_heard = |events: &VecDeque<Event>| events.back().map(|event| event.number);
            let quiet =
                self.machines.iter().min_by_key(|(_, events)| last_heard(events)).map(|(mac, _)| *mac);
            if let Some(quiet) = quiet {
                self.machines.remove(&quiet);
            }
        }
        let events = self.machines.entry(machine).or_default();
        if let What::FetchProgress { fetch, .. } = event.what {
            events.retain(
                |old| !matches!(old.what, What::FetchProgress { fetch: other, .. } if other == fetch),
            );
        }
        events.push_back(event.clone());
        if events.len() > EVENTS {
            events.pop_front();
        }
    }
}

/// One transfer's part of the story. Dropping it unfinished says that it was aborted.
pub(crate) struct Fetch {
    story: Arc<Story>,
    machine: Option<Mac>,
    number: u64,
    size: u64,
    bytes: u64,
    started: Instant,
    told: Instant,
    ended: bool,
}

impl Fetch {
    pub fn start(story: &Arc<Story>, via: Via, from: IpAddr, file: &str, size: u64) -> Self {
        let (machine, number) = {
            let mut inner = story.lock();
            inner.fetches += 1;
            (inner.machine_at(from), inner.fetches)
        };
        story.tell(machine, What::FetchStarted { fetch: number, via, file: file.to_owned(), size });
        let now = Instant::now();
        Self { story: story.clone(), machine, number, size, bytes: 0, started: now, told: now, ended: false }
    }

    pub fn refuse(story: &Story, via: Via, from: IpAddr, file: &str, because: &str) {
        let machine = story.lock().machine_at(from);
        let file = file.chars().take(255).collect();
        story.tell(machine, What::FetchRefused { via, file, because: because.to_owned() });
    }

    /// So many bytes have arrived.
    pub fn progress(&mut self, bytes: u64) {
        self.bytes = bytes.min(self.size);
        if self.told.elapsed() >= PROGRESS_EVERY {
            self.told = Instant::now();
            let (fetch, bytes, size) = (self.number, self.bytes, self.size);
            self.story.tell(self.machine, What::FetchProgress { fetch, bytes, size });
        }
    }

    pub fn done(mut self) {
        self.ended = true;
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.story.tell(self.machine, What::FetchDone { fetch: self.number, bytes: self.size, millis });
    }

    pub fn abort(mut self, because: String) {
        self.end(because);
    }

    fn end(&mut self, because: String) {
        if !std::mem::replace(&mut self.ended, true) {
            let (fetch, bytes) = (self.number, self.bytes);
            self.story.tell(self.machine, What::FetchAborted { fetch, bytes, because });
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.end("the connection ended before the file did".to_owned());
    }
}

impl Inner {
    fn machine_at(&self, address: IpAddr) -> Option<Mac> {
        match address {
            IpAddr::V4(address) => self.addresses.get(&address).copied(),
            IpAddr::V6(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored() -> What {
        What::DhcpIgnored { because: "test".into() }
    }

    #[test]
    fn the_log_stays_within_its_bounds_and_forgets_the_quietest_machine() {
        let story = Story::new();
        for number in 0..300u16 {
            let [high, low] = number.to_be_bytes();
            story.tell(Some(Mac([2, 0, 0, 0, high, low])), ignored());
        }
        for _ in 0..300 {
            story.tell(Some(Mac([2, 0, 0, 0, 1, 0])), ignored());
        }
        let machines = story.machines();
        assert_eq!(machines.len(), MACHINES);
        assert!(machines.iter().all(|story| story.events.len() <= EVENTS));
        assert!(!machines.iter().any(|story| story.machine == Mac([2, 0, 0, 0, 0, 0])));
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_memory() {
        let story = Story::new();
        for number in 0..10_000_u32 {
            story.learn(Ipv4Addr::from_bits(number), Mac([2, 0, 0, 0, 0, 1]));
        }
        assert!(story.lock().addresses.len() <= ADDRESSES);
    }

    #[test]
    fn a_transfer_that_is_dropped_is_told_as_aborted_under_its_machine() {
        let story = Story::new();
        let mac = Mac([2, 0, 0, 0, 0, 9]);
        story.learn(Ipv4Addr::new(10, 0, 0, 100), mac);
        let mut events = story.subscribe();
        drop(Fetch::start(&story, Via::Tftp, Ipv4Addr::new(10, 0, 0, 100).into(), "cairn.efi", 10));
        assert!(matches!(events.try_recv().unwrap().what, What::FetchStarted { size: 10, .. }));
        let last = events.try_recv().unwrap();
        assert_eq!(last.machine, Some(mac));
        assert!(matches!(last.what, What::FetchAborted { bytes: 0, .. }));
    }

    #[test]
    fn an_event_survives_json() {
        let what = What::DhcpAnswered {
            message: Kind::Ack,
            address: Some(Ipv4Addr::new(10, 0, 0, 100)),
            told: Told::Unable(crate::dhcp::Unable::Arch(Arch::Other(41))),
            because: None,
            style: Some(Style::On4011),
        };
        let event = Event { number: 1, unix_millis: 2, machine: Some(Mac([2; 6])), what };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
    }
}
