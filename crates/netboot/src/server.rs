//! Starts and stops everything on one interface.
//!
//! ```text
//! start: probe the wire -> give the interface its address -> bind -> run
//! run:   DHCP | TFTP | HTTP | probe, until one of them ends it or the owner does
//! stop:  drop all four -> take the address -> State::Stopped
//! ```

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::config::{Config, ConfigError, Mode};
use crate::counters::{Counters, Counts};
use crate::dhcp::{self, Answer, Leases, Outcome, Packet, Scene, Told};
use crate::http::Http;
use crate::link::{self, Link, LinkError};
use crate::policy::BootPolicy;
use crate::probe::{ForeignServer, Probe};
use crate::socket;
use crate::story::{Event, MachineStory, Story, What};
use crate::tftp::server::Tftp;

/// A client's question makes the probe ask too, but not more often than this.
const PROBE_PAUSE: Duration = Duration::from_secs(2);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration can't work.
    #[error("this network configuration can't work")]
    Config(#[from] ConfigError),
    /// The interface can't be used.
    #[error("the network interface can't be set up")]
    Link(#[from] LinkError),
    /// Another DHCP server answers.
    #[error(
        "another DHCP server, {server}, answers on {interface}: this looks like a home network, and a second server would disturb it. Connect the machines with a cable or switch of their own that no router is plugged into, or choose another interface"
    )]
    OtherServer {
        /// Which one.
        server: ForeignServer,
        /// Where it answered.
        interface: String,
    },
    /// A port is taken or may not be bound.
    #[error(
        "can't listen on {what} on {interface}: another program may be using that port (`cairn network` shows which, and how to free it: often dnsmasq, or a virtual network of libvirt's), or this one lacks the right to (root, or CAP_NET_BIND_SERVICE with CAP_NET_RAW)"
    )]
    Listen {
        /// Protocol and port.
        what: String,
        /// Where.
        interface: String,
        /// Why.
        source: io::Error,
    },
    /// The wire could not be asked for other servers.
    #[error(
        "can't ask on {interface} whether another DHCP server is there, and without knowing that none is started: is the cable plugged in?"
    )]
    Probe {
        /// Where.
        interface: String,
        /// Why.
        source: io::Error,
    },
}

/// Whether a server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It runs.
    Running,
    /// It does not, and will not by itself.
    Stopped {
        /// Why.
        because: Because,
    },
}

/// Why a server stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Because {
    /// Its owner said so.
    #[error("it was told to stop")]
    Asked,
    /// Another DHCP server has appeared.
    #[error(
        "another DHCP server, {server}, has appeared on {interface}: this one stopped at once so as not to disturb that network. Unplug the machines from the router, or choose another interface, and start again"
    )]
    ForeignServer {
        /// Which one.
        server: ForeignServer,
        /// Where.
        interface: String,
    },
    /// A part failed.
    #[error("{part} failed: {error}")]
    Failed {
        /// Which part.
        part: String,
        /// How.
        error: String,
    },
}

/// A running server. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Server {
    story: Arc<Story>,
    counters: Arc<Counters>,
    state: watch::Receiver<State>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts DHCP, TFTP and HTTP, once the wire has been silent for the configured time, and tells the
    /// story on. Needs a Tokio runtime with I/O and time.
    pub async fn start(
        config: Config,
        policy: Arc<dyn BootPolicy>,
        story: Arc<Story>,
    ) -> Result<Self, StartError> {
        let Mode::OwnCable(cable) = config.mode.clone();
        cable.check()?;
        let interface = config.interface.clone();
        let mac = link::mac_of(&interface)?;
        link::up(&interface).await?;
        let wrong = |source| StartError::Probe { interface: interface.clone(), source };
        let probe = Probe::open(&interface, mac, cable.address).map_err(wrong)?;
        if let Some(server) = probe.search(config.probe_wait).await.map_err(wrong)? {
            return Err(StartError::OtherServer { server, interface });
        }
        let link = Link::give(&interface, cable.address, cable.prefix).await?;
        let sockets = match Sockets::open(&config, cable.address) {
            Ok(sockets) => sockets,
            Err(error) => {
                // The first error is the one to tell; the address goes by itself if it stays.
                let _ = link.take().await;
                return Err(error);
            }
        };
        let scene = Scene { cable, own_mac: mac, files: config.files.clone(), http_port: config.http_port };
        let counters = Arc::new(Counters::default());
        let (state, watched) = watch::channel(State::Running);
        let (stop, stopped) = oneshot::channel();
        let parts = Parts { config, scene, policy, story: story.clone(), counters: counters.clone(), probe };
        let task = tokio::spawn(async move {
            let because = parts.run(sockets, &link, stopped).await;
            if let Err(error) = link.take().await {
                tracing::warn!(%error, "the address stays on the interface until its lifetime is over");
            }
            if because != Because::Asked {
                tracing::warn!(%because, "netboot stopped");
            }
            parts.story.tell(None, What::Stopped { because: because.to_string() });
            state.send_replace(State::Stopped { because });
        });
        Ok(Self { story, counters, state: watched, stop: Some(stop), task })
    }

    /// Every event from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.story.subscribe()
    }

    /// What each machine did so far.
    pub fn machines(&self) -> Vec<MachineStory> {
        self.story.machines()
    }

    /// Whether it runs, now and whenever that changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// What was only counted.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Stops and waits until nothing is left of it on the interface.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        // It can only have panicked, and then there is nothing left to wait for.
        let _ = self.task.await;
    }
}

struct Sockets {
    broadcast: UdpSocket,
    own: UdpSocket,
    tftp: UdpSocket,
    http: tokio::net::TcpListener,
}

