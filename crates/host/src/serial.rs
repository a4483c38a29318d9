//! Serial adapters of this machine: the console of a node that has no screen.
//!
//! [`adapter`] lists them and says why one can't be opened. [`Consoles`] opens those on the list, and no
//! other file; each is opened once, whoever reads along, and closed soon after the last reader left.

pub mod adapter;
mod line;
mod scrollback;

pub use adapter::Adapter;
pub use line::{Chunk, Reader};

use line::Line;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A page that is reloaded is back within this time and misses nothing.
const LINGER: Duration = Duration::from_secs(10);

/// Why a console could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SerialError {
    #[error("there is no serial adapter '{0}' here; is it still plugged in?")]
    NoAdapter(String),
    #[error("the serial adapter '{name}' can't be used: {problem}")]
    Problem { name: String, problem: String },
    #[error("the serial adapter '{0}' could not be opened")]
    Open(String, #[source] io::Error),
    #[error("the serial adapter '{0}' takes no input: is the machine at its other end switched on?")]
    Stuck(String),
}

/// All consoles that are or were open.
#[derive(Debug)]
pub struct Consoles {
    folder: PathBuf,
    linger: Duration,
    /// Lines of adapters that were pulled stay until they are asked for again: what they said last is often
    /// what matters.
    lines: Mutex<BTreeMap<String, Arc<Line>>>,
}

impl Default for Consoles {
    fn default() -> Self {
        Self::new("/dev".into(), LINGER)
    }
}

impl Consoles {
    /// `folder` is `/dev`; an adapter stays open for as long as `linger` after the last reader left.
    pub fn new(folder: PathBuf, linger: Duration) -> Self {
        Self { folder, linger, lines: Mutex::default() }
    }

    /// The adapters of this moment.
    pub fn list(&self) -> Vec<Adapter> {
        adapter::list(&self.folder)
    }

    /// Opens the adapter, or reads along. `after` is the offset of the last byte that the reader has;
    /// without it, it gets all that is still remembered. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When there is no such adapter, or it can't be opened.
    pub fn read(&self, name: &str, after: Option<u64>) -> Result<Reader, SerialError> {
        let listed = self.list().into_iter().find(|it| it.name == name);
        let adapter = listed.ok_or_else(|| SerialError::NoAdapter(name.chars().take(64).collect()))?;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Arc::clone(lines.entry(adapter.name.clone()).or_default());
        if !line.is_open() {
            if let Some(problem) = adapter.problem {
                return Err(SerialError::Problem { name: adapter.name, problem });
            }
            let opened = line::open(&adapter.device).and_then(|port| line.run(port, self.linger));
            opened.map_err(|error| SerialError::Open(adapter.name, error))?;
        }
        Ok(Reader::new(name, line, after))
    }
}

#[cfg(test)]
mod tests;
