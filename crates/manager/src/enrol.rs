//! A machine becomes a node: the code, the join key, the order.

use crate::approve::ApproveError;
use crate::book::{BookError, TakeUpError};
use crate::core::{Core, unix_now};
use crate::image::ImageError;
use crate::jobs::{self, APPROVE, CERTIFICATES};
use crate::join;
use crate::journal::{Approval, JournalError, Way};
use crate::order::{OrderError, Requests, order};
use cairn_model::cluster::{Cluster, EditError, Fingerprint, Name};
use cairn_vault::join::{Claim, JoinError, Onto, verify};
use cairn_wire::client::{Client, ClientError};
use cairn_wire::code::{Nonce, ShortCode, commit};
use cairn_wire::message::{Description, Request, Response, Target};
use tokio::time::Instant;
use uuid::Uuid;

#[derive(Debug, thiserror::Error)]
pub enum ActError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Book(#[from] BookError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Disk(#[from] ApproveError),
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Architecture(#[from] cairn_layout::LayoutError),
    #[error("the operating system gave no random numbers")]
    Random(#[source] getrandom::Error),
    #[error(
        "it brings forward a join key for '{brought}' and says that it is '{said}'; prepare the medium again"
    )]
    JoinForAnother { brought: Name, said: Name },
    #[error("it sent no certificate requests; switch it off and on again")]
    NoRequests,
    #[error(
        "there is nothing that it could fetch the system from: network boot does not run. Connect machine and manager with a cable of their own, or use a prepared medium"
    )]
    NoImageServer,
    #[error("the manager did not go on from the newer cluster file")]
    TakeUp(#[from] TakeUpError),
    #[error("the roster for it could not be signed")]
    Roster(#[from] cairn_vault::RosterError),
}

fn random<const N: usize>() -> Result<[u8; N], ActError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(ActError::Random)?;
    Ok(bytes)
}

/// Commit, then reveal: afterwards both sides can show the code.
pub async fn exchange(core: &Core, client: &mut Client, key: &Fingerprint) -> Result<(), ActError> {
    let nonce: Nonce = random()?;
    let commitment = commit(&nonce, &core.trust.cluster);
    let Response::Nonce { nonce: theirs } = client.ask(&Request::Commit { commitment }).await? else {
        return Err(ClientError::Unexpected.into());
    };
    let reveal = Request::Reveal { nonce, ca_certificate: core.trust.agents_ca.clone() };
    let Response::Done = client.ask(&reveal).await? else { return Err(ClientError::Unexpected.into()) };
    let code = ShortCode::new(key, &core.trust.cluster, &theirs, &nonce);
    core.machine(key, |machine| machine.code = Some(code));
    Ok(())
}

/// A prepared medium's machine proves its join key; that is its approval.
pub async fn join(
    core: &Core,
    client: &mut Client,
    description: &Description,
    key: &Fingerprint,
    said: &Name,
) -> Result<(), ActError> {
    let nonce: [u8; 32] = random()?;
    let Response::JoinProof { terms, proof } = client.ask(&Request::ProveJoin { nonce }).await? else {
        return Err(ClientError::Unexpected.into());
    };
    let requests = description.requests.as_ref().ok_or(ActError::NoRequests)?;
    let public_key_der = Requests::check(requests, key)?.boot.public_key_der();
    let file = core.book.file();
    let uses = {
        let (registry, now) = (core.registry(), Instant::now());
        let is_reached = |other: &Fingerprint| registry.get(other).is_some_and(|m| m.is_reached(now));
        core.book.journal(|journal| join::uses(file.cluster(), journal, &terms, is_reached))
    };
    let claim = Claim { terms: &terms, public_key_der: &public_key_der, nonce: &nonce, proof: &proof };
    verify(&claim, &core.trust.cluster, &file.keyring().join_key(&terms), &uses, unix_now())?;
    if terms.node != *said {
        return Err(ActError::JoinForAnother { brought: terms.node, said: said.clone() });
    }
    let holder =
        file.cluster().node(said).and_then(|node| node.enrolled.as_ref()).map(|machine| machine.boot);
    if terms.onto == Onto::InnerDisk {
        core.machine(key, |machine| machine.chooses = Some(said.clone()));
    }
    let way =
        core.book.journal(|journal| join::way(&terms, journal.approvals.get(key), &description.inventory))?;
    core.book.note(|journal| {
        let replaces = holder.filter(|holder| holder != key);
        journal.approve(*key, Approval::new(said.clone(), way.clone(), replaces));
        if let Some(medium) = journal.media.get_mut(&terms.key_id) {
            medium.used_by = Some(*key);
        }
    })?;
    enrol(core, client, description, key, said, &way).await
}

