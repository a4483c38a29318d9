//! A machine that an agent would run on: its keys, its lives, and what it answers.

use super::Lab;
use crate::decide::tests::{inventory, sample_disk};
use cairn_artifacts::{Client, Patience, Want};
use cairn_model::cluster::Fingerprint;
use cairn_model::inventory::{Disk, Firmware};
use cairn_model::log::{LogEntry, LogQuery};
use cairn_model::vitals::{Space, Vitals};
use cairn_vault::PrivateKey;
use cairn_vault::join::{JoinMaterial, proof};
use cairn_wire::announce::Announcement;
use cairn_wire::code::{Commitment, Nonce, ShortCode, commit};
use cairn_wire::fingerprint;
use cairn_wire::message::{
    AgentState, CertificateRequests, Certificates, Description, Encryption, EnrolOrder, ImageFile, Keeps,
    KeptFile, PROTOCOL, Peer, Request, Response, Target, Wanted, install_steps,
};
use cairn_wire::server::{Handler, LogReceiver, serve};
use cairn_wire::tls::{Callers, Identity, pem_to_der};
use cairn_workflow::{EventLog, Plan, What};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

/// A machine's keys and what it has got so far; it lives through its restarts.
pub struct Agent {
    pub boot: PrivateKey,
    node: PrivateKey,
    etcd: PrivateKey,
    luks: Uuid,
    join: Option<JoinMaterial>,
    disks: Vec<Disk>,
    now: Mutex<Now>,
    /// Its journal: unit and message.
    pub journal: watch::Sender<Vec<(String, String)>>,
}

#[derive(Default)]
struct Now {
    state: Option<AgentState>,
    commitment: Option<(Commitment, Nonce)>,
    code: Option<ShortCode>,
    job: Option<EventLog>,
    certificates: Option<Certificates>,
    target: Option<Target>,
    recovery_key: Option<cairn_model::secret::Secret>,
    kubeconfig: Option<cairn_model::secret::Secret>,
    unlocked: bool,
    configured: u32,
    kept: Option<KeptFile>,
    wants: Vec<Wanted>,
    /// What it was told to fetch, and what that was.
    fetched: Vec<(Wanted, String)>,
    /// The next installation breaks off at once, for this reason.
    breaks: Option<String>,
    /// It was started as a BIOS does.
    bios: bool,
}

impl Agent {
    pub fn new(join: Option<JoinMaterial>, disks: Vec<Disk>) -> Arc<Self> {
        let [boot, node, etcd] = [(); 3].map(|()| PrivateKey::generate().unwrap());
        let state = match &join {
            Some(material) => AgentState::Joining { node: material.terms.node.to_string() },
            None => AgentState::Fresh,
        };
        let now = Mutex::new(Now { state: Some(state), ..Now::default() });
        let journal = watch::Sender::default();
        Arc::new(Self { boot, node, etcd, luks: Uuid::new_v4(), join, disks, now, journal })
    }

    pub fn blank(join: Option<JoinMaterial>) -> Arc<Self> {
        Self::new(join, vec![sample_disk("virtio-a")])
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap()
    }

    pub fn code(&self) -> Option<String> {
        self.now().code.as_ref().map(ToString::to_string)
    }

    pub fn has_anything(&self) -> bool {
        let now = self.now();
        now.certificates.is_some() || now.recovery_key.is_some()
    }

    pub fn state(&self) -> AgentState {
        self.now().state.clone().unwrap()
    }

    /// Which generation of the cluster file it keeps; 0 for none.
    pub fn keeps(&self) -> u64 {
        self.now().kept.as_ref().map_or(0, |file| file.generation)
    }

    /// Where its order said that the system goes.
    pub fn target(&self) -> Option<Target> {
        self.now().target.clone()
    }

    pub fn has_no_uefi(&self) {
        self.now().bios = true;
    }

    pub fn break_next_installation(&self, reason: &str) {
        self.now().breaks = Some(reason.to_owned());
    }

