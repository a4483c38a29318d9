//! A running compute node without a machine: what it answers.

use super::identity::Identity;
use super::journal::{self, Journal, place, since_1970};
use anyhow::{Context, Result};
use cairn_model::inventory::{Cpu, Firmware, Interface, Inventory, Product};
use cairn_model::log::{LogQuery, Unit};
use cairn_model::phase::Condition;
use cairn_model::vitals::{Service, ServiceState, Space, Vitals};
use cairn_vault::SignedRoster;
use cairn_wire::AGENT_PORT;
use cairn_wire::message::{
    AgentState, Description, Encryption, Keeps, KeptFile, PROTOCOL, Peer, Request, Response,
};
use cairn_wire::server::{Handler, LogReceiver, serve};
use cairn_wire::tls::{self, Callers};
use cairn_workflow::EventLog;
use cairn_workflow::log::chain;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};

/// Until the last answer has reached the manager.
const LINGER: Duration = Duration::from_millis(500);
/// In a folder of this name a file with a node's name says what is wrong with that node, a fault a line: how tests and
/// people make it say something.
const FAULTS: &str = "faults";
/// Bytes of such a file; what is longer is cut.
const LONGEST_FAULTS: u64 = 1000;

pub struct Agent {
    identity: Identity,
    faults: PathBuf,
    began: Instant,
    kept: Mutex<Option<KeptFile>>,
    journal: watch::Sender<Journal>,
    off: Notify,
}

fn refused(reason: impl Into<String>) -> Response {
    Response::Refused { reason: reason.into() }
}

impl Agent {
    pub fn new(identity: Identity, folder: &Path) -> Arc<Self> {
        let agent = Self {
            faults: folder.join(FAULTS).join(identity.node.as_str()),
            identity,
            began: Instant::now(),
            kept: Mutex::default(),
            journal: watch::Sender::default(),
            off: Notify::new(),
        };
        agent.write(Unit::KERNEL, "no kernel of its own: this node has no machine");
        agent.note("started");
        Arc::new(agent)
    }

    /// Listens from now on; what is returned answers until the node is powered off.
    ///
    /// # Errors
    /// When its address is not there or taken.
    pub async fn listen(self: Arc<Self>) -> Result<impl Future<Output = Result<()>> + Send> {
        let Identity { address, certificate, authority, key, .. } = &self.identity;
        let listener = TcpListener::bind((*address, AGENT_PORT))
            .await
            .with_context(|| format!("{address}:{AGENT_PORT} is not to be had"))?;
        let identity = tls::Identity::from_pem(certificate, key.expose())?;
        let callers = Callers::ManagerOf { ca: authority.clone() };
        Ok(async move {
            let told = async {
                self.off.notified().await;
                tokio::time::sleep(LINGER).await;
            };
            tokio::select! {
                ended = serve(listener, &identity, &callers, Arc::clone(&self)) => Ok(ended?),
                () = told => Ok(()),
            }
        })
    }

    fn write(&self, unit: &str, message: &str) {
        self.journal.send_modify(|journal| journal.write(since_1970(), unit, message));
    }

    fn note(&self, message: &str) {
        self.write(journal::AGENT, message);
    }

    fn kept(&self) -> MutexGuard<'_, Option<KeptFile>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, file: KeptFile) -> Response {
        let mut kept = self.kept();
        if let Some(known) = kept.as_ref().filter(|known| known.generation > file.generation) {
            return refused(format!(
                "this node keeps generation {} of the cluster file, which is newer than {}",
                known.generation, file.generation
            ));
        }
        self.note(&format!("keeps generation {} of the cluster file", file.generation));
        *kept = Some(file);
        Response::Done
    }

    fn configure(&self, roster: &SignedRoster) -> Response {
        match roster.verify(&self.identity.authority) {
            Err(error) => refused(chain(&error)),
            Ok(roster) => {
                self.note(&format!("configured, with roster {}", roster.number));
                Response::Done
            }
        }
    }

    fn power_off(&self) -> Response {
        self.note("powers off");
        self.off.notify_one();
        Response::Done
    }

    fn blink(&self) -> Response {
        self.note("can't blink");
        refused("it has no machine, and so no light")
    }

    fn describe(&self) -> Description {
        let kept = self.kept();
        let keeps = |file: &KeptFile| Keeps { generation: file.generation, hash: file.hash.clone() };
        let vitals = vitals(self.began.elapsed());
        Description {
            protocol: PROTOCOL,
            version: concat!(env!("CARGO_PKG_VERSION"), "+simulated").into(),
            state: AgentState::Running { node: self.identity.node.to_string() },
            conditions: faults(&self.faults).into_iter().map(Condition::fault).collect(),
            inventory: inventory(&self.identity),
            encryption: Encryption { luks_uuid: Some(self.identity.luks), encrypted: true, unlocked: true },
            requests: None,
            boot_certificate: Some(self.identity.boot_certificate.clone()),
            wants: Vec::new(),
            keeps: Some(kept.as_ref().map(keeps).unwrap_or_default()),
            etcd_healthy: None,
            memory_used: vitals.memory_used,
            agent_resident: 5 << 20,
            vitals: Some(vitals),
        }
    }
}

