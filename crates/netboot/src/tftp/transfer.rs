//! One file on its way to one client, on a socket of its own.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::blocks::Blocks;
use super::burst::{Burst, sent};
use super::packet::{self, Code, FromClient, ReadRequest};
use super::window::{Next, Window};
use crate::story::Fetch;

/// How long to wait for an acknowledgement, unless the client says otherwise.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often the same is sent before the client counts as gone.
const TRIES: u32 = 8;
/// How long a client may be silent, whatever time between two tries it asked for: else a few requests would hold a
/// place each for half an hour.
const SILENCE: Duration = Duration::from_secs(40);

/// A transfer before it starts.
pub struct Transfer {
    /// Connected to the client.
    pub socket: UdpSocket,
    /// What is sent.
    pub file: Arc<File>,
    /// Its size at the start.
    pub size: u64,
    /// What the client asked for.
    pub request: ReadRequest,
    /// Counts the acknowledgements, for whoever has to tell a live transfer from a dead one.
    pub acknowledged: Arc<AtomicU64>,
}

/// Why a transfer ended early.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the client stopped it: {0}")]
    Client(String),
    #[error("the client no longer answers")]
    Silent,
    #[error("the network refused: {0}")]
    Network(io::Error),
    #[error("the file could not be read: {0}")]
    File(io::Error),
}

impl Transfer {
    /// Carries the file to its end and tells how it went.
    pub async fn run(self, mut fetch: Fetch) {
        match self.carry(&mut fetch).await {
            Ok(()) => fetch.done(),
            Err(ended) => {
                let code = if matches!(ended, Ended::Client(_)) { None } else { Some(Code::Undefined) };
                if let Some(code) = code {
                    // Errors are never repeated, and a lost one only costs the client its time-out.
                    let _ = self.socket.send(&packet::error(code, &ended.to_string())).await;
                }
                fetch.abort(ended.to_string());
            }
        }
    }

    async fn carry(&self, fetch: &mut Fetch) -> Result<(), Ended> {
        let block = self.request.block_size();
        let mut window = Window::new(self.size, block, self.request.window_size());
        let mut blocks = Blocks::new(self.file.clone(), self.size, block);
        if let Some(oack) = self.request.oack(self.size) {
            self.until_acknowledged(&oack).await?;
        }
        let mut burst = Burst::new(&self.socket, blocks.datagram(), self.request.window_size());
        let mut next = window.current();
        let mut tries = 0;
        loop {
            match next {
                Next::Done => return Ok(()),
                Next::Wait => {}
                Next::Send(first, last) => {
                    let datagrams = blocks.datagrams(first, last).await.map_err(Ended::File)?;
                    burst.send(datagrams).await.map_err(Ended::of)?;
                }
            }
            next = match self.answer().await? {
                Some(number) => {
                    let before = window.acked();
                    let next = window.ack(number);
                    if window.acked() > before {
                        tries = 0;
                        self.acknowledged.fetch_add(1, Ordering::Relaxed);
                        fetch.progress(window.acked() * u64::from(block));
                    }
                    next
                }
                None if tries + 1 >= self.tries() => return Err(Ended::Silent),
                None => {
                    tries += 1;
                    window.current()
                }
            };
        }
    }

    /// Sends the OACK until the client acknowledges it as block 0.
    async fn until_acknowledged(&self, oack: &[u8]) -> Result<(), Ended> {
        for _ in 0..self.tries() {
            sent(self.socket.send(oack).await).map_err(Ended::of)?;
            while let Some(number) = self.answer().await? {
                if number == 0 {
                    return Ok(());
                }
            }
        }
        Err(Ended::Silent)
    }

    fn wait(&self) -> Duration {
        self.request.timeout.map_or(TIMEOUT, |seconds| Duration::from_secs(u64::from(seconds)))
    }

    fn tries(&self) -> u32 {
        let fit = SILENCE.as_secs() / self.wait().as_secs().max(1);
        u32::try_from(fit).unwrap_or(TRIES).clamp(1, TRIES)
    }

    /// The next acknowledgement; `None` after the time-out.
    async fn answer(&self) -> Result<Option<u16>, Ended> {
        let until = Instant::now() + self.wait().min(SILENCE);
        let mut bytes = [0; 600];
        loop {
            let Ok(received) = timeout_at(until, self.socket.recv(&mut bytes)).await else {
                return Ok(None);
            };
            let length = received.map_err(Ended::of)?;
            match FromClient::parse(bytes.get(..length).unwrap_or_default()) {
                Ok(FromClient::Ack(number)) => return Ok(Some(number)),
                Ok(FromClient::Error(code, text)) => {
                    return Err(Ended::Client(format!("error {code} {text}")));
                }
                Ok(FromClient::Read(_) | FromClient::Write) | Err(_) => {}
            }
        }
    }
}

impl Ended {
    /// A port that is closed again is how many clients end a transfer that only probed the size.
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Client("it closed its port".to_owned()),
            _ => Self::Network(error),
        }
    }
}
