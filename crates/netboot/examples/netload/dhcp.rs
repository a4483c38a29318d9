//! Whole exchanges of DHCP, as UEFI firmware's, of many clients on one socket.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
/// As firmware does at the earliest. A question is only asked again if no answer came.
const AGAIN: Duration = Duration::from_secs(4);
/// How long a first address may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine that wants an address.
struct Client {
    number: u8,
    turn: u16,
    /// The last question, in case that it is to be asked again.
    asked: Vec<u8>,
    asked_at: Instant,
    /// Whether it waits for the ACK.
    requested: bool,
    exchanges: u64,
}

impl Client {
    /// The transaction's number, by which its answers are known.
    fn xid(&self) -> [u8; 4] {
        let [high, low] = self.turn.to_be_bytes();
        [0xca, self.number, high, low]
    }

    fn ask(&mut self, wire: &UdpSocket, kind: u8, more: &[u8]) -> Result<()> {
        const CLASS: &[u8] = b"PXEClient:Arch:00007:UNDI:003001";
        let bytes = &mut self.asked;
        bytes.clear();
        bytes.resize(240, 0);
        let [high, low] = self.turn.to_be_bytes();
        let head = [1, 1, 6, 0, 0xca, self.number, high, low, 0, 0, 0x80];
        for (at, byte) in head.into_iter().enumerate() {
            put(bytes, at, &[byte]);
        }
        put(bytes, 28, &[2, 0xca, 0, 0, 0, self.number]);
        put(bytes, 236, &[99, 130, 83, 99]);
        bytes.extend([53, 1, kind, 93, 2, 0, 7, 55, 4, 1, 3, 66, 67, 97, 17, 0]);
        bytes.extend([self.number; 16]);
        bytes.extend([60, CLASS.len() as u8]);
        bytes.extend(CLASS);
        bytes.extend(more);
        bytes.push(255);
        self.requested = kind == REQUEST;
        self.repeat(wire)
    }

    fn repeat(&mut self, wire: &UdpSocket) -> Result<()> {
        self.asked_at = Instant::now();
        wire.send_to(&self.asked, SocketAddr::from((Ipv4Addr::BROADCAST, 67)))?;
        Ok(())
    }

    fn begin(&mut self, wire: &UdpSocket) -> Result<()> {
        self.turn = self.turn.wrapping_add(1);
        self.ask(wire, DISCOVER, &[])
    }

    /// An answer that came with this client's number in it.
    fn hear(&mut self, wire: &UdpSocket, answer: &[u8]) -> Result<()> {
        let ours = answer.get(4..8) == Some(&self.xid());
        let (Some(kind), true) = (option(answer, 53).and_then(<[u8]>::first), ours) else { return Ok(()) };
        let address = answer.get(16..20).unwrap_or_default();
        match (*kind, self.requested) {
            (OFFER, false) => {
                let server = option(answer, 54).unwrap_or_default();
                ensure!(server.len() == 4 && address != [0; 4], "an offer without an address or server");
                let more = [&[50, 4], address, &[54, 4], server].concat();
                self.ask(wire, REQUEST, &more)
            }
            (ACK, true) => {
                // dnsmasq takes the option if it is asked for, ours both.
                let in_header = answer.get(108).is_some_and(|first| *first != 0);
                ensure!(in_header || option(answer, 67).is_some(), "an answer without a boot file");
                self.exchanges += 1;
                self.begin(wire)
            }
            (6, _) => bail!("a refusal"),
            _ => Ok(()),
        }
    }
}

fn put(bytes: &mut [u8], at: usize, part: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + part.len()) {
        place.copy_from_slice(part);
    }
}

fn option(answer: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = answer.get(240..)?;
    while let [code, length, more @ ..] = rest {
        let (value, next) = more.split_at_checked(usize::from(*length))?;
        if *code == wanted {
            return Some(value);
        }
        rest = next;
    }
    None
}

pub fn run(clients: u8, time: Duration) -> Result<serde_json::Value> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(b"eth0"))?;
    socket.set_broadcast(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 68)).into())?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let wire: UdpSocket = socket.into();
    let start = Instant::now();
    let client = |number| Client {
        number,
        turn: 0,
        asked: Vec::new(),
        asked_at: start,
        requested: false,
        exchanges: 0,
    };
    let mut all: Vec<Client> = (0..clients).map(client).collect();
    for client in &mut all {
        client.begin(&wire)?;
    }
    let mut repeated = 0;
    let mut buffer = [0; 2048];
    let mut hear = |all: &mut Vec<Client>| -> Result<()> {
        if let Ok(length) = wire.recv(&mut buffer) {
            let answer = buffer.get(..length).unwrap_or_default();
            if let Some(client) = answer.get(5).and_then(|number| all.get_mut(usize::from(*number))) {
                client.hear(&wire, answer)?;
            }
        }
        Ok(())
    };
    let mut again = |all: &mut Vec<Client>| -> Result<()> {
        let now = Instant::now();
        for client in all.iter_mut().filter(|client| now - client.asked_at > AGAIN) {
            repeated += 1;
            client.repeat(&wire)?;
        }
        Ok(())
    };
    // Until each has its address, and after that the asking that needs no look whether somebody uses it.
    while all.iter().any(|client| client.exchanges == 0) {
        ensure!(start.elapsed() < PATIENCE, "not every client got an address");
        hear(&mut all)?;
        again(&mut all)?;
    }
    let first = start.elapsed();
    let sum = |all: &[Client]| all.iter().map(|client| client.exchanges).sum::<u64>();
    let (before, began) = (sum(&all), Instant::now());
    while began.elapsed() < time {
        for _ in 0..16 {
            hear(&mut all)?;
        }
        again(&mut all)?;
    }
    let (exchanges, seconds) = (sum(&all) - before, began.elapsed().as_secs_f64());
    Ok(serde_json::json!({
        "exchanges": exchanges, "seconds": seconds, "first_seconds": first.as_secs_f64(), "repeated": repeated,
    }))
}
