//! The server on a cable of our own: it refuses to start beside another DHCP server, and stops when one appears.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::{Because, Carriers, Parts, Port, StartError, failed};
use crate::config::OwnCable;
use crate::dhcp::{self, Kind, Leases, Outcome, Packet, Scene};
use crate::link::{self, Link};
use crate::probe::{ForeignServer, Probe};
use crate::socket;

/// A client's question makes the probe ask too, but not more often than this.
const PROBE_PAUSE: Duration = Duration::from_secs(2);

pub struct Cable {
    scene: Scene,
    probe: Probe,
    link: Link,
    dhcp: Dhcp,
    carriers: Carriers,
}

struct Dhcp {
    broadcast: UdpSocket,
    own: UdpSocket,
}

impl Cable {
    pub async fn open(parts: &Parts, cable: OwnCable) -> Result<Self, StartError> {
        cable.check()?;
        let interface = parts.config.interface.clone();
        let own_mac = link::mac_of(&interface)?;
        link::up(&interface).await?;
        let wrong = |source| StartError::Probe { interface: interface.clone(), source };
        let probe = Probe::open(&interface, own_mac, cable.address).map_err(wrong)?;
        if let Some(server) = probe.search(parts.config.probe_wait).await.map_err(wrong)? {
            return Err(StartError::OtherServer { server, interface });
        }
        let link = Link::give(&interface, cable.address, cable.prefix).await?;
        let (dhcp, carriers) = match sockets(parts, cable.address) {
            Ok(sockets) => sockets,
            Err(error) => {
                // The first error is the one to tell; the address goes by itself if it stays.
                let _ = link.take().await;
                return Err(error);
            }
        };
        let scene = Scene { shelf: parts.shelf(cable.address), cable, own_mac };
        Ok(Self { scene, probe, link, dhcp, carriers })
    }

    pub async fn run(self, parts: &Parts, stopped: oneshot::Receiver<()>) -> Because {
        let Self { scene, probe, link, dhcp, carriers } = self;
        let questions = Notify::new();
        let foreign = |server| Because::ForeignServer { server, interface: parts.config.interface.clone() };
        let because = tokio::select! {
            _ = stopped => Because::Asked,
            server = answer(parts, &scene, &dhcp, &questions) => foreign(server),
            ended = watch(parts, &probe, &link, &questions) => match ended {
                Ok(server) => foreign(server),
                Err(error) => failed("the network interface", Err(error)),
            },
            because = parts.carry(carriers, scene.cable.address) => because,
        };
        if let Err(error) = link.take().await {
            tracing::warn!(%error, "the address stays on the interface until its lifetime is over");
        }
        because
    }
}

fn sockets(parts: &Parts, address: Ipv4Addr) -> Result<(Dhcp, Carriers), StartError> {
    let pair = socket::udp_pair(&parts.config.interface, address, Port::DHCP.number);
    let (broadcast, own) = parts.listen(Port::DHCP, pair)?;
    Ok((Dhcp { broadcast, own }, parts.carriers(address)?))
}

/// Answers until a client shows that it follows another server.
async fn answer(parts: &Parts, scene: &Scene, sockets: &Dhcp, questions: &Notify) -> ForeignServer {
    let mut leases = Leases::new(scene.cable.first, scene.cable.last);
    let started = Instant::now();
    let (mut one, mut other) = ([0; 2048], [0; 2048]);
    loop {
        let received = tokio::select! {
            received = sockets.broadcast.recv_from(&mut one) => received.map(|(length, _)| one.get(..length)),
            received = sockets.own.recv_from(&mut other) => received.map(|(length, _)| other.get(..length)),
        };
        // An error is about a packet sent earlier.
        let Ok(Some(bytes)) = received else { continue };
        let Ok(packet) = Packet::parse(bytes) else {
            parts.counters.malformed_dhcp();
            continue;
        };
        match dhcp::answer(scene, &mut leases, &*parts.policy, &packet, started.elapsed()) {
            Outcome::Answer(answer) => {
                if packet.kind == Kind::Discover {
                    questions.notify_one();
                }
                let _ = sockets.own.send_to(&answer.bytes, answer.to).await;
                parts.told(&packet, answer);
            }
            Outcome::Silence(silence) => parts.kept_silent(&packet, &silence),
            Outcome::Foreign(address) => return ForeignServer { address, mac: None },
        }
    }
}

/// Asks from time to time, and at every client's question, whether another server is there. The second
/// is what makes a stranger known within one exchange: the broadcast that a client sends makes it
/// answer the client alone, perhaps unseen, but our own question it answers for us to hear.
async fn watch(parts: &Parts, probe: &Probe, link: &Link, questions: &Notify) -> io::Result<ForeignServer> {
    let every = parts.config.probe_every.min(link::LIFETIME / 3);
    let (mut next, mut allowed) = (Instant::now() + every, Instant::now());
    let mut overheard = std::pin::pin!(probe.overhear());
    loop {
        tokio::select! {
            server = &mut overheard => return server,
            () = sleep_until(next) => {}
            () = async { sleep_until(allowed).await; questions.notified().await } => {}
        }
        if Instant::now() >= next {
            link::mac_of(&parts.config.interface).map_err(io::Error::other)?;
            // A cable that is unplugged for a while must not end the server.
            if let Err(error) = link.renew().await {
                tracing::warn!(%error, "the address could not be prolonged");
            }
        }
        if let Err(error) = probe.ask().await {
            tracing::debug!(%error, "the wire could not be asked for other DHCP servers");
        }
        (next, allowed) = (Instant::now() + every, Instant::now() + PROBE_PAUSE);
    }
}
