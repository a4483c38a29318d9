//! The open cluster file and the journal, with their copies on disk.

use crate::copies::descends;
use crate::journal::{Journal, JournalError};
use crate::workdir::WorkDir;
use cairn_model::cluster::{Cluster, EditError};
use cairn_vault::file::Entry;
use cairn_vault::file::disk::{self, DiskError};
use cairn_vault::file::{ClusterFile, NextError, OpenError, Passphrase, SealError, Sealed};
use cairn_wire::message::KeptFile;
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
    #[error(
        "the journal does not know the working copy of the cluster file, generation {0}; start the manager again"
    )]
    Unknown(u64),
}

/// Why a newer cluster file that a node keeps is not gone on from. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TakeUpError {
    #[error("the newer cluster file that it keeps, generation {0}, was not opened")]
    Open(u64, #[source] OpenError),
    #[error("what it keeps as generation {0} of the cluster file is something else; restart the node")]
    Other(u64),
    #[error(
        "it keeps generation {theirs} of the cluster file, and this manager goes on from generation {ours}, of which that one does not know: two managers have changed this cluster apart from each other. Find out which one is right (`cairn file show` lists the nodes of each), stop the other manager, and begin with the right file and an empty working directory"
    )]
    Diverged { theirs: u64, ours: u64 },
    #[error(
        "the newer cluster file that it keeps, generation {0}, has another certificate authority; get that file from the manager that made it, and start with it"
    )]
    Rotated(u64),
    #[error(transparent)]
    Book(#[from] BookError),
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

    /// Changes the cluster as the owner wants it, and returns when a generation that has the change lies sealed on disk.
    /// Sealing takes about a second (scrypt), so changes that come meanwhile share the next one.
    ///
    /// # Errors
    /// When the change is refused, or could not be stored; in the second case it is in force all the
    /// same and stored with the next one.
    pub async fn change(
        &self,
        change: impl FnOnce(Cluster) -> Result<Cluster, EditError>,
    ) -> Result<Arc<ClusterFile>, BookError> {
        self.go_on(change, Journal::settle).await
    }

    /// The same for what nodes told of themselves, and will tell again: it gives way to a newer file from
    /// elsewhere.
    ///
    /// # Errors
    /// As [`Book::change`].
    pub async fn write_down(
        &self,
        told: impl FnOnce(Cluster) -> Result<Cluster, EditError>,
    ) -> Result<Arc<ClusterFile>, BookError> {
        self.go_on(told, Journal::remember).await
    }

    async fn go_on(
        &self,
        change: impl FnOnce(Cluster) -> Result<Cluster, EditError>,
        remember: impl FnOnce(&mut Journal, u64, &str),
    ) -> Result<Arc<ClusterFile>, BookError> {
        let next = {
            let mut file = lock(&self.file);
            let next = Arc::new(file.next(change)?);
            if next.hash() == file.hash() {
                return Ok(next);
            }
            *file = Arc::clone(&next);
            // under the same lock, so that nobody sees the one without the other
            self.note(|journal| remember(journal, next.cluster().generation, next.hash()))?;
            next
        };
        self.store(next.cluster().generation).await?;
        Ok(next)
    }

    /// Goes on from a newer file that a node keeps, when all that is certain here is in it too.
    ///
    /// # Errors
    /// When it can't be opened, or is no descendant.
    pub async fn take_up(&self, kept: KeptFile) -> Result<Option<Arc<ClusterFile>>, TakeUpError> {
        let number = kept.generation;
        let (sealed, passphrase) = (kept.sealed.clone(), self.passphrase.clone());
        let opening = move || ClusterFile::open(&Sealed::parse(&sealed)?, &passphrase);
        let opened = tokio::task::spawn_blocking(opening).await.map_err(BookError::from)?;
        let opened = opened.map_err(|error| TakeUpError::Open(number, error))?;
        let taken = {
            let mut file = lock(&self.file);
            if opened.lineage_id() != file.lineage_id()
                || opened.cluster().generation != number
                || opened.hash() != kept.hash
            {
                return Err(TakeUpError::Other(number));
            }
            match (opened.keyring().identity(), file.keyring().identity()) {
                (Ok(theirs), Ok(ours)) if theirs == ours => {}
                _ => return Err(TakeUpError::Rotated(number)),
            }
            // several nodes keep the same one, and are asked at the same time
            if self.journal(|journal| journal.lineage.get(&number) == Some(&kept.hash)) {
                return Ok(None);
            }
            if let Some(base) = self.journal(|journal| journal.base.clone())
                && !descends(&kept, &base)
            {
                return Err(TakeUpError::Diverged { theirs: number, ours: base.generation });
            }
            // nodes that were told a generation of ours take no lower number
            let taken = opened.raised_above(file.cluster().generation).map_err(BookError::from)?;
            let mut ancestors = kept.ancestors;
            ancestors.push((number, kept.hash));
            ancestors.retain(|(generation, _)| *generation < taken.cluster().generation);
            let taken = Arc::new(taken);
            *file = Arc::clone(&taken);
            let noted =
                self.note(|journal| journal.take_up(taken.cluster().generation, taken.hash(), ancestors));
            noted.map_err(BookError::from)?;
            taken
        };
        self.store(taken.cluster().generation).await?;
        Ok(Some(taken))
    }

    /// The newest generation as a node keeps it.
    ///
    /// # Errors
    /// When it can't be sealed or read.
    pub async fn kept(&self) -> Result<KeptFile, BookError> {
        let (entry, generation) = self.entry().await?;
        let lineage = self.journal(|journal| journal.lineage.clone());
        let hash = lineage.get(&generation).cloned().ok_or(BookError::Unknown(generation))?;
        let ancestors = lineage.into_iter().take_while(|(number, _)| *number < generation).collect();
        Ok(KeptFile { generation, hash, ancestors, sealed: entry.notes().to_owned() })
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