impl Handler for Agent {
    async fn answer(self: Arc<Self>, _: Peer, request: Request) -> Response {
        match request {
            Request::Describe => Response::Description(Box::new(self.describe())),
            Request::Configure { config: _, roster } => self.configure(&roster),
            Request::Keep(file) => self.keep(*file),
            Request::Kept => Response::Kept { file: self.kept().clone().map(Box::new) },
            // it wants nothing, and its clock is the lab's
            Request::Provide { .. } | Request::SetClock { .. } => Response::Done,
            Request::PowerOff => self.power_off(),
            Request::Restart => refused("it has no machine that could restart; power it off"),
            Request::Units => Response::Units { units: self.journal.borrow().units() },
            Request::Blink { .. } => self.blink(),
            Request::Kubeconfig => refused("it has no machine to run k3s"),
            Request::Time => refused("it has no clock of its own"),
            Request::Commit { .. }
            | Request::Reveal { .. }
            | Request::ProveJoin { .. }
            | Request::Enrol(_)
            | Request::Unlock { .. }
            | Request::Follow { .. }
            | Request::Log(_) => refused("this node is running already"),
        }
    }

    fn job(&self) -> Option<EventLog> {
        None
    }

    async fn log(self: Arc<Self>, _: Peer, query: LogQuery) -> Result<LogReceiver, String> {
        let mut after = query.after.as_ref().map(place).transpose()?;
        let mut journal = self.journal.subscribe();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let entries = {
                    let journal = journal.borrow_and_update();
                    let entries = journal.read(&query, after);
                    after = Some(journal.written());
                    entries
                };
                if !entries.is_empty() && sender.send(Ok(entries)).await.is_err() {
                    return;
                }
                let goes_on = query.follow
                    && tokio::select! {
                        changed = journal.changed() => changed.is_ok(),
                        () = sender.closed() => false,
                    };
                if !goes_on {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}

/// None when there is no such file. Read at each look: it is smaller than a page, and nobody has to be told of it.
fn faults(path: &Path) -> Vec<String> {
    let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
    let mut bytes = Vec::new();
    let _ = file.take(LONGEST_FAULTS).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn inventory(identity: &Identity) -> Inventory {
    let [_, second, third, fourth] = identity.address.octets();
    Inventory {
        firmware: Firmware::Uefi { secure_boot: false },
        architecture: "x86_64".into(),
        product: Product { vendor: "Cairn".into(), name: "no machine".into(), serial: String::new() },
        cpu: Cpu { model: "none".into(), cores: 4, aes: true },
        memory_mib: 8192,
        disks: Vec::new(),
        interfaces: vec![Interface {
            name: "eth0".into(),
            mac: format!("52:54:00:{second:02x}:{third:02x}:{fourth:02x}"),
            link: true,
            addresses: vec![identity.address.into()],
        }],
    }
}

/// Those of a node that has little to do.
fn vitals(uptime: Duration) -> Vitals {
    let agent =
        Service { unit: journal::AGENT.into(), state: ServiceState::Active, detail: "running".into() };
    Vitals {
        memory_total: 8 << 30,
        memory_used: 900 << 20,
        load_hundredths: [0; 3],
        uptime_seconds: uptime.as_secs(),
        clock: since_1970().as_secs(),
        clock_known: Some(true),
        data: Some(Space { total: 500 << 30, free: 400 << 30 }),
        data_written: Some(0),
        etcd: None,
        services: vec![agent],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_line_of_a_file_that_need_not_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("compute-1");
        assert!(faults(&path).is_empty());
        std::fs::write(&path, "the disk is full\n\n  it is hot \n").unwrap();
        assert_eq!(faults(&path), ["the disk is full", "it is hot"]);
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        assert_eq!(faults(&path), ["x".repeat(1000)]);
    }
}
