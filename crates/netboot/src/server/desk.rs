//! The desk at which machines ask for their addresses: packets in, answers out, and those that wait until it is known
//! whether somebody else uses what they are to get. Nobody waits for another machine's answer.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Parts, ledger};
use crate::arp::{Arp, Neighbour};
use crate::dhcp::lease_file::Record;
use crate::dhcp::{self, Kind, Leases, Outcome, Packet, Scene, Silence};
use crate::link::Carrier;
use crate::probe::ForeignServer;
use crate::story::What;
use crate::trouble::Trouble;

/// An address is asked for twice in this time, and who has not answered by then does not have it. A host on a cable
/// answers within a millisecond, and firmware asks again after four seconds at the earliest.
const CHECK_WAIT: Duration = Duration::from_millis(300);
/// Leases are written down so long after the first change. Who loses one by a power cut asks for it again.
const SAVE_AFTER: Duration = Duration::from_secs(1);
/// How often it is looked whether a full pool still is.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Who was plugged into another network finds out in this time whose it is: a router answers within milliseconds, and
/// who asks meanwhile is not kept waiting for as long as any firmware or system waits before it asks again.
const SETTLE: Duration = Duration::from_millis(1500);
/// Packets taken from one socket before the others have their turn.
const BATCH: usize = 32;

/// The two ends of port 67.
pub struct Sockets {
    pub broadcast: UdpSocket,
    pub own: UdpSocket,
}

/// A packet whose answer waits for ARP.
struct Waiting {
    packet: Packet,
    until: Instant,
    again: Option<Instant>,
}

pub struct Desk {
    scene: Scene,
    sockets: Sockets,
    arp: Arp,
    carrier: Carrier,
    leases: Leases,
    started: Instant,
    /// At most one for each address.
    waiting: BTreeMap<Ipv4Addr, Waiting>,
    save_at: Option<Instant>,
    tables: watch::Sender<Vec<Record>>,
    look_at: Option<Instant>,
}

impl Desk {
    /// With the leases that the file remembers.
    pub async fn open(parts: &Parts, scene: Scene, sockets: Sockets, arp: Arp) -> Self {
        let mut leases = Leases::of(&scene.cable);
        if let Some(path) = &scene.cable.lease_file {
            let records = ledger::load(parts, path).await;
            leases.restore(records, scene.cable.lease, Duration::ZERO);
        }
        Self {
            scene,
            sockets,
            arp,
            carrier: Carrier::of(&parts.config.interface),
            leases,
            started: Instant::now(),
            waiting: BTreeMap::new(),
            save_at: None,
            tables: watch::channel(Vec::new()).0,
            look_at: None,
        }
    }

    /// Where the table can be seen when it has changed, and where it is to be kept.
    pub fn tables(&self) -> (Option<PathBuf>, watch::Receiver<Vec<Record>>) {
        (self.scene.cable.lease_file.clone(), self.tables.subscribe())
    }

    /// Writes down what is lent.
    pub async fn close(self, parts: &Parts) {
        if let Some(path) = &self.scene.cable.lease_file {
            ledger::save(parts, path, self.leases.records(self.started.elapsed())).await;
        }
    }

    /// Answers until a client shows that it follows another server. Tells of questions, and of a cable that was
    /// plugged in again.
    pub async fn serve(&mut self, parts: &Parts, questions: &Notify, plugged: &Notify) -> ForeignServer {
        let (mut one, mut other, mut frame) = ([0; 2048], [0; 2048], [0; 2048]);
        loop {
            let due = self.due();
            let wake = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let mut foreign = None;
            // An error of a socket's is about a packet sent earlier.
            tokio::select! {
                received = self.sockets.broadcast.recv_from(&mut one) => if let Ok((length, _)) = received {
                    self.settle(parts, plugged).await;
                    foreign = self.hear(parts, questions, one.get(..length).unwrap_or_default()).await;
                    for _ in 0..BATCH {
                        let Ok((length, _)) = self.sockets.broadcast.try_recv_from(&mut one) else { break };
                        let heard = self.hear(parts, questions, one.get(..length).unwrap_or_default()).await;
                        foreign = foreign.or(heard);
                    }
                },
                received = self.sockets.own.recv_from(&mut other) => if let Ok((length, _)) = received {
                    self.settle(parts, plugged).await;
                    foreign = self.hear(parts, questions, other.get(..length).unwrap_or_default()).await;
                },
                neighbour = self.arp.next(&mut frame) => match neighbour {
                    Ok(neighbour) => foreign = self.met(parts, questions, neighbour).await,
                    // The interface is gone, which ends the server elsewhere.
                    Err(_) => sleep(CHECK_WAIT).await,
                },
                () = wake => foreign = self.tick(parts, questions).await,
            }
            if let Some(address) = foreign {
                return ForeignServer { address, mac: None };
            }
        }
    }

    /// A cable that was plugged in again may lead to a router by now, and who asks was perhaps carried there with this
    /// machine: nobody is answered before the wire was asked, and whoever asks waits in the socket.
    async fn settle(&mut self, parts: &Parts, plugged: &Notify) {
        if self.carrier.is_new() {
            plugged.notify_one();
            sleep(SETTLE.min(parts.config.probe_wait)).await;
        }
    }

