//! The machine as the manager talks to it: its state, and its answers.

use crate::blink::Blink;
use crate::boot::BootDisk;
use crate::console::say;
use crate::initrd::LINGER;
use crate::initrd::enrol::{self, Facts, root_hash};
use crate::initrd::exchange::Exchange;
use crate::initrd::install;
use crate::initrd::start::Start;
use crate::journal::Journal;
use crate::volume::{self, VolumeError};
use crate::{boot, inventory, memory, version, vitals};
use cairn_model::cluster::Fingerprint;
use cairn_model::inventory::Inventory;
use cairn_model::log::LogQuery;
use cairn_model::phase::Condition;
use cairn_model::secret::Secret;
use cairn_vault::join::Onto;
use cairn_vault::leaf::MANAGER_NAME;
use cairn_vault::{RecoveryKey, join};
use cairn_wire::code::{Commitment, Nonce};
use cairn_wire::fingerprint;
use cairn_wire::message::{
    AgentState, Description, Encryption, EnrolOrder, PROTOCOL, Peer, Request, Response, Target,
};
use cairn_wire::server::{Handler, LogReceiver};
use cairn_wire::tls;
use cairn_workflow::EventLog;
use cairn_workflow::log::chain;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::Uuid;

/// Disks come and go, but looking at them costs megabytes of reading.
const INVENTORY_LASTS: Duration = Duration::from_secs(20);

const STRANGER: &str = "only the manager that this machine trusts may do that";

/// How soon it is seen that the installer stick is out.
const STICK_POLL: Duration = Duration::from_millis(500);
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
    inventory: Option<(Instant, Inventory)>,
    /// The disk that this very agent found fit and began to write: what is on it now is its own.
    begun: Option<String>,
}

