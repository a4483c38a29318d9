//! Multicast sockets: one per interface, so that addresses may come and go.

use super::packet::{Announcement, PacketError, is_query, query};
use super::{GROUP, PORT};
use cairn_vault::PrivateKey;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often an agent announces itself unasked. A machine that moved is found again within this time.
const INTERVAL: Duration = Duration::from_secs(3);
/// How often interfaces are looked at anew.
const RESCAN: Duration = Duration::from_secs(3);
/// No announcement is longer than one Ethernet frame.
const MAX_PACKET: usize = 1500;

/// Interfaces with their IPv4 addresses, loopback left out.
fn interfaces() -> BTreeMap<u32, (String, Vec<Ipv4Addr>)> {
    let mut found: BTreeMap<u32, (String, Vec<Ipv4Addr>)> = BTreeMap::new();
    for interface in if_addrs::get_if_addrs().unwrap_or_default() {
        let (Some(index), IpAddr::V4(address)) = (interface.index, interface.ip()) else { continue };
        if !interface.is_loopback() {
            found.entry(index).or_insert_with(|| (interface.name.clone(), Vec::new())).1.push(address);
        }
    }
    found
}

/// Hardware, as opposed to the bridges and tunnels that containers make.
fn is_hardware(name: &str) -> bool {
    std::path::Path::new("/sys/class/net").join(name).join("device").exists()
}

fn open(index: u32, name: &str) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind_device(Some(name.as_bytes()))?;
    socket.bind(&SocketAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT)).into())?;
    socket.join_multicast_v4_n(&GROUP, &InterfaceIndexOrAddress::Index(index))?;
    // RFC 6762 section 11: 255 shows that no router was passed.
    socket.set_multicast_ttl_v4(255)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Announces a machine until it is dropped.
pub struct Announcer {
    task: JoinHandle<()>,
}

impl Announcer {
    /// `describe` is asked before each announcement, so that it always tells the present state; the
    /// addresses of what it returns are filled in here.
    ///
    /// # Errors
    /// When the key can't be used for signing.
    pub fn start(
        key: &PrivateKey,
        describe: impl Fn() -> Announcement + Send + 'static,
    ) -> Result<Self, PacketError> {
        let key = rcgen::KeyPair::from_pem(key.to_pem().expose()).map_err(PacketError::Sign)?;
        Ok(Self { task: tokio::spawn(announce(key, describe)) })
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn announce(key: rcgen::KeyPair, describe: impl Fn() -> Announcement) {
    let mut sockets: BTreeMap<u32, UdpSocket> = BTreeMap::new();
    let mut buffer = [0; MAX_PACKET];
    loop {
        let present = interfaces();
        sockets.retain(|index, _| present.contains_key(index));
        for (index, (name, addresses)) in &present {
            if !is_hardware(name) {
                continue;
            }
            if !sockets.contains_key(index)
                && let Ok(socket) = open(*index, name)
            {
                sockets.insert(*index, socket);
            }
            let Some(socket) = sockets.get(index) else { continue };
            let announcement = Announcement { addresses: addresses.clone(), ..describe() };
            match announcement.to_packet(&key) {
                // An interface without link or route is no fault; it may have both a moment later.
                Ok(packet) => drop(socket.send_to(&packet, (GROUP, PORT)).await),
                Err(error) => tracing::warn!(%error, "could not announce this machine"),
            }
        }
        // Until the next round, a question brings the announcement forward.
        let _ = timeout(INTERVAL, async {
            loop {
                if sockets.is_empty() {
                    std::future::pending::<()>().await;
                }
                for socket in sockets.values() {
                    while let Ok(Ok((length, _))) =
                        timeout(Duration::from_millis(200), socket.recv_from(&mut buffer)).await
                    {
                        if buffer.get(..length).is_some_and(is_query) {
                            return;
                        }
                    }
                }
            }
        })
        .await;
    }
}

/// Hears the announcements on all interfaces.
pub struct Listener {
    received: mpsc::Receiver<Announcement>,
    task: JoinHandle<()>,
}

impl Listener {
    pub fn start() -> Self {
        let (sender, received) = mpsc::channel(64);
        Self { received, task: tokio::spawn(listen(sender)) }
    }

    /// The next announcement. The address that it really came from stands first.
    pub async fn next(&mut self) -> Option<Announcement> {
        self.received.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(sender: mpsc::Sender<Announcement>) {
    let mut readers: BTreeMap<u32, JoinHandle<()>> = BTreeMap::new();
    let mut rescan = interval(RESCAN);
    rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rescan.tick().await;
        let present = interfaces();
        readers.retain(|index, reader| {
            let keep = present.contains_key(index) && !reader.is_finished();
            if !keep {
                reader.abort();
            }
            keep
        });
        for (index, (name, _)) in present {
            readers.entry(index).or_insert_with(|| tokio::spawn(read(index, name, sender.clone())));
        }
        if sender.is_closed() {
            break;
        }
    }
    readers.into_values().for_each(|reader| reader.abort());
}

async fn read(index: u32, name: String, sender: mpsc::Sender<Announcement>) {
    let socket = match open(index, &name) {
        Ok(socket) => socket,
        Err(error) => return tracing::warn!(%error, interface = name, "can't listen for announcements"),
    };
    drop(socket.send_to(&query(), (GROUP, PORT)).await);
    let mut buffer = [0; MAX_PACKET];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { return };
        let Some(mut announcement) = buffer.get(..length).and_then(Announcement::from_packet) else {
            continue;
        };
        if let IpAddr::V4(source) = from.ip() {
            announcement.addresses.retain(|a| *a != source);
            announcement.addresses.insert(0, source);
        }
        if sender.send(announcement).await.is_err() {
            return;
        }
    }
}
