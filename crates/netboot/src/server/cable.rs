//! The server on a cable of our own: it refuses to start beside another DHCP server, and stops when one appears.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::desk::{Desk, Sockets};
use super::{Because, Carriers, Parts, Port, StartError, failed, ledger};
use crate::arp::Arp;
use crate::config::OwnCable;
use crate::dhcp::Scene;
use crate::link::{self, Link};
use crate::probe::{ForeignServer, Probe};
use crate::socket;

/// A client's question makes the probe ask too, but not more often than this.
const PROBE_PAUSE: Duration = Duration::from_secs(2);

pub struct Cable {
    address: Ipv4Addr,
    probe: Probe,
    link: Link,
    desk: Desk,
    carriers: Carriers,
}

impl Cable {
    pub async fn open(parts: &Parts, cable: OwnCable) -> Result<Self, StartError> {
        cable.check()?;
        let interface = parts.config.interface.clone();
        let own_mac = link::mac_of(&interface)?;
        link::up(&interface).await?;
        let wrong = |source| StartError::Probe { interface: interface.clone(), source };
        let probe = Probe::open(&interface, own_mac, cable.address).map_err(wrong)?;
        let arp = Arp::open(&interface, own_mac).map_err(wrong)?;
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
        let address = cable.address;
        let scene = Scene { shelf: parts.shelf(address), cable, own_mac };
        let desk = Desk::open(parts, scene, dhcp, arp).await;
        Ok(Self { address, probe, link, desk, carriers })
    }

    pub async fn run(self, parts: &Parts, stopped: oneshot::Receiver<()>) -> Because {
        let Self { address, probe, link, mut desk, carriers } = self;
        let (file, tables) = desk.tables();
        let (questions, plugged) = (Notify::new(), Notify::new());
        let foreign = |server| Because::ForeignServer { server, interface: parts.config.interface.clone() };
        let because = tokio::select! {
            _ = stopped => Because::Asked,
            server = desk.serve(parts, &questions, &plugged) => foreign(server),
            () = ledger::keep(parts, file, tables) => failed("the file of leases", Ok(())),
            ended = watch(parts, &probe, &link, &questions, &plugged) => match ended {
                Ok(server) => foreign(server),
                Err(error) => failed("the network interface", Err(error)),
            },
            because = parts.carry(carriers, address) => because,
        };
        desk.close(parts).await;
        if let Err(error) = link.take().await {
            tracing::warn!(%error, "the address stays on the interface until its lifetime is over");
        }
        because
    }
}

fn sockets(parts: &Parts, address: Ipv4Addr) -> Result<(Sockets, Carriers), StartError> {
    let pair = socket::udp_pair(&parts.config.interface, address, Port::DHCP.number);
    let (broadcast, own) = parts.listen(Port::DHCP, pair)?;
    Ok((Sockets { broadcast, own }, parts.carriers(address)?))
}

/// Asks from time to time, when the cable was plugged in again, and at every client's question, whether another server
/// is there. The last is what makes a stranger known within one exchange: the broadcast that a client sends makes it
/// answer the client alone, perhaps unseen, but our own question it answers for us to hear.
async fn watch(
    parts: &Parts,
    probe: &Probe,
    link: &Link,
    questions: &Notify,
    plugged: &Notify,
) -> io::Result<ForeignServer> {
    let every = parts.config.probe_every.min(link::LIFETIME / 3);
    let (mut next, mut allowed) = (Instant::now() + every, Instant::now());
    let mut overheard = std::pin::pin!(probe.overhear());
    loop {
        tokio::select! {
            server = &mut overheard => return server,
            () = sleep_until(next) => {}
            () = plugged.notified() => {}
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
