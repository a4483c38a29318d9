//! The open cluster file and the journal, with their copies on disk.

use crate::journal::{Journal, JournalError};
use crate::workdir::WorkDir;
use cairn_model::cluster::{Cluster, EditError};
use cairn_vault::file::Entry;
use cairn_vault::file::disk::{self, DiskError};
use cairn_vault::file::{ClusterFile, NextError, Passphrase, SealError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subtle::ConstantTimeEq as _;

#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error(transparent)]
    Next(#[from] NextError),
    #[error("the working copy of the cluster file could not be sealed")]
    Seal(#[from] SealError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("sealing the cluster file ended unexpectedly")]
    Join(#[from] tokio::task::JoinError),
}

pub struct Book {
    file: Mutex<Arc<ClusterFile>>,
    journal: Mutex<Journal>,
    /// The generation that lies sealed in the working directory.
    sealed: tokio::sync::Mutex<u64>,
    passphrase: Passphrase,
    work: Arc<WorkDir>,
}

impl Book {
    /// `sealed` is the generation of the working copy, 0 when there is none.
    pub fn new(
        file: ClusterFile,
        sealed: u64,
        passphrase: Passphrase,
        work: Arc<WorkDir>,
        journal: Journal,
    ) -> Self {
        Self {
            file: Mutex::new(Arc::new(file)),
            journal: Mutex::new(journal),
            sealed: tokio::sync::Mutex::new(sealed),
            passphrase,
            work,
        }
    }

    /// The cluster file as it is now.
    pub fn file(&self) -> Arc<ClusterFile> {
        Arc::clone(&lock(&self.file))
    }

    /// Whether this opens the file, without the second that opening takes.
    pub fn is_passphrase(&self, given: &Passphrase) -> bool {
        let (own, given) = (self.passphrase.to_secret(), given.to_secret());
        own.expose().as_bytes().ct_eq(given.expose().as_bytes()).into()
    }

    /// What the owner keeps of the newest generation, and which that is.
    ///
    /// # Errors
    /// When the sealed text can't be read.
    pub async fn entry(&self) -> Result<(Entry, u64), BookError> {
        self.store(self.file().cluster().generation).await?;
        let sealed = disk::load(&self.work.cluster())?;
        let generation = sealed.generation();
        Ok((Entry::new(sealed, &self.passphrase), generation))
    }

    pub fn work(&self) -> &WorkDir {
        &self.work
    }

    /// Changes the cluster, and returns when a generation that has the change lies sealed on disk.
    /// Sealing takes about a second (scrypt), so changes that come meanwhile share the next one.
    ///
    /// # Errors
    /// When the change is refused, or could not be stored; in the second case it is in force all the
    /// same and stored with the next one.
    pub async fn change(
        &self,
        change: impl FnOnce(Cluster) -> Result<Cluster, EditError>,
    ) -> Result<Arc<ClusterFile>, BookError> {
        let next = {
            let mut file = lock(&self.file);
            let next = Arc::new(file.next(change)?);
            *file = Arc::clone(&next);
            next
        };
        self.note(|journal| journal.remember(next.cluster().generation, next.hash()))?;
        self.store(next.cluster().generation).await?;
        Ok(next)
    }

    /// Returns when this generation or a later one is on disk.
    ///
    /// # Errors
    /// When it can't be sealed or written.
    pub async fn store(&self, generation: u64) -> Result<(), BookError> {
        let mut sealed = self.sealed.lock().await;
        if *sealed >= generation {
            return Ok(());
        }
        let newest = self.file();
        let (file, passphrase, path) = (Arc::clone(&newest), self.passphrase.clone(), self.work.cluster());
        tokio::task::spawn_blocking(move || -> Result<(), BookError> {
            Ok(disk::save(&path, &file.seal(&passphrase)?)?)
        })
        .await??;
        *sealed = newest.cluster().generation;
        Ok(())
    }

    /// The sealed text of the newest generation, for the owner to keep.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn sealed_text(&self) -> Result<String, BookError> {
        Ok(self.entry().await?.0.notes().to_owned())
    }

    pub fn journal<T>(&self, read: impl FnOnce(&Journal) -> T) -> T {
        read(&lock(&self.journal))
    }

    /// Changes the journal, on disk too. A change that changes nothing writes nothing.
    ///
    /// # Errors
    /// When it can't be written; then the change is not made.
    pub fn note(&self, change: impl FnOnce(&mut Journal)) -> Result<(), JournalError> {
        let mut journal = lock(&self.journal);
        let mut changed = journal.clone();
        change(&mut changed);
        if changed != *journal {
            changed.save(&self.work.journal())?;
            *journal = changed;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Both values are replaced whole, so a poisoned lock loses nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
