//! The folder of artifacts: each file under the name of its checksum, so that a name can't lie.
//!
//! ```text
//! SUM            a whole file
//! SUM.part       what there is of one that is on its way
//! artifacts.toml the owner's own pins, where there are any
//! ```

use crate::client::Client;
use crate::fetch::{self, FetchError, Told, Want};
use crate::part::{self, Part};
use crate::pins::{Pin, Pins, PinsError};
use crate::sum::{Sum, each_block};
use serde::Serialize;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The owner's own pins, in the store.
const PINS: &str = "artifacts.toml";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store {} can't be used; give another with --store", .0.display())]
    Use(PathBuf, #[source] io::Error),
    #[error("{} can't be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("{} changed while it was copied: its SHA-256 is {found}, it should be {wanted}", .path.display())]
    Changed { path: PathBuf, wanted: Sum, found: Sum },
    #[error(transparent)]
    Part(#[from] FetchError),
}

/// How it stands with one pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// The whole file, with the right checksum.
    There { size: u64 },
    /// `partial` bytes of it are there.
    Missing { partial: u64 },
    /// A file is there that is not the right one any more.
    Damaged,
    /// Its pin has no checksum.
    NotLocked,
}

/// A folder. Several programs may use it at once.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// # Errors
    /// When the folder can't be made.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        // it may make the manager's working directory, which is nobody else's business
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| StoreError::Use(folder.to_owned(), error))?;
        Ok(Self { folder: folder.to_owned() })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file with this checksum is, or would be.
    pub fn path(&self, sum: Sum) -> PathBuf {
        self.folder.join(sum.to_string())
    }

    /// Where the owner's own pins are, or would be.
    pub fn pins_path(&self) -> PathBuf {
        self.folder.join(PINS)
    }

    /// The pins in force here: the owner's own, else the built-in ones.
    ///
    /// # Errors
    /// When the owner's are wrong.
    pub fn pins(&self) -> Result<Pins, PinsError> {
        let path = self.pins_path();
        if path.exists() { Pins::load(&path) } else { Pins::built_in() }
    }

    /// Reads the whole file to be sure.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn state(&self, pin: &Pin) -> Result<State, StoreError> {
        let Some(sum) = pin.sum else { return Ok(State::NotLocked) };
        let path = self.path(sum);
        let wrong = |error| StoreError::Read(path.clone(), error);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let partial = std::fs::metadata(part::path_of(&path)).map_or(0, |part| part.len());
                return Ok(State::Missing { partial });
            }
            Err(error) => return Err(wrong(error)),
        };
        let size = file.metadata().map_err(wrong)?.len();
        let found = Sum::of_reader(&mut file).map_err(wrong)?;
        Ok(if found == sum { State::There { size } } else { State::Damaged })
    }

    /// # Errors
    /// As [`fetch::fetch`].
    pub fn fetch(&self, client: &Client, want: &Want, tell: &mut dyn FnMut(Told)) -> Result<(), FetchError> {
        fetch::fetch(client, want, &self.path(want.sum), tell)
    }

    /// Takes a copy of a file that has this checksum.
    ///
    /// # Errors
    /// When it can't be copied, or is not what it was when its checksum was taken.
    pub fn take(&self, path: &Path, wanted: Sum) -> Result<(), StoreError> {
        let mut source = File::open(path).map_err(|error| StoreError::Read(path.to_owned(), error))?;
        let mut part = Part::open(&self.path(wanted))?;
        part.restart(None)?;
        let mut failed = None;
        let copied = each_block(&mut source, |block| {
            part.append(block).map_err(|error| {
                failed = Some(error);
                io::Error::other("not written")
            })
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        copied.map_err(|error| StoreError::Read(path.to_owned(), error))?;
        let found = part.sum();
        if found != wanted {
            part.remove();
            return Err(StoreError::Changed { path: path.to_owned(), wanted, found });
        }
        Ok(part.keep()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(sum: Option<Sum>) -> Pin {
        let text = "[[artifact]]\nname='a'\nversion='1'\narch='amd64'\nurl='http://a/b'";
        Pin { sum, ..Pins::parse("x", text).unwrap().pins.remove(0) }
    }

    #[test]
    fn a_file_is_there_only_while_its_content_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let sum = Sum::of_bytes(b"hello");
        let (locked, open) = (pin(Some(sum)), pin(None));
        assert_eq!(store.state(&open).unwrap(), State::NotLocked);
        assert_eq!(store.state(&locked).unwrap(), State::Missing { partial: 0 });
        let outside = folder.path().join("any name");
        std::fs::write(&outside, "hello").unwrap();
        store.take(&outside, sum).unwrap();
        assert_eq!(store.state(&locked).unwrap(), State::There { size: 5 });
        std::fs::write(store.path(sum), "hellO").unwrap();
        assert_eq!(store.state(&locked).unwrap(), State::Damaged);
        // and is mended by taking it once more
        store.take(&outside, sum).unwrap();
        assert_eq!(store.state(&locked).unwrap(), State::There { size: 5 });
    }

    #[test]
    fn a_file_that_changed_is_not_taken_and_nothing_of_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let outside = folder.path().join("file");
        std::fs::write(&outside, "other").unwrap();
        let error = store.take(&outside, Sum::of_bytes(b"hello")).unwrap_err().to_string();
        assert!(error.contains(&Sum::of_bytes(b"other").to_string()), "{error}");
        assert!(error.contains(&Sum::of_bytes(b"hello").to_string()), "{error}");
        assert_eq!(std::fs::read_dir(store.folder()).unwrap().count(), 0);
    }

    #[test]
    fn the_owners_pins_in_the_store_go_before_the_built_in_ones() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.pins().unwrap(), Pins::built_in().unwrap());
        std::fs::write(store.pins_path(), "# none\n").unwrap();
        assert!(store.pins().unwrap().pins.is_empty());
    }
}
