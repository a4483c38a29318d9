//! Follows an agent's installation on a conversation of its own, so that polling goes on beside it.

use crate::core::Core;
use crate::dial::{self, DialError};
use cairn_model::cluster::{Fingerprint, Name};
use cairn_workflow::What;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const AGAIN: Duration = Duration::from_secs(2);

/// Ends with the conversation that it belongs to.
pub struct Follower(JoinHandle<()>);

impl Follower {
    pub fn start(core: &Arc<Core>, machine: Fingerprint, node: Name) -> Self {
        Self(tokio::spawn(follow(Arc::clone(core), machine, node)))
    }

    pub fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn follow(core: Arc<Core>, machine: Fingerprint, node: Name) {
    loop {
        match once(&core, &machine, &node).await {
            Ok(()) => return,
            Err(error) => {
                let words = cairn_workflow::log::chain(&error);
                tracing::debug!(node = %node, words, "the events of an installation broke off");
            }
        }
        sleep(AGAIN).await;
    }
}

async fn once(core: &Core, machine: &Fingerprint, node: &Name) -> Result<(), DialError> {
    let Some((hint, after)) = core.machine(machine, |m| (m.hint.clone(), m.followed)) else { return Ok(()) };
    let (mut client, _) = dial::connect(core, &hint).await?;
    client.start_following(after).await?;
    while let Some(event) = client.next_event().await? {
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