fn refused(reason: impl ToString) -> Response {
    Response::Refused { reason: reason.to_string() }
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
            inventory: None,
            begun: None,
        };
        Self {
            start,
            disk,
            fingerprint,
            began: Instant::now(),
            journal: Journal::default(),
            blink: Blink::default(),
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
        if let Some((taken, inventory)) = &self.now().inventory
            && taken.elapsed() < INVENTORY_LASTS
        {
            return inventory.clone();
        }
        let inventory = inventory::take(self.disk.as_ref().map(|d| d.path.as_path()));
        self.now().inventory = Some((Instant::now(), inventory.clone()));
        inventory
    }

    fn describe(&self) -> Response {
        let requests = match &self.start {
            Start::Fresh { keys, .. } | Start::Joining { keys, .. } => match keys.requests() {
                Ok(requests) => Some(requests),
                Err(error) => return refused(chain(&error)),
            },
            Start::Locked { .. } => None,
        };
        let inventory = self.inventory();
        let encryption = self.encryption();
        let vitals = vitals::take(&[], None);
        let now = self.now();
        Response::Description(Box::new(Description {
            protocol: PROTOCOL,
            version: version(),
            state: now.state.clone(),
            conditions: now.conditions.clone(),
            inventory,
            encryption,
            requests,
            boot_certificate: now.boot_certificate.clone(),
            wants: Vec::new(),
            etcd_healthy: None,
            memory_used: memory::used(),
            agent_resident: memory::own(),
            vitals: Some(vitals),
        }))
    }

    fn commit(&self, commitment: Commitment) -> Response {
        let mut nonce: Nonce = [0; 16];
        if let Err(error) = getrandom::fill(&mut nonce) {
            return refused(error);
        }
        let mut now = self.now();
        if now.state != AgentState::Fresh {
            return refused("this machine waits for no approval");
        }
        match now.exchange.begin(commitment, nonce, self.began.elapsed()) {
            Ok(nonce) => Response::Nonce { nonce },
            Err(error) => refused(error),
        }
    }

    fn reveal(&self, peer: &Peer, nonce: &Nonce, ca_pem: &str) -> Response {
        let Ok(ca) = tls::pem_to_der(ca_pem).and_then(|der| Ok(fingerprint::of_certificate(&der)?)) else {
            return refused("what was revealed is no certificate");
        };
        if !tls::issued_for(ca_pem, &peer.certificate, MANAGER_NAME) {
            return refused("the caller is not the manager of the cluster that it names");
        }
        let result = self.now().exchange.reveal(&self.fingerprint, &ca, ca_pem, nonce);
        match result {
            Ok(_) => {
                self.explain();
                Response::Done
            }
            Err(error) => refused(error),
        }
    }

    fn prove_join(&self, nonce: &[u8; 32]) -> Response {
        let Start::Joining { keys, material, .. } = &self.start else {
            return refused("this machine was not started from a prepared medium");
        };
        let proof = join::proof(material, &keys.boot.public_key_der(), nonce);
        Response::JoinProof { terms: material.terms.clone(), proof }
    }

    fn unlock(&self, luks_uuid: Uuid, key: &Secret) -> Response {
        if !self.is_locked() {
            return refused("this machine does not wait for a key");
        }
        let here = self.encryption().luks_uuid;
        if here != Some(luks_uuid) {
            let words = here.map_or_else(
                || "there is no encrypted volume".to_owned(),
                |uuid| format!("the volume here is {uuid}"),
            );
            return refused(format!("the key is for the volume {luks_uuid}, but {words}"));
        }
        match self.open_volume(key) {
            Ok(()) => {
                self.unlocked();
                Response::Done
            }
            Err(error) => refused(chain(&error)),
        }
    }

    /// Which CA the owner approved, if this caller is its manager.
    fn trusted_ca(&self, peer: &Peer) -> Result<String, &'static str> {
        match &self.start {
            // TLS let in nobody else than the manager of the medium's CA.
            Start::Joining { material, .. } => Ok(material.authority_pem.clone()),
            Start::Fresh { .. } => {
                let now = self.now();
                let agreed = now.exchange.agreed().ok_or("no code was exchanged with this machine")?;
                if tls::issued_for(&agreed.ca, &peer.certificate, MANAGER_NAME) {
                    Ok(agreed.ca.clone())
                } else {
                    Err("another manager than this caller exchanged codes with this machine last")
                }
            }
            Start::Locked { .. } => Err("this machine is a node already"),
        }
    }

    /// Whether an order may be carried out; the state is taken by the first that may.
    fn accept(&self, peer: &Peer, order: &EnrolOrder) -> Result<Option<EventLog>, String> {
        let ca = self.trusted_ca(peer)?;
        let (keys, luks_uuid) = match &self.start {
            Start::Fresh { keys, luks_uuid } | Start::Joining { keys, luks_uuid, .. } => (keys, *luks_uuid),
            Start::Locked { .. } => return Err("this machine is a node already".into()),
        };
        let inventory = self.inventory();
        let command_line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let facts = Facts {
            keys,
            luks_uuid,
            trusted_ca: &ca,
            medium: self.medium(),
            inventory: &inventory,
            root_hash: root_hash(&command_line),
        };
        enrol::check(order, &facts).map_err(|e| e.to_string())?;
        let mut now = self.now();
        match &now.state {
            AgentState::Fresh | AgentState::Joining { .. } => {}
            // The manager lost the answer, or its memory: the job goes on.
            AgentState::Installing { node } if *node == order.config.name => return Ok(None),
            other => return Err(format!("this machine is {} already", other.phase())),
        }
        let log = EventLog::new();
        now.job = Some(log.clone());
        // What the last attempt failed of says nothing about this one.
        now.conditions.clear();
        now.state = AgentState::Installing { node: order.config.name.clone() };
        now.boot_certificate = Some(order.certificates.boot.clone());
        Ok(Some(log))
    }

    fn enrol(self: &Arc<Self>, peer: &Peer, mut order: EnrolOrder) -> Response {
        if let Target::Disk { id, wipe, .. } | Target::InnerDisk { id, wipe } = &mut order.target {
            *wipe |= self.now().begun.as_deref() == Some(id);
        }
        let log = match self.accept(peer, &order) {
            Err(reason) => return refused(reason),
            Ok(None) => return Response::Done,
            Ok(Some(log)) => log,
        };
        say(&format!("approved as {}: installing", order.config.name));
        let machine = Arc::clone(self);
        tokio::spawn(async move {
            let worker = Arc::clone(&machine);
            let done = tokio::task::spawn_blocking(move || worker.install(&order, &log)).await;
            if matches!(done, Ok(true)) {
                let how = match machine.medium() {
                    Some(Onto::Medium) => End::SwitchRoot,
                    Some(Onto::InnerDisk) => {
                        machine.without_stick().await;
                        End::Restart
                    }
                    None => End::Restart,
                };
                machine.end_soon(how);
            }
        });
        Response::Done
    }

    /// Runs the job; `true` when the machine is a node now.
    fn install(&self, order: &EnrolOrder, log: &EventLog) -> bool {
        let node = order.config.name.clone();
        let (Start::Fresh { keys, .. } | Start::Joining { keys, .. }) = &self.start else { return false };
        let begin = |id: &str| self.now().begun = Some(id.to_owned());
        let result = install::install(order, keys, self.disk.as_ref(), log, begin);
        let mut now = self.now();
        match result {
            Ok(()) => {
                let restart = self.medium() != Some(Onto::Medium);
                say(&format!("{node} is installed and {}", if restart { "restarts" } else { "starts" }));
                now.state =
                    if restart { AgentState::Restarting { node } } else { AgentState::Starting { node } };
                if self.medium() == Some(Onto::InnerDisk) {
                    now.conditions = vec![Condition::waiting(TAKE_OUT)];
                    say(TAKE_OUT);
                }
                true
            }
            Err(error) => {
                let text = chain(&error);
                say(&format!("the installation of {node} failed: {text}"));
                now.conditions = vec![Condition::fault(format!("the installation failed: {text}"))];
                now.boot_certificate = None;
                now.state = match &self.start {
                    Start::Joining { .. } => AgentState::Joining { node },
                    _ => AgentState::Fresh,
                };
                false
            }
        }
    }

    /// What the medium that it was started from is for.
    fn medium(&self) -> Option<Onto> {
        match &self.start {
            Start::Joining { material, .. } => Some(material.terms.onto),
            Start::Fresh { .. } | Start::Locked { .. } => None,
        }
    }

    /// Waits until the installer stick is taken out: with it the next start would find the system twice.
    async fn without_stick(&self) {
        let name = self.disk.as_ref().and_then(|disk| disk.path.file_name());
        let Some(device) = name.map(|name| Path::new("/sys/block").join(name)) else { return };
        while device.exists() {
            tokio::time::sleep(STICK_POLL).await;
        }
    }

    fn end_with(&self, how: End) -> Response {
        self.end_soon(how);
        Response::Done
    }

    fn may_control(&self, peer: &Peer) -> bool {
        match &self.start {
            Start::Fresh { .. } => self.trusted_ca(peer).is_ok(),
            Start::Joining { .. } | Start::Locked { .. } => true,
        }
    }
}