    pub fn want(&self, wanted: Wanted) {
        self.now().wants.push(wanted);
    }

    /// What it fetched, once it has fetched anything. The manager is done with it a moment earlier.
    pub async fn fetched(&self) -> Vec<(Wanted, String)> {
        timeout(Duration::from_secs(60), async {
            while self.now().fetched.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
        self.now().fetched.clone()
    }

    pub fn write_kubeconfig(&self, text: &str) {
        self.now().kubeconfig = Some(cairn_model::secret::Secret::new(text.to_owned()));
    }

    pub fn become_state(&self, state: AgentState) {
        self.now().state = Some(state);
    }

    fn identity(&self) -> (Identity, Fingerprint) {
        let now = self.now();
        let pem = |certificate: &str, key: &PrivateKey| {
            (Identity::from_pem(certificate, key.to_pem().expose()).unwrap(), key.fingerprint())
        };
        match (&now.state, &now.certificates) {
            (Some(AgentState::Locked { .. } | AgentState::Starting { .. }), Some(c)) => {
                pem(&c.boot, &self.boot)
            }
            (Some(AgentState::Running { .. }), Some(c)) => pem(&c.node, &self.node),
            _ => (Identity::self_signed(&self.boot).unwrap(), self.boot.fingerprint()),
        }
    }

    /// Switched on: listens, and is heard by the manager. Off again when the handle is aborted.
    pub async fn power_on(self: &Arc<Self>, lab: &Lab) -> Power {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (identity, fingerprint) = self.identity();
        let handler = Arc::clone(self);
        let serving = tokio::spawn(async move {
            serve(listener, &identity, &Callers::Anyone, handler).await.unwrap();
        });
        let state = self.state();
        lab.core.hear(Announcement {
            fingerprint,
            phase: state.phase(),
            node: state.node().map(str::to_owned),
            port,
            addresses: vec!["127.0.0.1".parse().unwrap()],
        });
        Power { serving, fingerprint }
    }

    /// Waits until the machine itself has come this far.
    pub async fn until(&self, so: impl Fn(&AgentState) -> bool) {
        timeout(Duration::from_secs(60), async {
            while !so(&self.state()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
    }

    pub async fn until_configured(&self) {
        timeout(Duration::from_secs(60), async {
            while self.now().configured == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
    }

    fn enrol(&self, order: EnrolOrder) -> Response {
        let EnrolOrder { config, target, certificates, luks_uuid, recovery_key, k3s_token: _, roster } =
            order;
        assert_eq!(luks_uuid, self.luks);
        let roster = roster.verify(&certificates.agents_ca).unwrap();
        assert!(roster.member_with_key(&self.boot.fingerprint()).is_some());
        let boot = pem_to_der(&certificates.boot).unwrap();
        assert_eq!(fingerprint::of_certificate(&boot).unwrap(), self.boot.fingerprint());
        let log = EventLog::new();
        let steps = install_steps(&target);
        let plan = Plan::new("install", &config.name, steps.clone());
        log.emit(What::Planned { plan });
        let mut now = self.now();
        now.job = Some(log.clone());
        for step in steps {
            log.emit(What::Started { step: step.id.clone() });
            if let Some(error) = now.breaks.take() {
                log.emit(What::Failed { step: step.id, error });
                return Response::Done;
            }
            log.emit(What::Done { step: step.id });
        }
        now.certificates = Some(certificates);
        now.target = Some(target);
        now.recovery_key = Some(recovery_key);
        now.state = Some(AgentState::Installing { node: config.name });
        Response::Done
    }

    /// The installation comes to its end.
    pub fn finish_install(&self) {
        let mut now = self.now();
        let node = now.state.as_ref().and_then(|s| s.node()).unwrap().to_owned();
        now.job.as_ref().unwrap().emit(What::Finished);
        now.state = Some(AgentState::Restarting { node });
    }

    pub fn restart_into(&self, state: fn(String) -> AgentState) {
        let mut now = self.now();
        let node = now.state.as_ref().and_then(|s| s.node()).unwrap().to_owned();
        now.state = Some(state(node));
    }
}

/// Fetches and checks a file as a node does.
fn fetched_text(file: &ImageFile) -> String {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file");
    let want = Want { url: file.url.clone(), sum: file.sha256.parse().unwrap(), size: Some(file.size) };
    cairn_artifacts::fetch(&Client::direct(Patience::default()), &want, &target, &mut |_| {}).unwrap();
    std::fs::read_to_string(target).unwrap()
}

/// A machine that is switched on.
pub struct Power {
    serving: JoinHandle<()>,
    pub fingerprint: Fingerprint,
}

impl Power {
    pub fn cut(self, lab: &Lab) {
        self.serving.abort();
        lab.core.registry().forget_one(&self.fingerprint);
    }
}

impl Handler for Agent {
    async fn answer(self: Arc<Self>, peer: Peer, request: Request) -> Response {
        match request {
            Request::Describe => {
                let now = self.now();
                let request = |key: &PrivateKey| key.signing_request().unwrap();
                let requests = CertificateRequests {
                    boot: request(&self.boot),
                    node: request(&self.node),
                    etcd: request(&self.etcd),
                };
                let encrypted = now.certificates.is_some();
                let mut inventory = inventory(self.disks.clone());
                if now.bios {
                    inventory.firmware = Firmware::Other;
                }
                Response::Description(Box::new(Description {
                    protocol: PROTOCOL,
                    version: "0.1.0+abababab".into(),
                    state: now.state.clone().unwrap(),
                    conditions: Vec::new(),
                    inventory,
                    encryption: Encryption { luks_uuid: Some(self.luks), encrypted, unlocked: now.unlocked },
                    requests: Some(requests).filter(|_| now.certificates.is_none()),
                    boot_certificate: now.certificates.as_ref().map(|c| c.boot.clone()),
                    wants: now.wants.clone(),
                    keeps: Some(
                        now.kept
                            .as_ref()
                            .map(|file| Keeps { generation: file.generation, hash: file.hash.clone() })
                            .unwrap_or_default(),
                    ),
                    etcd_healthy: None,
                    memory_used: 200 << 20,
                    agent_resident: 9 << 20,
                    vitals: Some(vitals()),
                }))
            }
            Request::Commit { commitment } => {
                let nonce = [5; 16];
                self.now().commitment = Some((commitment, nonce));
                Response::Nonce { nonce }
            }
            Request::Reveal { nonce, ca_certificate } => {
                let ca = fingerprint::of_certificate(&pem_to_der(&ca_certificate).unwrap()).unwrap();
                let mut now = self.now();
                let Some((commitment, own)) = now.commitment.take() else {
                    return Response::Refused { reason: "commit first".into() };
                };
                assert_eq!(commitment, commit(&nonce, &ca));
                now.code = Some(ShortCode::new(&self.boot.fingerprint(), &ca, &own, &nonce));
                Response::Done
            }
            Request::ProveJoin { nonce } => match &self.join {
                None => Response::Refused { reason: "no join key here".into() },
                Some(material) => Response::JoinProof {
                    terms: material.terms.clone(),
                    proof: proof(material, &self.boot.public_key_der(), &nonce),
                },
            },
            Request::Enrol(order) => self.enrol(*order),
            Request::Unlock { luks_uuid, key } => {
                let mut now = self.now();
                assert_eq!(luks_uuid, self.luks);
                if now.recovery_key.as_ref() != Some(&key) {
                    return Response::Refused { reason: "this key does not open the volume".into() };
                }
                now.unlocked = true;
                let node = now.state.as_ref().and_then(|s| s.node()).unwrap().to_owned();
                now.state = Some(AgentState::Starting { node });
                Response::Done
            }
            Request::Configure { roster, .. } => {
                let mut now = self.now();
                let ca = now.certificates.as_ref().unwrap().agents_ca.clone();
                assert!(roster.verify(&ca).is_ok());
                now.configured += 1;
                Response::Done
            }
            Request::Keep(file) => {
                self.now().kept = Some(*file);
                Response::Done
            }
            Request::Kept => Response::Kept { file: self.now().kept.clone().map(Box::new) },
            Request::Follow { .. } => unreachable!("the server answers it for {}", peer.fingerprint),
            Request::Provide { artifacts } => {
                let mut fetched = Vec::new();
                for artifact in artifacts {
                    let file = artifact.file.clone();
                    let got = tokio::task::spawn_blocking(move || fetched_text(&file)).await.unwrap();
                    fetched.push((artifact.wanted, got));
                }
                let mut now = self.now();
                now.wants.retain(|wanted| !fetched.iter().any(|(got, _)| got == wanted));
                now.fetched.extend(fetched);
                Response::Done
            }
            // its clock does not keep the time
            Request::PowerOff | Request::Restart | Request::SetClock { .. } => Response::Done,
            Request::Time => {
                Response::Refused { reason: "nodes are not simulated talking to each other".into() }
            }
            Request::Units => {
                let units = self.journal.borrow().iter().map(|(unit, _)| unit.parse().unwrap()).collect();
                Response::Units { units }
            }
            Request::Blink { .. } => Response::Blinking { light: "the network socket eth0".into() },
            Request::Kubeconfig => match self.now().kubeconfig.clone() {
                Some(text) => Response::Kubeconfig { text },
                None => Response::Refused { reason: "waiting for artifact k3s v1".into() },
            },
            Request::Log(_) => unreachable!("the server answers it for {}", peer.fingerprint),
        }
    }

    fn job(&self) -> Option<EventLog> {
        self.now().job.clone()
    }

    async fn log(self: Arc<Self>, _: Peer, query: LogQuery) -> Result<LogReceiver, String> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut journal = self.journal.subscribe();
            let mut after = query.after.clone();
            loop {
                let entries = entries(&journal.borrow_and_update(), &query, after.as_ref());
                if let Some(last) = entries.last() {
                    after = Some(last.cursor.clone());
                    let _ = sender.send(Ok(entries)).await;
                }
                let ended = async {
                    tokio::select! {
                        changed = journal.changed() => changed.is_err(),
                        () = sender.closed() => true,
                    }
                };
                if !query.follow || ended.await {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}

/// As a node answers: the last so many, or all after a cursor, which is an entry's number.
fn entries(
    journal: &[(String, String)],
    query: &LogQuery,
    after: Option<&cairn_model::log::Cursor>,
) -> Vec<LogEntry> {
    let first = after.map_or(0, |cursor| cursor.as_str().parse::<usize>().unwrap() + 1);
    let wanted = |unit: &str| query.unit.as_ref().is_none_or(|wanted| wanted.as_str() == unit);
    let numbered = journal.iter().enumerate().skip(first).filter(|(_, (unit, _))| wanted(unit));
    let entries: Vec<LogEntry> = numbered
        .map(|(number, (unit, message))| LogEntry {
            cursor: number.to_string().parse().unwrap(),
            time_us: 1_700_000_000_000_000,
            unit: Some(unit.clone()),
            identifier: None,
            priority: Some(6),
            message: message.clone(),
            cut: false,
        })
        .collect();
    let skipped = if after.is_some() { 0 } else { entries.len().saturating_sub(query.lines as usize) };
    entries[skipped..].to_vec()
}

fn vitals() -> Vitals {
    Vitals {
        memory_total: 480 << 20,
        memory_used: 200 << 20,
        uptime_seconds: 60,
        clock: crate::core::unix_now() + 3600,
        data: Some(Space { total: 5 << 30, free: 4 << 30 }),
        ..Vitals::default()
    }
}
