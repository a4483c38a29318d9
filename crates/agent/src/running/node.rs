//! A running node: what it looks after, and its answers to the manager.

use crate::LINGER;
use crate::blink::Blink;
use crate::boot::BootDisk;
use crate::clock::{self, ClockError};
use crate::command::{self, CommandError};
use crate::console::say;
use crate::journal::Journal;
use crate::running::shelf::Shelf;
use crate::running::{etcd, k3s};
use crate::state::NodeState;
use crate::{files, inventory, memory, version, vitals, volume};
use cairn_model::cluster::Role;
use cairn_model::etcd::EtcdVitals;
use cairn_model::log::LogQuery;
use cairn_model::node_config::{K3sRole, NodeConfig};
use cairn_model::phase::{Condition, ConditionKind};
use cairn_model::vitals::Vitals;
use cairn_vault::SignedRoster;
use cairn_wire::message::{
    AgentState, Artifact, Description, Encryption, Keeps, KeptFile, PROTOCOL, Peer, Request, Response,
};
use cairn_wire::server::{Handler, LogReceiver};
use cairn_workflow::EventLog;
use cairn_workflow::log::chain;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// A disk that was plugged into a running node is seen within this time.
const INVENTORY_LASTS: Duration = Duration::from_secs(120);
/// The manager asks every two seconds; a small machine has more to do than to count.
const VITALS_LAST: Duration = Duration::from_secs(10);

pub struct Node {
    state: NodeState,
    journal: Journal,
    shelf: Arc<Shelf>,
    blink: Blink,
    /// The disk that this node was started from, once it is found.
    own_disk: OnceLock<BootDisk>,
    /// The system stops: services that it ends are not started again.
    going: AtomicBool,
    inventory: inventory::Kept,
    now: Mutex<Now>,
    /// Held while a copy of the cluster file is compared and replaced.
    keeps: Mutex<Keeps>,
}

struct Now {
    config: NodeConfig,
    conditions: Vec<Condition>,
    etcd_healthy: Option<bool>,
    /// When its database was last rewritten, in minutes since 1970.
    etcd_shrunk: Option<u64>,
    looked: bool,
    vitals: Option<(Instant, Vitals)>,
}

fn refused(reason: impl ToString) -> Response {
    Response::Refused { reason: reason.to_string() }
}

impl Node {
    pub fn new(state: NodeState, shelf: Arc<Shelf>, config: NodeConfig) -> Self {
        let now = Now {
            config,
            conditions: Vec::new(),
            etcd_healthy: None,
            etcd_shrunk: None,
            looked: false,
            vitals: None,
        };
        let keeps = state.kept().map(|file| mark(&file)).unwrap_or_default();
        Self {
            state,
            keeps: Mutex::new(keeps),
            journal: Journal::default(),
            blink: Blink::default(),
            shelf,
            own_disk: OnceLock::new(),
            going: AtomicBool::new(false),
            inventory: inventory::Kept::new(INVENTORY_LASTS),
            now: Mutex::new(now),
        }
    }

    /// Looks once for the disk that this node was started from, which may take without end: meanwhile the node
    /// does all else.
    pub fn find_own_disk(self: &Arc<Self>, find: impl FnOnce() -> Option<BootDisk> + Send + 'static) {
        let node = Arc::clone(self);
        std::thread::spawn(move || {
            if let Some(disk) = find() {
                let _ = node.own_disk.set(disk);
                // was taken without it
                node.inventory.forget();
            }
        });
    }

