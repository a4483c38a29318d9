//! A manager before and after its cluster file is opened. It opens once; to close it, stop the manager.

use crate::book::Book;
use crate::core::Core;
use crate::network::NetworkView;
use crate::open;
use crate::options::ManagerError;
use crate::patience::Patience;
use crate::site::Site;
use crate::token::Token;
use crate::workdir::WorkDir;
use cairn_model::cluster::Name;
use cairn_vault::file::{OpenError, Passphrase, Sealed};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

pub struct Door {
    pub token: Token,
    pub patience: Arc<Patience>,
    work: Arc<WorkDir>,
    /// The owner's file, when the manager was started with one.
    given: Option<Sealed>,
    image_dir: PathBuf,
    /// As it is at first.
    network: NetworkView,
    core: watch::Sender<Option<Arc<Core>>>,
}

impl Door {
    /// # Errors
    /// When the session token can't be read or made.
    pub fn new(
        work: WorkDir,
        given: Option<Sealed>,
        image_dir: PathBuf,
        network: NetworkView,
    ) -> Result<Self, ManagerError> {
        let token = work.token()?;
        let (work, core) = (Arc::new(work), watch::Sender::new(None));
        Ok(Self { token, patience: Arc::default(), work, given, image_dir, network, core })
    }

    /// Where the page's certificate is kept.
    pub fn certificate(&self) -> PathBuf {
        self.work.certificate()
    }

    pub fn core(&self) -> Option<Arc<Core>> {
        self.core.borrow().clone()
    }

    /// Waits until somebody has opened it; for ever when the door is gone.
    pub async fn opened(&self) -> Arc<Core> {
        let mut core = self.core.subscribe();
        match core.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(core)) => Arc::clone(core),
            _ => std::future::pending().await,
        }
    }

    /// The cluster for which only the passphrase is missing: the newer of the owner's file and the working copy.
    ///
    /// # Errors
    /// When there is a working copy that can't be read.
    pub fn known(&self) -> Result<Option<Sealed>, ManagerError> {
        let working = open::working_copy(&self.work)?;
        Ok(working.into_iter().chain(self.given.clone()).max_by_key(Sealed::generation))
    }

    /// Whether a file that is opened has to belong to the cluster that was open here before. Otherwise any
    /// file with its passphrase is as good as another.
    ///
    /// # Errors
    /// When there is a working copy that can't be read.
    pub fn has_cluster(&self) -> Result<bool, ManagerError> {
        Ok(open::working_copy(&self.work)?.is_some())
    }

    /// Opens the given text, or without one what is [known](Self::known).
    ///
    /// # Errors
    /// When it can't be opened, or another was opened already. The passphrase that was wrong slows the next down.
    pub async fn open(
        self: &Arc<Self>,
        given: Option<Sealed>,
        passphrase: Passphrase,
        site: Site,
    ) -> Result<Arc<Core>, ManagerError> {
        let (given, work) = (given.or_else(|| self.given.clone()), Arc::clone(&self.work));
        self.enter(site, move || open::book(given.as_ref(), passphrase, work)).await
    }

    /// Makes a new cluster and opens it.
    ///
    /// # Errors
    /// When the working directory has one already, or nothing can be written.
    pub async fn create(
        self: &Arc<Self>,
        name: Name,
        passphrase: Passphrase,
        site: Site,
    ) -> Result<Arc<Core>, ManagerError> {
        let work = Arc::clone(&self.work);
        self.enter(site, move || open::create(name, passphrase, work)).await
    }

    /// Goes through to the end even if whoever asked is gone: a cluster is not left half made, and the next
    /// try does not begin before this one has ended.
    async fn enter(
        self: &Arc<Self>,
        site: Site,
        make: impl FnOnce() -> Result<Book, ManagerError> + Send + 'static,
    ) -> Result<Arc<Core>, ManagerError> {
        self.still_closed()?;
        let (door, turn) = (Arc::clone(self), self.patience.turn(site).await);
        let entered = tokio::spawn(async move {
            let entered = door.go_in(make).await;
            match &entered {
                Ok(_) => turn.right(),
                Err(ManagerError::Open(_, OpenError::WrongPassphrase)) => turn.wrong(),
                Err(_) => drop(turn),
            }
            entered
        });
        entered.await?
    }

    fn still_closed(&self) -> Result<(), ManagerError> {
        match self.core() {
            Some(core) => Err(ManagerError::AlreadyOpen(core.book.file().cluster().name.clone())),
            None => Ok(()),
        }
    }

    async fn go_in(
        &self,
        make: impl FnOnce() -> Result<Book, ManagerError> + Send + 'static,
    ) -> Result<Arc<Core>, ManagerError> {
        // somebody else may have had the turn before
        self.still_closed()?;
        let book = tokio::task::spawn_blocking(make).await??;
        let file = book.file();
        book.store(file.cluster().generation).await?;
        let trust = open::trust(&file)?;
        let (token, patience) = (self.token.clone(), Arc::clone(&self.patience));
        let core = Core::new(book, trust, token, patience, self.image_dir.clone(), self.network.clone());
        tracing::info!(cluster = %file.cluster().name, generation = file.cluster().generation, "the cluster file is open");
        self.core.send_replace(Some(Arc::clone(&core)));
        Ok(core)
    }
}
