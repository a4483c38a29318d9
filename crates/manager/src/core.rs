//! What the parts of a running manager share.

use crate::artifacts::Artifacts;
use crate::book::Book;
use crate::decide::Proven;
use crate::etcd::EtcdView;
use crate::feed::Feed;
use crate::image::signed::{Owner, Signed};
use crate::image::{Image, ImageError};
use crate::jobs::Jobs;
use crate::network::{NetworkView, Scanner};
use crate::patience::Patience;
use crate::registry::{Heard, Machine, Registry};
use crate::session::Sessions;
use crate::token::Token;
use crate::{api, dial, status};
use cairn_host::serial::Consoles;
use cairn_layout::Arch;
use cairn_model::cluster::{FIRST_EPOCH, Fingerprint, SecretClass};
use cairn_model::phase::Phase;
use cairn_netboot::{Story, Wishes};
use cairn_wire::announce::Announcement;
use cairn_wire::message::Description;
use cairn_wire::tls::Identity;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub struct Core {
    pub book: Book,
    pub jobs: Jobs,
    pub trust: Trust,
    /// Of the command line and of programs.
    pub token: Token,
    /// Of browsers.
    pub sessions: Sessions,
    /// With those who try passphrases.
    pub patience: Arc<Patience>,
    pub image_dir: PathBuf,
    pub signed: Arc<Signed>,
    pub artifacts: Arc<Artifacts>,
    registry: Mutex<Registry>,
    pub etcd: Mutex<EtcdView>,
    pub network: Mutex<NetworkView>,
    /// Held while a shutdown or start is planned; the task of the last one.
    pub power: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    /// What machines asked on the wire, were told and fetched.
    pub story: Arc<Story>,
    /// What machines are to start once, at their next network boot.
    pub wishes: Arc<Wishes>,
    /// Held while a medium is written to a disk of this machine.
    pub writing: Arc<tokio::sync::Mutex<()>>,
    /// The owner was asked to store the cluster file since this manager started.
    reminded: AtomicBool,
    pub scanner: Scanner,
    pub consoles: Arc<Consoles>,
    /// What is shown; anew whenever something in it has changed.
    shown: watch::Sender<Arc<api::Status>>,
}

/// Who the manager is to the agents, and whom it believes.
pub struct Trust {
    pub identity: Identity,
    /// The agents' authority: certificate and fingerprint of its key.
    pub agents_ca: String,
    pub cluster: Fingerprint,
}

impl Core {
    pub fn new(
        book: Book,
        trust: Trust,
        token: Token,
        patience: Arc<Patience>,
        image_dir: PathBuf,
        network: NetworkView,
    ) -> Arc<Self> {
        let core = Self {
            artifacts: Arc::new(Artifacts::new(book.work().artifacts())),
            signed: Arc::new(Signed::new(book.work().signed())),
            book,
            jobs: Jobs::new(Arc::new(Feed::new(SystemTime::now()))),
            trust,
            token,
            sessions: Sessions::default(),
            patience,
            image_dir,
            registry: Mutex::default(),
            etcd: Mutex::default(),
            network: Mutex::new(network),
            power: tokio::sync::Mutex::default(),
            story: Story::new(),
            wishes: Arc::default(),
            writing: Arc::default(),
            reminded: AtomicBool::new(false),
            scanner: Scanner::default(),
            consoles: Arc::default(),
            shown: watch::Sender::new(Arc::default()),
        };
        core.show();
        Arc::new(core)
    }