    pub fn own_disk(&self) -> Option<&BootDisk> {
        self.own_disk.get()
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn config(&self) -> NodeConfig {
        self.now().config.clone()
    }

    /// Nothing that this node has to do by itself is in a bad way. Whether etcd has its quorum depends
    /// on others and does not count.
    pub fn is_sound(&self) -> bool {
        let now = self.now();
        now.looked && now.conditions.iter().all(|c| c.kind == ConditionKind::Waiting)
    }

    /// One look at what the node is for.
    pub fn look_after(&self) {
        if self.going.load(Ordering::Relaxed) {
            return;
        }
        let config = self.config();
        let (conditions, etcd_healthy) = match config.role {
            Role::Etcd => {
                let looked = look_after_etcd(&config);
                if looked.1 == Some(true) {
                    self.shrink_etcd(&config);
                }
                looked
            }
            Role::Compute => (look_after_k3s(&config, &self.shelf), None),
            Role::Backup => (vec![Condition::waiting("backups come with a later version of Cairn")], None),
        };
        let mut now = self.now();
        now.conditions = conditions;
        now.etcd_healthy = etcd_healthy;
        now.looked = true;
    }

    fn shrink_etcd(&self, config: &NodeConfig) {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let minute = since_1970.as_secs() / 60;
        if !etcd::may_shrink(config, minute, self.now().etcd_shrunk) {
            return;
        }
        let Some(vitals) = etcd::vitals().filter(|vitals| etcd::should_shrink(config, vitals)) else {
            return;
        };
        // also when it fails: what did not work now works no better in a moment
        self.now().etcd_shrunk = Some(minute);
        match etcd::shrink(config) {
            Ok(()) => tracing::info!(before = vitals.database, "etcd gave unused room back"),
            Err(error) => tracing::warn!(because = chain(&error), "etcd could not give unused room back"),
        }
    }

    /// Answers first, because an answer that is lost looks like a fault.
    fn go_down(self: &Arc<Self>, verb: &'static str) -> Response {
        self.going.store(true, Ordering::Relaxed);
        let node = Arc::clone(self);
        std::thread::spawn(move || {
            std::thread::sleep(LINGER);
            if let Err(error) = command::run("systemctl", &["--no-block", verb], b"") {
                node.going.store(false, Ordering::Relaxed);
                say(&format!("`systemctl {verb}` failed: {}", chain(&error)));
            }
        });
        Response::Done
    }

    fn vitals(&self) -> Vitals {
        if let Some((taken, vitals)) = &self.now().vitals
            && taken.elapsed() < VITALS_LAST
        {
            // a clock that stands still would look like a wrong one
            let passed = taken.elapsed().as_secs();
            let (clock, uptime_seconds) =
                (vitals.clock.saturating_add(passed), vitals.uptime_seconds.saturating_add(passed));
            return Vitals { clock, uptime_seconds, ..vitals.clone() };
        }
        let services = match self.now().config.role {
            Role::Etcd => ["cairn-agent.service", etcd::UNIT].as_slice(),
            Role::Compute => &["cairn-agent.service", k3s::UNIT],
            Role::Backup => &["cairn-agent.service"],
        };
        let mut vitals = vitals::take(services, Some(Path::new("/var")));
        if self.now().config.role == Role::Etcd {
            vitals.etcd = etcd::vitals().map(|etcd| EtcdVitals { drive: self.state.write_latency(), ..etcd });
        }
        self.now().vitals = Some((Instant::now(), vitals.clone()));
        vitals
    }

    fn describe(&self) -> Response {
        let inventory = self.inventory.look(self.own_disk().map(|disk| disk.path.as_path()));
        let luks_uuid = volume::open_volume_uuid();
        let vitals = self.vitals();
        let now = self.now();
        Response::Description(Box::new(Description {
            protocol: PROTOCOL,
            version: version(),
            state: AgentState::Running { node: now.config.name.clone() },
            conditions: now.conditions.clone(),
            inventory,
            encryption: Encryption {
                luks_uuid,
                encrypted: luks_uuid.is_some(),
                unlocked: luks_uuid.is_some(),
            },
            requests: None,
            boot_certificate: self.state.text("boot.crt").ok(),
            wants: now.config.k3s.as_ref().map(|k3s| self.shelf.wants(k3s)).unwrap_or_default(),
            keeps: Some(self.keeps().clone()),
            etcd_healthy: now.etcd_healthy,
            memory_used: memory::used(),
            agent_resident: memory::own(),
            vitals: Some(vitals),
        }))
    }

    fn kubeconfig(&self) -> Response {
        let now = self.now();
        let Some(wanted) = &now.config.k3s else { return refused("it is no compute node") };
        if matches!(wanted.role, K3sRole::Agent { .. }) {
            return refused("it runs k3s as an agent; a server has the kubeconfig");
        }
        if let Some(condition) = now.conditions.first() {
            return refused(&condition.message);
        }
        match k3s::kubeconfig(now.config.address) {
            Ok(text) => Response::Kubeconfig { text },
            Err(error) => refused(chain(&error)),
        }
    }

    fn configure(&self, config: NodeConfig, roster: &SignedRoster) -> Response {
        let number = match self.state.text("agents-ca.crt").map_err(|e| chain(&e)) {
            Err(reason) => return refused(reason),
            Ok(ca) => match roster.verify(&ca) {
                Err(error) => return refused(chain(&error)),
                Ok(roster) => roster.number,
            },
        };
        let known = self.state.roster_number();
        if number < known {
            return refused(format!("this node knows generation {known}, which is newer than {number}"));
        }
        if config.name != self.now().config.name {
            return refused("this configuration is another node's");
        }
        if let Err(error) = self.state.configure(&config, roster) {
            return refused(chain(&error));
        }
        self.now().config = config;
        Response::Done
    }

    fn keeps(&self) -> MutexGuard<'_, Keeps> {
        self.keeps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, file: &KeptFile) -> Response {
        let mut keeps = self.keeps();
        if file.generation < keeps.generation {
            return refused(format!(
                "this node keeps generation {} of the cluster file, which is newer than {}",
                keeps.generation, file.generation
            ));
        }
        if let Err(error) = self.state.keep(file) {
            return refused(chain(&error));
        }
        *keeps = mark(file);
        Response::Done
    }

    /// # Errors
    /// When that can't be the time, and when the kernel refuses.
    pub fn set_clock(&self, since_1970: Duration) -> Result<(), ClockError> {
        clock::set(since_1970)?;
        // was taken with the old one
        self.now().vitals = None;
        if let Err(error) = clock::remember() {
            tracing::warn!(because = chain(&error), "the time can't be remembered");
        }
        Ok(())
    }

