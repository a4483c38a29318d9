//! Follows an agent's installation on a conversation of its own, so that polling goes on beside it.

use crate::core::Core;
use crate::dial::{self, DialError};
use cairn_model::cluster::{Fingerprint, Name};
use cairn_wire::client::ClientError;
use cairn_workflow::What;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const AGAIN: Duration = Duration::from_secs(2);

/// Ends with the conversation that it belongs to.
pub struct Follower {
    /// Which of the machine's orders it follows.
    pub order: u32,
    task: JoinHandle<()>,
}

impl Follower {
    pub fn start(core: &Arc<Core>, machine: Fingerprint, node: Name, order: u32) -> Self {
        Self { order, task: tokio::spawn(follow(Arc::clone(core), machine, node, order)) }
    }

    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(core: Arc<Core>, machine: Fingerprint, node: Name, order: u32) {
    loop {
        match once(&core, &machine, &node, order).await {
            Err(DialError::Client(ClientError::Refused(reason))) => {
                // nothing runs there: the order was refused, or the machine is in its next life
                return tracing::debug!(node = %node, reason, "there is nothing to follow");
            }
            Ok(()) => return,
            Err(error) => {
                let words = cairn_workflow::log::chain(&error);
                tracing::debug!(node = %node, words, "the events of an installation broke off");
            }
        }
        sleep(AGAIN).await;
    }
}

async fn once(core: &Core, machine: &Fingerprint, node: &Name, order: u32) -> Result<(), DialError> {
    let Some((hint, after)) = core.machine(machine, |m| (m.hint.clone(), m.followed)) else { return Ok(()) };
    let (mut client, _) = dial::connect(core, &hint).await?;
    client.start_following(after).await?;
    while let Some(event) = client.next_event().await? {
        if core.machine(machine, |m| m.orders) != Some(order) {
            return Ok(());
        }
        let (number, failed) = (event.number, matches!(event.what, What::Failed { .. }));
        if let What::Failed { error, .. } = &event.what {
            core.fail(machine, format!("the installation failed: {error}"));
        }
        if core.jobs.agent_event(node, event) {
            let note = core.book.note(|journal| {
                if let Some(approval) = journal.approvals.get_mut(machine) {
                    approval.installed = true;
                }
            });
            if let Err(error) = note {
                tracing::warn!(%error, "the journal was not written");
            }
        }
        core.machine(machine, |m| m.followed = number);
        if failed {
            return Ok(());
        }
    }
    Ok(())
}
