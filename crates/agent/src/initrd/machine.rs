//! A machine in its initrd: its state, and what it says on its console. [`answer`] is what it says to the
//! manager, [`enrolment`] how it becomes a node.

mod answer;
mod enrolment;

use crate::LINGER;
use crate::blink::Blink;
use crate::boot::BootDisk;
use crate::console::say;
use crate::initrd::exchange::Exchange;
use crate::initrd::start::Start;
use crate::journal::Journal;
use crate::volume::{self, VolumeError};
use crate::{boot, inventory};
use cairn_model::cluster::Fingerprint;
use cairn_model::inventory::Inventory;
use cairn_model::phase::Condition;
use cairn_model::secret::Secret;
use cairn_vault::RecoveryKey;
use cairn_vault::join::Onto;
use cairn_wire::message::{AgentState, Encryption};
use cairn_workflow::EventLog;
use cairn_workflow::log::chain;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A disk that was plugged into a machine that waits is seen within this time.
const INVENTORY_LASTS: Duration = Duration::from_secs(20);

const TAKE_OUT: &str = "the installation is complete: take the installer stick out, and the machine restarts";

/// How this life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    SwitchRoot,
    Restart,
    PowerOff,
}

pub struct Machine {
    start: Start,
    disk: Option<BootDisk>,
    fingerprint: Fingerprint,
    began: Instant,
    journal: Journal,
    blink: Blink,
    inventory: inventory::Kept,
    now: Mutex<Now>,
    end: watch::Sender<Option<End>>,
}

/// What changes while the machine lives in its initrd.
struct Now {
    state: AgentState,
    exchange: Exchange,
    job: Option<EventLog>,
    boot_certificate: Option<String>,
    conditions: Vec<Condition>,
    /// The disk that this very agent found fit and began to write: what is on it now is its own.
    begun: Option<String>,
}

impl Machine {
    pub fn new(start: Start, disk: Option<BootDisk>, fingerprint: Fingerprint) -> Self {
        let (state, boot_certificate) = match &start {
            Start::Fresh { .. } => (AgentState::Fresh, None),
            Start::Joining { material, .. } => {
                (AgentState::Joining { node: material.terms.node.to_string() }, None)
            }
            Start::Locked { identity } => {
                (AgentState::Locked { node: identity.node.clone() }, Some(identity.certificate.clone()))
            }
        };
        let now = Now {
            state,
            exchange: Exchange::default(),
            job: None,
            boot_certificate,
            conditions: Vec::new(),
            begun: None,
        };
        Self {
            start,
            disk,
            fingerprint,
            began: Instant::now(),
            journal: Journal::default(),
            blink: Blink::default(),
            inventory: inventory::Kept::new(INVENTORY_LASTS),
            now: Mutex::new(now),
            end: watch::Sender::new(None),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn state(&self) -> AgentState {
        self.now().state.clone()
    }

    pub fn is_locked(&self) -> bool {
        matches!(self.state(), AgentState::Locked { .. })
    }

    /// Waits for the end of this life.
    pub async fn ended(&self) -> End {
        let mut end = self.end.subscribe();
        loop {
            if let Some(end) = *end.borrow_and_update() {
                return end;
            }
            if end.changed().await.is_err() {
                return End::Restart;
            }
        }
    }

    fn end_soon(&self, how: End) {
        let sender = self.end.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LINGER).await;
            sender.send_replace(Some(how));
        });
    }

    /// Says on the console what the machine waits for.
    pub fn explain(&self) {
        let now = self.now();
        match (&now.state, &self.start) {
            (AgentState::Fresh, _) => match now.exchange.agreed() {
                Some(agreed) => say(&format!("to approve this machine compare the code {}", agreed.code)),
                None => say("this machine belongs to no cluster yet; waiting for a manager on this network"),
            },
            (AgentState::Joining { node }, Start::Joining { material, .. })
                if material.terms.onto == Onto::InnerDisk =>
            {
                say(&format!(
                    "{node} waits for its manager, and is installed on the inner disk that is blank; if there is none or more than one, name the disk on the manager's page"
                ));
            }
            (AgentState::Restarting { .. }, Start::Joining { .. }) => say(TAKE_OUT),
            (AgentState::Joining { node }, _) => say(&format!("{node} waits for its manager to be enrolled")),
            (AgentState::Locked { node }, Start::Locked { identity }) => say(&format!(
                "{node} is locked: waiting for the manager of `{}` ({}) to send its key; its recovery key can be typed here",
                identity.cluster, identity.manager_address
            )),
            _ => {}
        }
    }

    /// A line from the console.
    pub fn typed(&self, line: &str) {
        if !self.is_locked() {
            return;
        }
        match RecoveryKey::parse(line) {
            Err(error) => say(&error.to_string()),
            Ok(key) => match self.open_volume(&key.into_secret()) {
                Err(error) => say(&chain(&error)),
                Ok(()) => {
                    self.unlocked();
                    self.end.send_replace(Some(End::SwitchRoot));
                }
            },
        }
    }

    fn data_partition(&self) -> Option<PathBuf> {
        boot::partition(&self.disk.as_ref()?.path, 6)
    }

    fn open_volume(&self, key: &Secret) -> Result<(), VolumeError> {
        let partition = self.data_partition().unwrap_or_default();
        volume::open(&partition, key)
    }

    fn unlocked(&self) {
        let mut now = self.now();
        if let Some(node) = now.state.node().map(str::to_owned) {
            say(&format!("{node} is unlocked and starts"));
            now.state = AgentState::Starting { node };
        }
        drop(now);
        if let Some(Err(error)) = self.disk.as_ref().map(BootDisk::count_attempt) {
            say(&format!("the boot counter can't be written: {}", chain(&error)));
        }
    }

    fn encryption(&self) -> Encryption {
        let unlocked = volume::open_volume_uuid();
        let header = self.data_partition().as_deref().and_then(volume::header_uuid);
        let own = match &self.start {
            Start::Fresh { luks_uuid, .. } | Start::Joining { luks_uuid, .. } => Some(*luks_uuid),
            Start::Locked { .. } => header,
        };
        Encryption { luks_uuid: own, encrypted: header.is_some(), unlocked: unlocked.is_some() }
    }

    fn inventory(&self) -> Inventory {
        self.inventory.look(self.disk.as_ref().map(|disk| disk.path.as_path()))
    }

    /// What the medium that it was started from is for.
    fn medium(&self) -> Option<Onto> {
        match &self.start {
            Start::Joining { material, .. } => Some(material.terms.onto),
            Start::Fresh { .. } | Start::Locked { .. } => None,
        }
    }
}