    /// The node image as this cluster's machines of that architecture get it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn image(&self, arch: Arch) -> Result<Image, ImageError> {
        let (signed, folder, owner) = (Arc::clone(&self.signed), self.image_dir.clone(), self.signer());
        let image = tokio::task::spawn_blocking(move || signed.image(&folder, arch, owner)).await;
        image.unwrap_or_else(|_| Image::load(&self.image_dir, arch))
    }

    /// Whose signature machines with Secure Boot are to trust.
    pub fn signer(&self) -> Owner {
        let file = self.book.file();
        let cluster = file.cluster();
        let again = match cluster.epochs.of(SecretClass::SecureBoot) {
            FIRST_EPOCH => String::new(),
            epoch => format!(" ({epoch})"),
        };
        Owner { secret: file.keyring().secure_boot(), name: format!("Cairn {}{again}", cluster.name) }
    }

    /// Held for moments only, never over an await.
    pub fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn machine<T>(&self, fingerprint: &Fingerprint, read: impl FnOnce(&mut Machine) -> T) -> Option<T> {
        self.registry().get_mut(fingerprint).map(read)
    }

    pub fn network(&self) -> MutexGuard<'_, NetworkView> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn etcd(&self) -> MutexGuard<'_, EtcdView> {
        self.etcd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A machine announced itself: somebody speaks to it from now on.
    pub fn hear(self: &Arc<Self>, announcement: Announcement) {
        let fingerprint = announcement.fingerprint;
        let heard = self.registry().hear(announcement, Instant::now());
        self.begin(heard, fingerprint);
    }

    /// A machine may be where the cluster file says, though it does not announce itself.
    pub fn suppose(self: &Arc<Self>, announcement: Announcement) {
        let fingerprint = announcement.fingerprint;
        let heard = self.registry().suppose(announcement, Instant::now());
        self.begin(heard, fingerprint);
    }

    fn begin(self: &Arc<Self>, heard: Heard, fingerprint: Fingerprint) {
        if heard == Heard::New {
            tokio::spawn(dial::contact(Arc::clone(self), fingerprint));
        }
    }

    /// A machine described itself.
    pub fn spoke(&self, fingerprint: &Fingerprint, proven: &Proven, description: Description) {
        let phase = description.state.phase();
        self.note_installed(fingerprint, phase);
        let file = self.book.file();
        let node = self.machine(fingerprint, |machine| {
            machine.spoke(proven.clone(), description, Instant::now());
            machine.node(file.cluster())
        });
        if let Some(node) = node.flatten() {
            self.jobs.observe(&node, phase);
        }
    }

    /// The events of an installation may be missed, what comes after it is not.
    fn note_installed(&self, fingerprint: &Fingerprint, phase: Phase) {
        if matches!(phase, Phase::Restarting | Phase::Locked | Phase::Starting | Phase::Running) {
            let note = self.book.note(|journal| {
                if let Some(approval) = journal.approvals.get_mut(fingerprint) {
                    approval.installed = true;
                }
            });
            if let Err(error) = note {
                tracing::warn!(error = cairn_workflow::log::chain(&error), "the journal was not written");
            }
        }
    }

    /// Something did not work; it is shown, and not tried again at once.
    pub fn fail(&self, fingerprint: &Fingerprint, reason: String) {
        tracing::warn!(machine = cairn_wire::fingerprint::short(fingerprint), reason, "refused or failed");
        self.machine(fingerprint, |machine| machine.fail(reason, Instant::now()));
    }

    pub fn status(&self) -> api::Status {
        let file = self.book.file();
        let view = status::View {
            cluster: file.cluster(),
            registry: &self.registry(),
            jobs: &self.jobs,
            etcd: &self.etcd(),
            network: &self.network(),
            wishes: &self.wishes,
            reminded: self.reminded.load(Ordering::Relaxed),
            now: Instant::now(),
            unix_now: unix_now(),
        };
        self.book.journal(|journal| status::status(&view, journal))
    }

    /// The owner knows that the cluster file has changed.
    pub fn reminded(&self) {
        self.reminded.store(true, Ordering::Relaxed);
        self.show();
    }

    /// Tells everyone who follows the status, if it has changed.
    pub fn show(&self) {
        let status = self.status();
        self.shown.send_if_modified(|shown| {
            let changed = **shown != status;
            if changed {
                *shown = Arc::new(status);
            }
            changed
        });
    }

    pub fn shown(&self) -> watch::Receiver<Arc<api::Status>> {
        self.shown.subscribe()
    }
}

/// Seconds since 1970, for what has to survive a restart.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}