    fn provide(&self, artifacts: Vec<Artifact>) -> Response {
        let k3s = self.now().config.k3s.clone();
        if let Some(k3s) = k3s {
            self.shelf.take(&k3s, artifacts);
        }
        Response::Done
    }
}

fn mark(file: &KeptFile) -> Keeps {
    Keeps { generation: file.generation, hash: file.hash.clone() }
}

/// Writes a file only when it changes, and says whether it did.
fn place(path: &str, content: &str) -> std::io::Result<bool> {
    let path = Path::new(path);
    if std::fs::read_to_string(path).is_ok_and(|known| known == content) {
        return Ok(false);
    }
    files::write_with_mode(path, content.as_bytes(), 0o644)?;
    Ok(true)
}

fn is_active(unit: &str) -> bool {
    command::run("systemctl", &["is-active", "--quiet", unit], b"").is_ok()
}

fn systemctl(verb: &str, unit: &str) -> Result<(), CommandError> {
    command::run("systemctl", &[verb, "--no-block", unit], b"").map(drop)
}

fn look_after_etcd(config: &NodeConfig) -> (Vec<Condition>, Option<bool>) {
    if !etcd::may_start(config.etcd_founding, etcd::has_data()) {
        let text = "this etcd member lost its data and waits to be added to the cluster again";
        return (vec![Condition::fault(text)], Some(false));
    }
    if let Err(error) = place(etcd::CONFIG_FILE, &etcd::configuration(config)) {
        return (vec![Condition::fault(format!("etcd can't be configured: {error}"))], Some(false));
    }
    if etcd::healthy() {
        return (Vec::new(), Some(true));
    }
    // Starting a unit that starts already changes nothing.
    match systemctl("start", etcd::UNIT) {
        Err(error) => (vec![Condition::fault(format!("etcd can't be started: {error}"))], Some(false)),
        Ok(()) => (vec![Condition::waiting("etcd waits for a majority of its members")], Some(false)),
    }
}

fn look_after_k3s(config: &NodeConfig, shelf: &Shelf) -> Vec<Condition> {
    let Some(wanted) = &config.k3s else { return Vec::new() };
    let placed = place(k3s::CONFIG_FILE, &k3s::configuration(config, wanted))
        .and_then(|_| place(k3s::ENVIRONMENT_FILE, &k3s::environment(wanted)));
    if let Err(error) = placed {
        return vec![Condition::fault(format!("k3s can't be configured: {error}"))];
    }
    let waiting = shelf.waiting(wanted);
    if !waiting.is_empty() {
        return waiting.into_iter().map(Condition::waiting).collect();
    }
    let state = k3s::start_state(config, wanted);
    let started = std::fs::read_to_string(k3s::STARTED_FILE).ok();
    let Some(verb) = k3s::due(is_active(k3s::UNIT), started.as_deref(), &state) else { return Vec::new() };
    // before the restart: one that can't be written down would come every time
    if let Err(error) = place(k3s::STARTED_FILE, &state) {
        return vec![Condition::fault(format!("k3s can't be started: {error}"))];
    }
    match systemctl(verb, k3s::UNIT) {
        Err(error) => {
            let _ = std::fs::remove_file(k3s::STARTED_FILE);
            vec![Condition::fault(format!("k3s can't be started: {error}"))]
        }
        Ok(()) => vec![Condition::waiting("k3s is starting")],
    }
}

impl Handler for Node {
    async fn answer(self: Arc<Self>, _peer: Peer, request: Request) -> Response {
        let node = self;
        let blocking = move || match request {
            Request::Describe => node.describe(),
            Request::Configure { config, roster } => node.configure(*config, &roster),
            Request::Keep(file) => node.keep(&file),
            Request::Kept => Response::Kept { file: node.state.kept().map(Box::new) },
            Request::Provide { artifacts } => node.provide(artifacts),
            Request::Restart => node.go_down("reboot"),
            Request::PowerOff => node.go_down("poweroff"),
            Request::Units => node.journal.answer_units(),
            Request::SetClock { unix_ms } => match node.set_clock(Duration::from_millis(unix_ms)) {
                Ok(()) => Response::Done,
                Err(error) => refused(chain(&error)),
            },
            Request::Time => clock::tell(),
            Request::Blink { seconds } => node.blink.answer(seconds),
            Request::Kubeconfig => node.kubeconfig(),
            Request::Commit { .. }
            | Request::Reveal { .. }
            | Request::ProveJoin { .. }
            | Request::Enrol(_)
            | Request::Unlock { .. }
            | Request::Follow { .. }
            | Request::Log(_) => refused("this node is running already"),
        };
        match tokio::task::spawn_blocking(blocking).await {
            Ok(response) => response,
            Err(error) => refused(format!("the agent failed: {error}")),
        }
    }

    fn job(&self) -> Option<EventLog> {
        None
    }

    async fn log(self: Arc<Self>, _peer: Peer, query: LogQuery) -> Result<LogReceiver, String> {
        self.journal.read(&query)
    }
}
