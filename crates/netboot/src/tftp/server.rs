//! Takes requests on port 69 and starts transfers.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, Id, JoinSet};

use super::packet::{self, Code, FromClient, ReadRequest};
use super::transfer::Transfer;
use crate::counters::Counters;
use crate::files::Files;
use crate::socket;
use crate::story::{Fetch, Story, Via};

/// Transfers at once. A request beyond that is not answered: the client asks again, as it does when a
/// packet is lost.
const TRANSFERS: usize = 256;
/// Transfers at once to one address, of which no honest client needs more than a few.
const TRANSFERS_EACH: usize = 16;
/// A repeated request within this time of the last progress is a stray copy, later it is a new start.
const STRAY: Duration = Duration::from_secs(1);

/// The TFTP server.
pub struct Tftp {
    /// Bound to port 69 of our address, so that answers come from the address that was asked.
    pub socket: UdpSocket,
    /// For the sockets of the transfers.
    pub interface: String,
    /// Our address.
    pub address: Ipv4Addr,
    /// What is served.
    pub files: Files,
    /// Where it is told.
    pub story: Arc<Story>,
    /// Where bad packets are counted.
    pub counters: Arc<Counters>,
}

struct Running {
    task: AbortHandle,
    acknowledged: Arc<AtomicU64>,
    seen: u64,
    seen_at: Instant,
}

impl Tftp {
    /// Serves until it fails; dropping the future ends all transfers.
    pub async fn serve(self) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        let mut running: HashMap<SocketAddr, Running> = HashMap::new();
        let mut clients: HashMap<Id, SocketAddr> = HashMap::new();
        let mut bytes = [0; 1500];
        loop {
            tokio::select! {
                Some(ended) = tasks.join_next_with_id() => {
                    let id = match ended { Ok((id, ())) => id, Err(error) => error.id() };
                    if let Some(client) = clients.remove(&id) && running.get(&client).is_some_and(|run| run.task.id() == id) {
                        running.remove(&client);
                    }
                }
                received = self.socket.recv_from(&mut bytes) => {
                    // An error here is about an earlier packet (a port that was closed).
                    let Ok((length, client)) = received else { continue };
                    let Some(request) = self.request(bytes.get(..length).unwrap_or_default(), client).await else { continue };
                    if !self.admit(&mut running, client) {
                        continue;
                    }
                    if let Some((transfer, fetch)) = self.prepare(request, client).await {
                        let acknowledged = transfer.acknowledged.clone();
                        let task = tasks.spawn(transfer.run(fetch));
                        clients.insert(task.id(), client);
                        running.insert(client, Running { task, acknowledged, seen: 0, seen_at: Instant::now() });
                    }
                }
            }
        }
    }

    /// A valid read request in these bytes; anything else is refused or counted.
    async fn request(&self, bytes: &[u8], client: SocketAddr) -> Option<ReadRequest> {
        match FromClient::parse(bytes) {
            Ok(FromClient::Read(request)) if request.octet => return Some(request),
            Ok(FromClient::Read(request)) => {
                let text = "only the mode \"octet\" (binary) is served";
                self.refuse(client, &request.name, Code::Illegal, text).await;
            }
            Ok(FromClient::Write) => {
                self.refuse(client, "", Code::Denied, "nothing can be written here").await
            }
            Ok(FromClient::Ack(_) | FromClient::Error(..)) => {}
            Err(_) => self.counters.malformed_tftp(),
        }
        None
    }

    /// Whether a request of `client` may start a transfer; ends the one that it replaces.
    fn admit(&self, running: &mut HashMap<SocketAddr, Running>, client: SocketAddr) -> bool {
        if let Some(run) = running.get_mut(&client) {
            let acknowledged = run.acknowledged.load(Ordering::Relaxed);
            if acknowledged > run.seen {
                run.seen = acknowledged;
                run.seen_at = Instant::now();
                return false;
            }
            if acknowledged > 0 && run.seen_at.elapsed() < STRAY {
                return false;
            }
            run.task.abort();
            running.remove(&client);
        }
        let same = running.keys().filter(|other| other.ip() == client.ip()).count();
        if same < TRANSFERS_EACH && running.len() >= TRANSFERS {
            // Who never acknowledged anything may not exist: a real client has by then.
            let unheard = running.iter().filter(|(_, run)| run.acknowledged.load(Ordering::Relaxed) == 0);
            if let Some(oldest) = unheard.min_by_key(|(_, run)| run.seen_at).map(|(client, _)| *client)
                && let Some(run) = running.remove(&oldest)
            {
                run.task.abort();
            }
        }
        let room = running.len() < TRANSFERS && same < TRANSFERS_EACH;
        if !room {
            self.counters.refused_transfer();
        }
        room
    }

    async fn prepare(&self, request: ReadRequest, client: SocketAddr) -> Option<(Transfer, Fetch)> {
        let Some((name, path)) = self.files.find(&request.name) else {
            self.refuse(client, &request.name, Code::NotFound, "no such file is served").await;
            return None;
        };
        let path = path.into_owned();
        let opened = tokio::task::spawn_blocking(move || open(&path)).await.map_err(io::Error::other);
        let (file, size) = match opened.and_then(|opened| opened) {
            Ok(opened) => opened,
            Err(error) => {
                self.refuse(client, name, Code::NotFound, &format!("the file can't be read: {error}")).await;
                return None;
            }
        };
        let socket = socket::udp(&self.interface, self.address, 0).ok()?;
        socket.connect(client).await.ok()?;
        let fetch = Fetch::start(&self.story, Via::Tftp, client.ip(), name, size);
        let file = Arc::new(file);
        Some((Transfer { socket, file, size, request, acknowledged: Arc::default() }, fetch))
    }

    async fn refuse(&self, client: SocketAddr, name: &str, code: Code, text: &str) {
        let from: IpAddr = client.ip();
        Fetch::refuse(&self.story, Via::Tftp, from, name, text);
        let _ = self.socket.send_to(&packet::error(code, text), client).await;
    }
}

fn open(path: &std::path::Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    match about.is_file() {
        true => Ok((file, about.len())),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}
