//! One open adapter, shared by all who read along.
//!
//! ```text
//! closed -> open, read and written by one task -> (nobody reads for a while | unplugged) -> closed
//! ```
//! What was said stays remembered in all of these states.

use super::SerialError;
use super::scrollback::Scrollback;
use rustix::fs::{Mode, OFlags};
use rustix::termios::{ControlModes, OptionalActions, ioctl_tiocexcl, tcgetattr, tcsetattr};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

/// What every node's serial console speaks, with 8 data bits, no parity and 1 stop bit.
const SPEED: u32 = 115_200;
/// Pieces of input that wait to be written.
const QUEUE: usize = 16;
/// An adapter that takes no input for so long does not take it at all.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Line {
    scrollback: Mutex<Scrollback>,
    /// How many bytes there ever were; its receivers are the readers.
    newest: watch::Sender<u64>,
    /// Where input goes, while the adapter is open.
    input: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
}

/// What a console said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The number of its last byte, to resume after.
    pub end: u64,
    pub bytes: Vec<u8>,
}

impl Default for Line {
    fn default() -> Self {
        let scrollback = Scrollback::new(SystemTime::now());
        let newest = watch::Sender::new(scrollback.end());
        Self { scrollback: Mutex::new(scrollback), newest, input: Mutex::default() }
    }
}

/// Opens the device, raw.
pub fn open(device: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let port = rustix::fs::open(device, flags, Mode::empty())?;
    let mut termios = tcgetattr(&port)?;
    termios.make_raw();
    termios.set_speed(SPEED)?;
    let off = ControlModes::CSIZE | ControlModes::PARENB | ControlModes::CSTOPB | ControlModes::CRTSCTS;
    termios.control_modes.remove(off);
    // CLOCAL: three wires are enough, without the lines of a modem.
    termios.control_modes.insert(ControlModes::CS8 | ControlModes::CREAD | ControlModes::CLOCAL);
    tcsetattr(&port, OptionalActions::Now, &termios)?;
    // Keeps other programs out: two readers would each get half of what is said.
    ioctl_tiocexcl(&port)?;
    Ok(port)
}

impl Line {
    fn scrollback(&self) -> MutexGuard<'_, Scrollback> {
        self.scrollback.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn input(&self) -> MutexGuard<'_, Option<mpsc::Sender<Vec<u8>>>> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_open(&self) -> bool {
        self.input().as_ref().is_some_and(|input| !input.is_closed())
    }

    /// Serves the opened device until it is gone, or nobody has read for as long as `linger`.
    pub fn run(self: &Arc<Self>, port: OwnedFd, linger: Duration) -> io::Result<()> {
        // No pipes, but the types that wait for any descriptor without unsafe code.
        let mut read = pipe::Receiver::from_owned_fd_unchecked(port.try_clone()?)?;
        let mut write = pipe::Sender::from_owned_fd_unchecked(port)?;
        let (sender, mut receiver) = mpsc::channel(QUEUE);
        *self.input() = Some(sender);
        let line = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                error = line.hear(&mut read) => tracing::info!(%error, "a serial adapter is gone"),
                error = say(&mut write, &mut receiver) => tracing::info!(%error, "a serial adapter is gone"),
                () = line.unread(linger) => {}
            }
            // Closed before readers are told, so that one of them can open it again.
            drop((read, write));
            line.input().take();
            line.newest.send_modify(|_| {});
        });
        Ok(())
    }

    async fn hear(&self, port: &mut pipe::Receiver) -> io::Error {
        let mut buffer = [0; 4096];
        loop {
            match port.read(&mut buffer).await {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(count) => {
                    let mut scrollback = self.scrollback();
                    scrollback.push(buffer.get(..count).unwrap_or_default());
                    self.newest.send_replace(scrollback.end());
                }
                Err(error) => return error,
            }
        }
    }

    async fn unread(&self, linger: Duration) {
        loop {
            self.newest.closed().await;
            sleep(linger).await;
            if self.newest.receiver_count() == 0 {
                return;
            }
        }
    }
}

async fn say(port: &mut pipe::Sender, input: &mut mpsc::Receiver<Vec<u8>>) -> io::Error {
    while let Some(bytes) = input.recv().await {
        if let Err(error) = port.write_all(&bytes).await {
            return error;
        }
    }
    io::ErrorKind::BrokenPipe.into()
}

/// Somebody who reads along. Dropping it leaves.
#[derive(Debug)]
pub struct Reader {
    name: String,
    line: Arc<Line>,
    newest: watch::Receiver<u64>,
    after: u64,
}

impl Reader {
    pub(super) fn new(name: &str, line: Arc<Line>, after: Option<u64>) -> Self {
        Self { name: name.to_owned(), newest: line.newest.subscribe(), line, after: after.unwrap_or(0) }
    }

    /// Waits for the next bytes; `None` when the adapter is closed or gone, and everything was read.
    pub async fn next(&mut self) -> Option<Chunk> {
        loop {
            self.newest.mark_unchanged();
            let open = self.line.is_open();
            let chunk = {
                let scrollback = self.line.scrollback();
                Chunk { end: scrollback.end(), bytes: scrollback.after(self.after) }
            };
            self.after = chunk.end;
            if !chunk.bytes.is_empty() {
                return Some(chunk);
            }
            if !open {
                return None;
            }
            self.newest.changed().await.ok()?;
        }
    }

    /// Hands input to the adapter.
    ///
    /// # Errors
    /// When it is gone, or takes none.
    pub async fn write(&self, bytes: Vec<u8>) -> Result<(), SerialError> {
        let input = self.line.input().clone();
        let taken = match input {
            Some(input) => timeout(PATIENCE, input.send(bytes)).await.is_ok_and(|sent| sent.is_ok()),
            None => false,
        };
        taken.then_some(()).ok_or_else(|| SerialError::Stuck(self.name.clone()))
    }
}