/// Writes the machine into the cluster file, on disk too, and only then sends it the order: a crash in
/// between leaves an entry that the same machine takes up again.
pub async fn enrol(
    core: &Core,
    client: &mut Client,
    description: &Description,
    key: &Fingerprint,
    name: &Name,
    way: &Way,
) -> Result<(), ActError> {
    let requests = description.requests.as_ref().ok_or(ActError::NoRequests)?;
    let requests = Requests::check(requests, key)?;
    let luks = description.encryption.luks_uuid.ok_or(ActError::NoRequests)?;
    let target = target(core, way, &description.inventory.architecture).await?;
    core.jobs.plan(jobs::install_plan(name, &target));
    core.jobs.done(name, APPROVE);
    core.jobs.started(name, CERTIFICATES);
    let replaces = core.book.journal(|journal| journal.approvals.get(key).and_then(|a| a.replaces));
    let node_key = requests.node.fingerprint();
    let change = |cluster| place(cluster, name, *key, node_key, luks, replaces);
    let file = core.book.change(change).await?;
    let macs: Vec<String> = description.inventory.interfaces.iter().map(|i| i.mac.clone()).collect();
    core.book.note(|journal| {
        journal.macs.retain(|_, node| node != name);
        journal.macs.extend(macs.into_iter().map(|mac| (mac, name.clone())));
    })?;
    let node = file.cluster().node(name).ok_or_else(|| EditError::NoSuchNode(name.clone()));
    let node = node.map_err(|error| BookError::from(cairn_vault::file::NextError::from(error)))?;
    let order = order(&file, node, &requests, luks, target)?;
    core.jobs.done(name, CERTIFICATES);
    core.machine(key, |machine| {
        machine.orders = machine.orders.saturating_add(1);
        machine.followed = 0;
    });
    let answer = client.ask(&Request::Enrol(Box::new(order))).await;
    if matches!(answer, Err(ClientError::Refused(_))) {
        // perhaps it forgot whom it exchanged codes with
        core.machine(key, |machine| machine.code = None);
    }
    match answer? {
        Response::Done => {
            core.machine(key, |machine| machine.told = Some(file.cluster().generation));
            Ok(())
        }
        _ => Err(ClientError::Unexpected.into()),
    }
}

async fn target(core: &Core, way: &Way, architecture: &str) -> Result<Target, ActError> {
    let (id, wipe) = match way {
        Way::Medium => return Ok(Target::Medium),
        Way::InnerDisk { id, wipe } => return Ok(Target::InnerDisk { id: id.clone(), wipe: *wipe }),
        Way::Disk { id, wipe } => (id, wipe),
    };
    let base = core.network().image_base().ok_or(ActError::NoImageServer)?;
    let source = Box::new(core.image(architecture.parse()?).await?.source(&base)?);
    Ok(Target::Disk { id: id.clone(), wipe: *wipe, source })
}

fn place(
    mut cluster: Cluster,
    name: &Name,
    boot: Fingerprint,
    node: Fingerprint,
    luks: Uuid,
    replaces: Option<Fingerprint>,
) -> Result<Cluster, EditError> {
    if let Some(node) = cluster.nodes.iter_mut().find(|node| node.name == *name)
        && node.enrolled.as_ref().is_some_and(|holder| Some(holder.boot) == replaces)
    {
        node.enrolled = None;
    }
    cluster.with_enrolled(name, boot)?.with_node_key(name, node)?.with_volume(name, luks)
}

/// Writes down an identity that this cluster issued and the file does not know.
pub async fn adopt(
    core: &Core,
    name: &Name,
    boot: Fingerprint,
    running: Option<Fingerprint>,
    luks: Option<Uuid>,
) -> Result<(), ActError> {
    core.book
        .write_down(|cluster| {
            let mut cluster = cluster.with_enrolled(name, boot)?;
            if let Some(running) = running {
                cluster = cluster.with_node_key(name, running)?;
            }
            match luks {
                Some(luks) => cluster.with_volume(name, luks),
                None => Ok(cluster),
            }
        })
        .await?;
    tracing::info!(node = %name, "took up a node that this cluster had enrolled before");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::{cluster, key};

    #[test]
    fn a_place_is_given_once_or_to_who_replaces_its_holder() {
        let name: Name = "etcd-1".parse().unwrap();
        let luks = Uuid::from_u128(1);
        let first = place(cluster(), &name, key(1), key(2), luks, None).unwrap();
        assert_eq!(place(first.clone(), &name, key(1), key(2), luks, None).unwrap(), first);
        let error = place(first.clone(), &name, key(3), key(4), luks, None).unwrap_err();
        assert_eq!(error, EditError::PlaceTaken(name.clone()));
        let replaced = place(first, &name, key(3), key(4), Uuid::from_u128(2), Some(key(1))).unwrap();
        assert_eq!(replaced.node(&name).unwrap().enrolled.as_ref().unwrap().boot, key(3));
    }
}
