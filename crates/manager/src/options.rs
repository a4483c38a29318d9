//! What a manager is told at its start, and why it may not start.

use crate::book::BookError;
use crate::journal::JournalError;
use crate::lan::Lan;
use crate::lineage::LineageError;
use crate::workdir::WorkDirError;
use cairn_model::cluster::Name;
use cairn_vault::file::disk::DiskError;
use cairn_vault::file::{NewError, OpenError, Passphrase};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that a manager needs to know.
pub struct Options {
    /// The owner's cluster file. It is read and never written. Without one the page asks for it.
    pub cluster_file: Option<PathBuf>,
    /// Without it the page asks.
    pub passphrase: Option<Passphrase>,
    /// Holds the sealed working copy, the journal and the token; made when it is not there.
    pub work_dir: PathBuf,
    pub listen: Listen,
    /// The node image with its `manifest.json`.
    pub image_dir: PathBuf,
    /// Serve network boot.
    pub netboot: Option<Netboot>,
    /// Interfaces that are given the manager's cluster address.
    pub interfaces: Vec<String>,
    /// Where machines fetch the image from when not from network boot's own server, such as
    /// `http://192.168.1.5:4280`.
    pub image_url: Option<String>,
    /// The page on the network.
    pub lan: Arc<Lan>,
}

/// Where network boot is served, and how.
#[derive(Clone, Debug)]
pub struct Netboot {
    pub interface: String,
    pub wish: Wish,
    /// The manager's address on a cable of the machines' own; they get addresses of the same /24.
    pub cable_address: Ipv4Addr,
}

/// Which network the owner says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A cable or switch of the machines' own.
    OwnCable,
    /// A network where a router hands out the addresses.
    HomeNetwork,
    /// Whichever it turns out to be.
    Fitting,
}

impl Netboot {
    /// The usual address on a cable: of a corner of 172.16.0.0/12 that neither routers nor Docker take.
    pub const CABLE_ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 30, 77, 1);
}

/// Where the page and the API are served by plain HTTP: on loopback.
pub enum Listen {
    Address(SocketAddr),
    /// A socket that was opened by whoever started the manager.
    Inherited(TcpListener),
}

impl Listen {
    /// The port that the manager's page has unless told otherwise.
    pub const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4200);

    /// The socket that systemd (or the lab) left at descriptor 3, else the address.
    ///
    /// # Errors
    /// When a socket was announced that is no listening TCP socket.
    pub fn inherited_or(address: SocketAddr) -> Result<Self, ManagerError> {
        let mut inherited = listenfd::ListenFd::from_env();
        Ok(match inherited.take_tcp_listener(0).map_err(ManagerError::Inherited)? {
            Some(listener) => Self::Inherited(listener),
            None => Self::Address(address),
        })
    }
}

/// Why a manager did not start or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    #[error(transparent)]
    WorkDir(#[from] WorkDirError),
    #[error(transparent)]
    File(#[from] DiskError),
    #[error("{0} was not opened")]
    Open(String, #[source] OpenError),
    #[error("there is no cluster file to open; give one, or make a new cluster")]
    NoFile,
    #[error(
        "the working directory holds the cluster '{0}' already; open that, or start a manager with a directory of its own (--work)"
    )]
    HasCluster(Name),
    #[error("a cluster is open already: '{0}'")]
    AlreadyOpen(Name),
    #[error(transparent)]
    New(#[from] NewError),
    #[error(transparent)]
    Lineage(#[from] LineageError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Book(#[from] BookError),
    #[error("the manager could not make its own certificate")]
    Certificate(#[from] cairn_vault::IssueError),
    #[error("the manager could not make a key")]
    Key(#[from] cairn_vault::KeyError),
    #[error("the manager's own certificate can't be used")]
    Identity(#[from] cairn_wire::tls::IdentityError),
    #[error("the socket that was handed over is no listening TCP socket")]
    Inherited(#[source] std::io::Error),
    #[error(
        "{0} is not of this machine's loopback, and the page is served in the clear on loopback only: give --lan to have it on the network by HTTPS"
    )]
    Plain(SocketAddr),
    #[error("can't listen on {0}; is another manager running? Choose another address with --listen")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("the page could not be served any more")]
    Serve(#[source] std::io::Error),
    #[error("a part of the manager ended unexpectedly")]
    Join(#[from] tokio::task::JoinError),
}