impl Sockets {
    fn open(config: &Config, address: Ipv4Addr) -> Result<Self, StartError> {
        let name = &config.interface;
        let wrong = |what: String| move |source| StartError::Listen { what, interface: name.clone(), source };
        let (broadcast, own) =
            socket::udp_pair(name, address, 67).map_err(wrong("UDP port 67 (DHCP)".to_owned()))?;
        let tftp = socket::udp(name, address, 69).map_err(wrong("UDP port 69 (TFTP)".to_owned()))?;
        let port = config.http_port;
        let http = socket::tcp(name, address, port).map_err(wrong(format!("TCP port {port} (HTTP)")))?;
        Ok(Self { broadcast, own, tftp, http })
    }
}

struct Parts {
    config: Config,
    scene: Scene,
    policy: Arc<dyn BootPolicy>,
    story: Arc<Story>,
    counters: Arc<Counters>,
    probe: Probe,
}

impl Parts {
    async fn run(&self, sockets: Sockets, link: &Link, stopped: oneshot::Receiver<()>) -> Because {
        let Sockets { broadcast, own, tftp, http } = sockets;
        let (files, story) = (self.config.files.clone(), self.story.clone());
        let tftp = Tftp {
            socket: tftp,
            interface: self.config.interface.clone(),
            address: self.scene.cable.address,
            files: files.clone(),
            story: story.clone(),
            counters: self.counters.clone(),
        };
        let http = Http { listener: http, files, story };
        let failed = |part: &str, ended: io::Result<()>| {
            let error = ended.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
            Because::Failed { part: part.to_owned(), error }
        };
        let questions = Notify::new();
        tokio::select! {
            _ = stopped => Because::Asked,
            server = self.dhcp(&broadcast, &own, &questions) => self.foreign(server),
            ended = self.watch(link, &questions) => match ended {
                Ok(server) => self.foreign(server),
                Err(error) => failed("the network interface", Err(error)),
            },
            ended = tftp.serve() => failed("TFTP", ended),
            ended = http.serve() => failed("HTTP", ended),
        }
    }

    fn foreign(&self, server: ForeignServer) -> Because {
        Because::ForeignServer { server, interface: self.config.interface.clone() }
    }

    /// Answers until a client shows that it follows another server.
    async fn dhcp(&self, broadcast: &UdpSocket, own: &UdpSocket, questions: &Notify) -> ForeignServer {
        let cable = &self.scene.cable;
        let mut leases = Leases::new(cable.first, cable.last);
        let started = Instant::now();
        let (mut one, mut other) = ([0; 2048], [0; 2048]);
        loop {
            let received = tokio::select! {
                received = broadcast.recv_from(&mut one) => received.map(|(length, _)| one.get(..length)),
                received = own.recv_from(&mut other) => received.map(|(length, _)| other.get(..length)),
            };
            // An error is about a packet sent earlier.
            let Ok(Some(bytes)) = received else { continue };
            let Ok(packet) = Packet::parse(bytes) else {
                self.counters.malformed_dhcp();
                continue;
            };
            match dhcp::answer(&self.scene, &mut leases, &*self.policy, &packet, started.elapsed()) {
                Outcome::Answer(answer) => {
                    if packet.kind == dhcp::Kind::Discover {
                        questions.notify_one();
                    }
                    let _ = own.send_to(&answer.bytes, answer.to).await;
                    self.told(&packet, answer);
                }
                Outcome::Silence(dhcp::Silence::Own | dhcp::Silence::FromServer) => {}
                Outcome::Silence(silence) => {
                    self.asked(&packet);
                    self.story.tell(Some(packet.mac), What::DhcpIgnored { because: silence.to_string() });
                }
                Outcome::Foreign(address) => return ForeignServer { address, mac: None },
            }
        }
    }

    fn asked(&self, packet: &Packet) {
        let what = What::DhcpAsked { message: packet.kind, client: packet.client, arch: packet.arch };
        self.story.tell(Some(packet.mac), what);
    }

    fn told(&self, packet: &Packet, answer: Answer) {
        self.asked(packet);
        let Answer { kind, address, told, .. } = answer;
        if let (dhcp::Kind::Ack, Some(address)) = (kind, address) {
            self.story.learn(address, packet.mac);
        }
        let because = match &told {
            Told::Unable(unable) => Some(unable.to_string()),
            Told::NotAsked | Told::Boot(_) | Told::LocalDisk => None,
        };
        self.story.tell(Some(packet.mac), What::DhcpAnswered { message: kind, address, told, because });
    }

    /// Asks from time to time, and at every client's question, whether another server is there. The second
    /// is what makes a stranger known within one exchange: the broadcast that a client sends makes it
    /// answer the client alone, perhaps unseen, but our own question it answers for us to hear.
    async fn watch(&self, link: &Link, questions: &Notify) -> io::Result<ForeignServer> {
        let every = self.config.probe_every.min(link::LIFETIME / 3);
        let (mut next, mut allowed) = (Instant::now() + every, Instant::now());
        let mut overheard = std::pin::pin!(self.probe.overhear());
        loop {
            tokio::select! {
                server = &mut overheard => return server,
                () = sleep_until(next) => {}
                () = async { sleep_until(allowed).await; questions.notified().await } => {}
            }
            if Instant::now() >= next {
                link::mac_of(&self.config.interface).map_err(io::Error::other)?;
                // A cable that is unplugged for a while must not end the server.
                if let Err(error) = link.renew().await {
                    tracing::warn!(%error, "the address could not be prolonged");
                }
            }
            if let Err(error) = self.probe.ask().await {
                tracing::debug!(%error, "the wire could not be asked for other DHCP servers");
            }
            (next, allowed) = (Instant::now() + every, Instant::now() + PROBE_PAUSE);
        }
    }
}
