//! What an enrolled node gets: the key of its volume, and news of the cluster.

use crate::copies;
use crate::core::Core;
use crate::enrol::ActError;
use crate::jobs::UNLOCK;
use crate::order;
use cairn_model::cluster::{Fingerprint, Name};
use cairn_wire::client::{Client, ClientError};
use cairn_wire::message::{Keeps, Request, Response};
use cairn_workflow::What;
use uuid::Uuid;

/// The decision has checked that the volume is the enrolled one.
pub async fn unlock(
    core: &Core,
    client: &mut Client,
    key: &Fingerprint,
    node: &Name,
    luks: Uuid,
) -> Result<(), ActError> {
    core.jobs.started(node, UNLOCK);
    let recovery_key = core.book.file().keyring().recovery_key_of(luks).into_secret();
    core.machine(key, |machine| machine.busy = true);
    let answer = client.ask(&Request::Unlock { luks_uuid: luks, key: recovery_key }).await;
    let failures = core.machine(key, |machine| {
        machine.busy = false;
        machine.failures
    });
    match answer {
        Ok(Response::Done) => {
            core.jobs.done(node, UNLOCK);
            // whatever the installation had to remember is in the cluster file now
            core.book.note(|journal| drop(journal.approvals.remove(key)))?;
            Ok(())
        }
        Ok(_) => Err(ClientError::Unexpected.into()),
        Err(error) => {
            if let ClientError::Refused(reason) = &error {
                let attempt = failures.unwrap_or_default().saturating_add(1);
                let (step, reason) = (UNLOCK.to_owned(), reason.clone());
                core.jobs.report(node, What::Retried { step, attempt, reason });
            }
            Err(error.into())
        }
    }
}

/// The newest roster and configuration, and before them the cluster file that they come from, so that no node
/// knows of a generation that none keeps. An agent that refuses them has them already or is older; it is
/// asked again when there are newer ones.
pub async fn configure(
    core: &Core,
    client: &mut Client,
    key: &Fingerprint,
    name: &Name,
    keeps: Option<&Keeps>,
) -> Result<(), ActError> {
    if let Some(keeps) = keeps {
        copies::keep(core, client, keeps).await?;
    }
    let file = core.book.file();
    let Some(node) = file.cluster().node(name) else { return Ok(()) };
    let config = Box::new(order::config(file.cluster(), node));
    let roster = file.keyring().signed_roster()?;
    let answer = client.ask(&Request::Configure { config, roster }).await;
    if matches!(answer, Ok(_) | Err(ClientError::Refused(_))) {
        core.machine(key, |machine| machine.told = Some(file.cluster().generation));
    }
    answer?;
    core.book.note(|journal| journal.approvals.retain(|_, approval| approval.node != *name))?;
    Ok(())
}