    /// When there is something to do without a packet.
    fn due(&self) -> Option<Instant> {
        let waiting = self.waiting.values().map(|it| it.again.unwrap_or(it.until)).min();
        waiting.into_iter().chain(self.save_at).chain(self.look_at).min()
    }

    async fn hear(&mut self, parts: &Parts, questions: &Notify, bytes: &[u8]) -> Option<Ipv4Addr> {
        match Packet::parse(bytes) {
            Ok(packet) => self.decide(parts, questions, packet).await,
            Err(_) => {
                parts.counters.malformed_dhcp();
                None
            }
        }
    }

    /// Answers a packet, or lets it wait; the other server that it names, if it does.
    async fn decide(&mut self, parts: &Parts, questions: &Notify, packet: Packet) -> Option<Ipv4Addr> {
        let now = self.started.elapsed();
        match dhcp::answer(&self.scene, &mut self.leases, &*parts.policy, &packet, now) {
            Outcome::Answer(answer) => {
                if packet.kind == Kind::Discover {
                    questions.notify_one();
                }
                if answer.kind == Kind::Ack && answer.address.is_some() {
                    self.changed();
                }
                // A full queue is as good as a packet lost on the wire, and nobody is to wait for it.
                let _ = self.sockets.own.send_to(&answer.bytes, answer.to).await;
                parts.told(&packet, answer);
            }
            Outcome::Check(address) => self.look(address, packet).await,
            Outcome::Silence(silence) => {
                match (&silence, packet.kind) {
                    (Silence::PoolEmpty, _) => self.full(parts),
                    (_, Kind::Release) => self.changed(),
                    (Silence::NoReply, Kind::Decline) => {
                        self.changed();
                        if let Some(address) = packet.requested {
                            parts.story.tell(Some(packet.mac), What::AddressInUse { address, by: None });
                        }
                    }
                    _ => {}
                }
                parts.kept_silent(&packet, &silence);
            }
            Outcome::Foreign(address) => return Some(address),
        }
        None
    }

    fn changed(&mut self) {
        self.save_at = self.save_at.or_else(|| Some(Instant::now() + SAVE_AFTER));
    }

    fn full(&mut self, parts: &Parts) {
        let (lent, set_aside) = self.leases.taken(self.started.elapsed());
        parts.troubles.begin(&parts.story, Trouble::PoolFull { size: self.leases.size(), lent, set_aside });
        self.look_at = self.look_at.or_else(|| Some(Instant::now() + LOOK_AGAIN));
    }

    /// Asks who has `address`, unless that is being asked.
    async fn look(&mut self, address: Ipv4Addr, packet: Packet) {
        if let Some(waiting) = self.waiting.get_mut(&address) {
            waiting.packet = packet;
            return;
        }
        let now = Instant::now();
        self.waiting
            .insert(address, Waiting { packet, until: now + CHECK_WAIT, again: Some(now + CHECK_WAIT / 2) });
        let _ = self.arp.ask(address).await;
    }

    /// A neighbour shows itself: is it in the way of somebody who waits?
    async fn met(&mut self, parts: &Parts, questions: &Notify, neighbour: Neighbour) -> Option<Ipv4Addr> {
        let Neighbour { mac, address } = neighbour;
        let Waiting { packet, .. } = self.waiting.remove(&address)?;
        let now = self.started.elapsed();
        match mac == packet.mac {
            // It has the address still from before.
            true => self.leases.unanswered(address, now),
            false => {
                self.leases.in_use(address, now);
                parts.story.tell(Some(packet.mac), What::AddressInUse { address, by: Some(mac) });
            }
        }
        self.decide(parts, questions, packet).await
    }

    async fn tick(&mut self, parts: &Parts, questions: &Notify) -> Option<Ipv4Addr> {
        let now = Instant::now();
        if self.save_at.is_some_and(|at| at <= now) {
            self.save_at = None;
            self.tables.send_replace(self.leases.records(self.started.elapsed()));
        }
        if self.look_at.is_some_and(|at| at <= now) {
            let room = self.leases.has_room(self.started.elapsed());
            self.look_at = (!room).then_some(now + LOOK_AGAIN);
            if room {
                parts.troubles.end(|it| matches!(it, Trouble::PoolFull { .. }));
            }
        }
        for (address, waiting) in &mut self.waiting {
            if waiting.again.is_some_and(|at| at <= now) {
                waiting.again = None;
                let _ = self.arp.ask(*address).await;
            }
        }
        let over = self.waiting.iter().filter(|(_, it)| it.until <= now).map(|(address, _)| *address);
        let mut foreign = None;
        for address in over.collect::<Vec<_>>() {
            if let Some(Waiting { packet, .. }) = self.waiting.remove(&address) {
                self.leases.unanswered(address, self.started.elapsed());
                foreign = foreign.or(self.decide(parts, questions, packet).await);
            }
        }
        foreign
    }
}
