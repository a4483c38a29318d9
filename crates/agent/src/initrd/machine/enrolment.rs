//! From the order to the node: who may give it, whether it may be carried out, and carrying it out.

use super::answer::refused;
use super::{End, Machine, TAKE_OUT};
use crate::boot;
use crate::console::say;
use crate::initrd::enrol::{self, Facts, root_hash};
use crate::initrd::install;
use crate::initrd::start::Start;
use cairn_model::phase::Condition;
use cairn_vault::join::Onto;
use cairn_vault::leaf::MANAGER_NAME;
use cairn_wire::message::{AgentState, EnrolOrder, Peer, Response, Target};
use cairn_wire::tls;
use cairn_workflow::EventLog;
use cairn_workflow::log::chain;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How soon it is seen that the installer stick is out.
const STICK_POLL: Duration = Duration::from_millis(500);

impl Machine {
    /// Which CA the owner approved, if this caller is its manager.
    pub(super) fn trusted_ca(&self, peer: &Peer) -> Result<String, &'static str> {
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
        let command_line = boot::command_line();
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

    pub(super) fn enrol(self: &Arc<Self>, peer: &Peer, mut order: EnrolOrder) -> Response {
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

    /// Waits until the installer stick is taken out: with it the next start would find the system twice.
    async fn without_stick(&self) {
        let name = self.disk.as_ref().and_then(|disk| disk.path.file_name());
        let Some(device) = name.map(|name| Path::new("/sys/block").join(name)) else { return };
        while device.exists() {
            tokio::time::sleep(STICK_POLL).await;
        }
    }
}
