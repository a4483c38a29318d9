//! Starts and stops everything on one interface.
//!
//! ```text
//! on a cable of our own ([`cable`])
//! start: probe the wire -> give the interface its address -> bind -> run
//! run:   DHCP | TFTP | HTTP | probe, until one of them ends it or the owner does
//! stop:  drop all four -> take the address -> State::Stopped
//!
//! in a home network ([`home`])
//! start: bind -> run
//! run:   proxy DHCP | TFTP | HTTP | look at the address, until one of them ends it or the owner does
//! ```

mod cable;
mod desk;
mod home;
mod ledger;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::{Config, ConfigError, Mode};
use crate::counters::{Counters, Counts};
use crate::dhcp::{Answer, Kind, Packet, Shelf, Silence, Told};
use crate::http::Http;
use crate::link::LinkError;
use crate::policy::BootPolicy;
use crate::probe::ForeignServer;
use crate::socket;
use crate::story::{Event, MachineStory, Story, What};
use crate::tftp::server::Tftp;
use crate::trouble::{Trouble, Troubles};

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
        /// Protocol and port, and what it is for.
        what: Port,
        /// Where.
        interface: String,
        /// Why.
        source: io::Error,
    },
    /// The interface lacks the address that machines are to fetch from.
    #[error("{interface} does not have the address {address}, from which machines are to fetch")]
    NoAddress {
        /// Which one.
        address: Ipv4Addr,
        /// Where it should be.
        interface: String,
    },
    /// Machines' questions can't be heard.
    #[error("what machines ask on {interface} can't be heard (it needs root or CAP_NET_RAW)")]
    Hear {
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

/// A port that the server listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// UDP, else TCP.
    pub udp: bool,
    /// Its number.
    pub number: u16,
    /// What it is for.
    pub purpose: &'static str,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let protocol = if self.udp { "UDP" } else { "TCP" };
        write!(f, "{protocol} port {} ({})", self.number, self.purpose)
    }
}

impl Port {
    const DHCP: Self = Self { udp: true, number: 67, purpose: "DHCP" };
    const TFTP: Self = Self { udp: true, number: 69, purpose: "TFTP" };
    const PXE: Self = Self { udp: true, number: 4011, purpose: "PXE" };

    fn http(number: u16) -> Self {
        Self { udp: false, number, purpose: "HTTP" }
    }
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
    /// The interface has lost the address that machines fetch from.
    #[error("{interface} no longer has the address {address}, from which machines fetch")]
    AddressGone {
        /// Which one.
        address: Ipv4Addr,
        /// Where it was.
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
    troubles: watch::Receiver<Vec<Trouble>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts DHCP, TFTP and HTTP and tells the story on; on a cable of our own, once the wire has been silent
    /// for the configured time. Needs a Tokio runtime with I/O and time.
    pub async fn start(
        config: Config,
        policy: Arc<dyn BootPolicy>,
        story: Arc<Story>,
    ) -> Result<Self, StartError> {
        let counters = Arc::new(Counters::default());
        let (mode, interface) = (config.mode.clone(), config.interface.clone());
        let (troubles, troubled) = Troubles::new();
        let parts = Parts { config, policy, story: story.clone(), counters: counters.clone(), troubles };
        let (state, watched) = watch::channel(State::Running);
        let (stop, stopped) = oneshot::channel();
        let wire = match mode {
            Mode::OwnCable(own) => Wire::Cable(Box::new(cable::Cable::open(&parts, own).await?)),
            Mode::HomeNetwork(place) => Wire::Home(Box::new(home::Home::open(&parts, place).await?)),
        };
        let task = tokio::spawn(async move {
            let because = match wire {
                Wire::Cable(cable) => cable.run(&parts, stopped).await,
                Wire::Home(home) => home.run(&parts, stopped).await,
            };
            if because != Because::Asked {
                tracing::warn!(interface, %because, "netboot stopped");
            }
            parts.story.tell(None, What::Stopped { because: because.to_string() });
            state.send_replace(State::Stopped { because });
        });
        Ok(Self { story, counters, state: watched, troubles: troubled, stop: Some(stop), task })
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

    /// What it can't do as it should, now and whenever that changes.
    pub fn troubles(&self) -> watch::Receiver<Vec<Trouble>> {
        self.troubles.clone()
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

/// The network that it serves.
enum Wire {
    Cable(Box<cable::Cable>),
    Home(Box<home::Home>),
}

/// What both networks have in common.
struct Parts {
    config: Config,
    policy: Arc<dyn BootPolicy>,
    story: Arc<Story>,
    counters: Arc<Counters>,
    troubles: Troubles,
}

/// What carries files.
struct Carriers {
    tftp: UdpSocket,
    http: tokio::net::TcpListener,
}

impl Parts {
    fn shelf(&self, address: Ipv4Addr) -> Shelf {
        Shelf { address, http_port: self.config.http_port, files: self.config.files.clone() }
    }

    fn listen<T>(&self, what: Port, opened: io::Result<T>) -> Result<T, StartError> {
        let interface = self.config.interface.clone();
        opened.map_err(|source| StartError::Listen { what, interface, source })
    }

    fn carriers(&self, address: Ipv4Addr) -> Result<Carriers, StartError> {
        let (name, port) = (&self.config.interface, self.config.http_port);
        let tftp = self.listen(Port::TFTP, socket::udp(name, address, 69))?;
        let http = self.listen(Port::http(port), socket::tcp(name, address, port))?;
        Ok(Carriers { tftp, http })
    }

    /// Serves files until that fails.
    async fn carry(&self, carriers: Carriers, address: Ipv4Addr) -> Because {
        let (files, story) = (self.config.files.clone(), self.story.clone());
        let tftp = Tftp {
            socket: carriers.tftp,
            interface: self.config.interface.clone(),
            address,
            files: files.clone(),
            story: story.clone(),
            counters: self.counters.clone(),
        };
        let http = Http { listener: carriers.http, files, story };
        tokio::select! {
            ended = tftp.serve() => failed("TFTP", ended),
            ended = http.serve() => failed("HTTP", ended),
        }
    }

    fn asked(&self, packet: &Packet) {
        let what = What::DhcpAsked { message: packet.kind, client: packet.client, arch: packet.arch };
        self.story.tell(Some(packet.mac), what);
    }

    fn told(&self, packet: &Packet, answer: Answer) {
        self.asked(packet);
        let Answer { kind, address, told, style, .. } = answer;
        if let (Kind::Ack, Some(address)) = (kind, address) {
            self.story.learn(address, packet.mac);
        }
        let because = match &told {
            Told::Unable(unable) => Some(unable.to_string()),
            Told::NotAsked | Told::Boot(_) | Told::LocalDisk => None,
        };
        let what = What::DhcpAnswered { message: kind, address, told, because, style };
        self.story.tell(Some(packet.mac), what);
    }

    fn kept_silent(&self, packet: &Packet, silence: &Silence) {
        match silence {
            Silence::Own | Silence::FromServer => {}
            // A message that is no question (it gives its address back) is no reason to call it unanswered.
            Silence::Router | Silence::NoReply => self.asked(packet),
            Silence::LocalDisk => {
                self.asked(packet);
                self.story.tell(Some(packet.mac), What::DhcpLeftToDisk);
            }
            silence => {
                self.asked(packet);
                self.story.tell(Some(packet.mac), What::DhcpIgnored { because: silence.to_string() });
            }
        }
    }
}

fn failed(part: &str, ended: io::Result<()>) -> Because {
    let error = ended.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
    Because::Failed { part: part.to_owned(), error }
}
