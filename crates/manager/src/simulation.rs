//! Agents without a machine: real TLS on loopback, for tests of the whole path.

use crate::api::{self, ApproveRequest, Status};
use crate::book::Book;
use crate::core::Core;
use crate::decide::tests::{inventory, sample_disk};
use crate::journal::Journal;
use crate::network::NetworkView;
use crate::workdir::WorkDir;
use crate::{open, run};
use cairn_artifacts::{Client, Patience, Want};
use cairn_model::cluster::{Fingerprint, Name};
use cairn_model::inventory::Disk;
use cairn_model::log::{LogEntry, LogQuery};
use cairn_model::phase::Phase;
use cairn_model::vitals::{Space, Vitals};
use cairn_vault::PrivateKey;
use cairn_vault::file::{ClusterFile, Passphrase, disk};
use cairn_vault::join::{JoinMaterial, proof};
use cairn_wire::announce::Announcement;
use cairn_wire::code::{Commitment, Nonce, ShortCode, commit};
use cairn_wire::fingerprint;
use cairn_wire::message::{
    AgentState, CertificateRequests, Certificates, Description, Encryption, EnrolOrder, ImageFile, PROTOCOL,
    Peer, Request, Response, Target, Wanted, install_steps,
};
use cairn_wire::server::{Handler, LogReceiver, serve};
use cairn_wire::tls::{Callers, Identity, pem_to_der};
use cairn_workflow::{EventLog, Plan, What};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

/// A manager on temporary folders, without sockets of its own.
pub struct Lab {
    pub core: Arc<Core>,
    pub show: JoinHandle<()>,
}

pub fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery staple").unwrap()
}

/// A cluster file in the folder, with a place for an etcd node and one for a compute node.
pub fn new_file(folder: &Path) -> ClusterFile {
    new_file_for(folder, 1, 1)
}

pub fn new_file_for(folder: &Path, etcd: u8, compute: u8) -> ClusterFile {
    let file = ClusterFile::new("home".parse().unwrap(), etcd, compute, 0).unwrap();
    disk::create(&folder.join("home.cairn"), &file.seal(&passphrase()).unwrap()).unwrap();
    let image = folder.join("image");
    std::fs::create_dir(&image).unwrap();
    let entry = r#"{"size":1,"sha256":"00"}"#;
    let files: Vec<String> = crate::image::FILES.iter().map(|name| format!("\"{name}\":{entry}")).collect();
    let hash = "ab".repeat(32);
    let files = files.join(",");
    let manifest =
        format!(r#"{{"version":"0.1.0+abababab","arch":"x86-64","root_hash":"{hash}","files":{{{files}}}}}"#);
    std::fs::write(image.join("manifest.json"), manifest).unwrap();
    file
}

impl Lab {
    /// Opens the folder's file with this working directory, as [`crate::run`] does.
    pub fn start(folder: &Path, work: &str) -> Self {
        let work = WorkDir::open(&folder.join(work)).unwrap();
        let token = work.token().unwrap();
        let given = disk::load(&folder.join("home.cairn")).unwrap();
        let book = open::book(Some(&given), passphrase(), Arc::new(work)).unwrap();
        let trust = open::trust(&book.file()).unwrap();
        let network = NetworkView { image_url: Some("http://127.0.0.1:1".into()), ..NetworkView::default() };
        let core = Core::new(book, trust, token, Arc::default(), folder.join("image"), network);
        Self { show: tokio::spawn(run::show(Arc::clone(&core))), core }
    }

    /// Waits until what is shown is so.
    pub async fn until(&self, what: &str, so: impl Fn(&Status) -> bool) -> Status {
        let mut shown = self.core.shown();
        let found = timeout(Duration::from_secs(60), shown.wait_for(|status| so(status))).await;
        match found {
            Ok(status) => status.unwrap().as_ref().clone(),
            Err(_) => panic!("did not come to pass: {what}; {:#?}", self.core.status()),
        }
    }

    pub async fn until_node(&self, node: &str, phase: Phase) -> Status {
        let so = |status: &Status| status.nodes.iter().any(|n| n.name == node && n.phase == phase);
        self.until(&format!("{node} is {phase}"), so).await
    }

    pub async fn until_code(&self) -> api::MachineStatus {
        let status = self.until("a code", |status| status.machines.iter().any(|m| m.code.is_some())).await;
        status.machines.into_iter().find(|m| m.code.is_some()).unwrap()
    }

    pub async fn approve(
        &self,
        id: &str,
        code: &str,
        node: &str,
    ) -> Result<api::ApproveResponse, api::Problem> {
        let request = ApproveRequest {
            code: code.to_owned(),
            node: Some(node.to_owned()),
            ..ApproveRequest::default()
        };
        Ok(api::give(&self.core, id, &request).await?)
    }

    /// Ends without closing anything in order, as SIGKILL would; the working directory is free afterwards.
    pub async fn kill(self) {
        self.show.abort();
        self.core.registry().forget_all();
        while Arc::strong_count(&self.core) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

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
    wants: Vec<Wanted>,
    /// What it was told to fetch, and what that was.
    fetched: Vec<(Wanted, String)>,
    /// The next installation breaks off at once, for this reason.
    breaks: Option<String>,
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

    /// Where its order said that the system goes.
    pub fn target(&self) -> Option<Target> {
        self.now().target.clone()
    }

    pub fn break_next_installation(&self, reason: &str) {
        self.now().breaks = Some(reason.to_owned());
    }

    pub fn want(&self, wanted: Wanted) {
        self.now().wants.push(wanted);
    }

    pub fn fetched(&self) -> Vec<(Wanted, String)> {
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
                Response::Description(Box::new(Description {
                    protocol: PROTOCOL,
                    version: "0.1.0+abababab".into(),
                    state: now.state.clone().unwrap(),
                    conditions: Vec::new(),
                    inventory: inventory(self.disks.clone()),
                    encryption: Encryption { luks_uuid: Some(self.luks), encrypted, unlocked: now.unlocked },
                    requests: Some(requests).filter(|_| now.certificates.is_none()),
                    boot_certificate: now.certificates.as_ref().map(|c| c.boot.clone()),
                    wants: now.wants.clone(),
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
            Request::PowerOff | Request::Restart => Response::Done,
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

/// All that the folder's journal remembers.
pub fn journal(folder: &Path, work: &str) -> Journal {
    Journal::load(&folder.join(work).join("journal.json")).unwrap()
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// What the book in the folder says now.
pub fn enrolled_boot(book: &Book, node: &str) -> Option<Fingerprint> {
    book.file().cluster().node(&name(node)).unwrap().enrolled.as_ref().map(|machine| machine.boot)
}
