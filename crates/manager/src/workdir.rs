//! The working directory: what a manager may lose, at the price of asking again.

use crate::token::{Token, TokenError};
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum WorkDirError {
    #[error("the working directory {} can't be used; give another with --work", .0.display())]
    Use(PathBuf, #[source] io::Error),
    #[error(
        "another manager works in {}; stop it, or give this one a directory of its own with --work", .0.display()
    )]
    Locked(PathBuf),
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Held by one manager at a time.
pub struct WorkDir {
    path: PathBuf,
    /// The lock goes with the descriptor, so a killed manager leaves none behind.
    _lock: File,
}

impl WorkDir {
    /// # Errors
    /// When it can't be made or another manager has it.
    pub fn open(path: &Path) -> Result<Self, WorkDirError> {
        let wrong = |error| WorkDirError::Use(path.to_owned(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(wrong)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(wrong)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(WorkDirError::Locked(path.to_owned())),
            Err(error) => Err(wrong(error.into())),
        }
    }

    /// The sealed working copy of the cluster file.
    pub fn cluster(&self) -> PathBuf {
        self.path.join("cluster.cairn")
    }

    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.json")
    }

    /// Certificate and key of the page on the network.
    pub fn certificate(&self) -> PathBuf {
        self.path.join("page.pem")
    }

    /// The addresses that are lent on a cable of our own.
    pub fn leases(&self) -> PathBuf {
        self.path.join("leases")
    }

    /// The store of artifacts.
    pub fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }

    /// The image's programs with the cluster's signature.
    pub fn signed(&self) -> PathBuf {
        self.path.join("signed")
    }

    /// Where large temporary files go: beside the rest, since `/tmp` may be memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The session token, kept across restarts.
    ///
    /// # Errors
    /// When it can't be read or made.
    pub fn token(&self) -> Result<Token, WorkDirError> {
        Ok(Token::load_or_make(&self.path.join("token"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_managers_cannot_share_a_working_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("work");
        let first = WorkDir::open(&path).unwrap();
        assert!(matches!(WorkDir::open(&path), Err(WorkDirError::Locked(_))));
        drop(first);
        assert!(WorkDir::open(&path).is_ok());
    }

    #[test]
    fn the_token_stays_the_same_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let work = WorkDir::open(directory.path()).unwrap();
        let first = work.token().unwrap();
        assert!(first.is(work.token().unwrap().expose()));
        let mode = std::fs::metadata(directory.path().join("token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