/// The handler is a thin shell: everything that blocks runs beside the one thread of the runtime.
impl Handler for Machine {
    async fn answer(self: Arc<Self>, peer: Peer, request: Request) -> Response {
        let machine = Arc::clone(&self);
        let blocking = move || match request {
            Request::Describe => machine.describe(),
            Request::Commit { commitment } => machine.commit(commitment),
            Request::Reveal { nonce, ca_certificate } => machine.reveal(&peer, &nonce, &ca_certificate),
            Request::ProveJoin { nonce } => machine.prove_join(&nonce),
            Request::Enrol(order) => machine.enrol(&peer, *order),
            Request::Unlock { luks_uuid, key } => machine.unlock(luks_uuid, &key),
            Request::Restart if machine.may_control(&peer) => machine.end_with(End::Restart),
            Request::PowerOff if machine.may_control(&peer) => machine.end_with(End::PowerOff),
            Request::Restart | Request::PowerOff => refused(STRANGER),
            Request::Blink { seconds } => machine.blink.answer(seconds),
            Request::Kubeconfig => refused("this machine is not running yet"),
            Request::Units if machine.may_control(&peer) => machine.journal.answer_units(),
            Request::Units => refused(STRANGER),
            Request::Configure { .. } | Request::Provide { .. } => refused("this machine is not running yet"),
            Request::Follow { .. } | Request::Log(_) => refused("nothing to follow"),
        };
        let response = match tokio::task::spawn_blocking(blocking).await {
            Ok(response) => response,
            Err(error) => refused(format!("the agent failed: {error}")),
        };
        if matches!(response, Response::Done) && matches!(self.state(), AgentState::Starting { .. }) {
            self.end_soon(End::SwitchRoot);
        }
        response
    }

    fn job(&self) -> Option<EventLog> {
        self.now().job.clone()
    }

    async fn log(self: Arc<Self>, peer: Peer, query: LogQuery) -> Result<LogReceiver, String> {
        if self.may_control(&peer) { self.journal.read(&query) } else { Err(STRANGER.to_owned()) }
    }
}
