//! An agent without a machine: a running compute node that answers as one, at an address of its own.

use anyhow::{Context, Result};
use cairn_model::inventory::{Cpu, Firmware, Interface, Inventory, Product};
use cairn_model::log::LogQuery;
use cairn_model::phase::Condition;
use cairn_model::vitals::{Space, Vitals};
use cairn_vault::file::ClusterFile;
use cairn_vault::{Leaf, PrivateKey, SigningRequest};
use cairn_wire::message::{AgentState, Description, Encryption, Keeps, PROTOCOL, Peer, Request, Response};
use cairn_wire::server::{Handler, LogReceiver, serve};
use cairn_wire::tls::{Callers, Identity};
use cairn_workflow::EventLog;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::net::TcpListener;
use uuid::Uuid;

pub struct Agent {
    node: String,
    luks: Uuid,
    boot_certificate: String,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    conditions: Vec<Condition>,
    keeps: Keeps,
}

impl Agent {
    /// Serves as the enrolled node at this place of the file, until the runtime ends.
    ///
    /// # Errors
    /// When it gets no certificate, or can't listen.
    pub async fn start(
        file: &ClusterFile,
        place: usize,
        boot: &PrivateKey,
        key: &PrivateKey,
    ) -> Result<Arc<Self>> {
        let node = file.cluster().nodes.get(place).context("the file has no such place")?;
        let keyring = file.keyring();
        let boot = keyring.issue(&Leaf::Boot(node.name.clone()), &SigningRequest::of(boot)?)?;
        let own = keyring.issue(&Leaf::Node(node.name.clone()), &SigningRequest::of(key)?)?;
        let identity = Identity::from_pem(&own.certificate_pem, key.to_pem().expose())?;
        let callers = Callers::ManagerOf { ca: own.authority_pem };
        let address: Ipv4Addr = file.cluster().address_of(node);
        let listener = TcpListener::bind((address, cairn_wire::AGENT_PORT)).await?;
        let luks = node.enrolled.as_ref().and_then(|machine| machine.luks).context("it has no volume")?;
        let (node, boot_certificate) = (node.name.to_string(), boot.certificate_pem);
        let agent = Arc::new(Self { node, luks, boot_certificate, now: Mutex::default() });
        let handler = Arc::clone(&agent);
        tokio::spawn(async move { serve(listener, &identity, &callers, handler).await });
        Ok(agent)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn say(&self, condition: Condition) {
        self.now().conditions.push(condition);
    }

    fn describe(&self) -> Description {
        let now = self.now();
        Description {
            protocol: PROTOCOL,
            version: "0.1.0+simulated".into(),
            state: AgentState::Running { node: self.node.clone() },
            conditions: now.conditions.clone(),
            inventory: inventory(),
            encryption: Encryption { luks_uuid: Some(self.luks), encrypted: true, unlocked: true },
            requests: None,
            boot_certificate: Some(self.boot_certificate.clone()),
            wants: Vec::new(),
            keeps: Some(now.keeps.clone()),
            etcd_healthy: None,
            memory_used: 900 << 20,
            agent_resident: 5 << 20,
            vitals: Some(vitals()),
        }
    }
}

impl Handler for Agent {
    async fn answer(self: Arc<Self>, _: Peer, request: Request) -> Response {
        match request {
            Request::Describe => Response::Description(Box::new(self.describe())),
            Request::Keep(file) => {
                self.now().keeps = Keeps { generation: file.generation, hash: file.hash };
                Response::Done
            }
            Request::Configure { .. } => Response::Done,
            _ => Response::Refused { reason: "it has no machine".into() },
        }
    }

    fn job(&self) -> Option<EventLog> {
        None
    }

    async fn log(self: Arc<Self>, _: Peer, _: LogQuery) -> Result<LogReceiver, String> {
        Err("it has no machine".into())
    }
}

fn inventory() -> Inventory {
    Inventory {
        firmware: Firmware::Uefi { secure_boot: false },
        architecture: "x86_64".into(),
        product: Product { vendor: "Cairn".into(), name: "no machine".into(), serial: String::new() },
        cpu: Cpu { model: "none".into(), cores: 4, aes: true },
        memory_mib: 8192,
        disks: Vec::new(),
        interfaces: vec![Interface {
            name: "eth0".into(),
            mac: "52:54:00:00:00:01".into(),
            link: true,
            addresses: Vec::new(),
        }],
    }
}

fn vitals() -> Vitals {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let data = Some(Space { total: 500 << 30, free: 400 << 30 });
    Vitals {
        memory_total: 8 << 30,
        memory_used: 900 << 20,
        uptime_seconds: 3600,
        clock,
        data,
        ..Vitals::default()
    }
}
