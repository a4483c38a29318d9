//! What a machine in its initrd answers the manager.

use super::{End, Machine};
use crate::initrd::start::Start;
use crate::{clock, memory, version, vitals};
use cairn_model::log::LogQuery;
use cairn_model::secret::Secret;
use cairn_vault::join;
use cairn_vault::leaf::MANAGER_NAME;
use cairn_wire::code::{Commitment, Nonce};
use cairn_wire::fingerprint;
use cairn_wire::message::{AgentState, Description, PROTOCOL, Peer, Request, Response};
use cairn_wire::server::{Handler, LogReceiver};
use cairn_wire::tls;
use cairn_workflow::EventLog;
use cairn_workflow::log::chain;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const STRANGER: &str = "only the manager that this machine trusts may do that";

pub(super) fn refused(reason: impl ToString) -> Response {
    Response::Refused { reason: reason.to_string() }
}

pub(crate) fn set_clock(unix_ms: u64) -> Response {
    match clock::set(Duration::from_millis(unix_ms)) {
        Ok(()) => Response::Done,
        Err(error) => refused(chain(&error)),
    }
}

impl Machine {
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
            keeps: None,
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
            Request::SetClock { unix_ms } if machine.may_control(&peer) => set_clock(unix_ms),
            Request::SetClock { .. } => refused(STRANGER),
            Request::Unlock { luks_uuid, key } => machine.unlock(luks_uuid, &key),
            Request::Restart if machine.may_control(&peer) => machine.end_with(End::Restart),
            Request::PowerOff if machine.may_control(&peer) => machine.end_with(End::PowerOff),
            Request::Restart | Request::PowerOff => refused(STRANGER),
            Request::Blink { seconds } => machine.blink.answer(seconds),
            Request::Kubeconfig => refused("this machine is not running yet"),
            Request::Units if machine.may_control(&peer) => machine.journal.answer_units(),
            Request::Units => refused(STRANGER),
            Request::Configure { .. }
            | Request::Provide { .. }
            | Request::Keep(_)
            | Request::Kept
            | Request::Time => refused("this machine is not running yet"),
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
