//! One task per machine: finds it, asks what it is, and does what [`decide`] says.

use crate::core::{Core, unix_now};
use crate::decide::{self, Action, Facts, Proven};
use crate::follow::Follower;
use crate::{artifacts, clock, copies, enrol, network, unlock};
use cairn_model::cluster::{Cluster, Fingerprint, Name};
use cairn_model::phase::Phase;
use cairn_vault::Leaf;
use cairn_wire::announce::Announcement;
use cairn_wire::client::{Client, ClientError};
use cairn_wire::message::{Description, Request, Response};
use cairn_wire::tls::Expect;
use cairn_workflow::log::chain;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How often a machine is asked, and how soon it is dialled again.
const POLL: Duration = Duration::from_secs(2);
/// A machine may have several addresses of which only one leads anywhere; each gets this head start.
const STAGGER: Duration = Duration::from_millis(400);

#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("it announced no address")]
    NoAddress,
    #[error("another machine answered at its address")]
    AnotherKey,
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Speaks to a machine until it is forgotten.
pub async fn contact(core: Arc<Core>, fingerprint: Fingerprint) {
    while let Some((hint, wake)) = core.machine(&fingerprint, |m| (m.hint.clone(), Arc::clone(&m.wake))) {
        let ended = match connect(&core, &hint).await {
            Ok((client, proven)) => converse(&core, &fingerprint, client, &proven).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            let words = chain(&error);
            tracing::debug!(machine = cairn_wire::fingerprint::short(&fingerprint), words, "not reached");
            core.machine(&fingerprint, |machine| {
                machine.error = Some(words);
                machine.busy = false;
            });
        }
        let _ = timeout(POLL, wake.notified()).await;
    }
}

/// What it proves when the handshake succeeds.
enum Claim {
    Key,
    Boot(Name),
    Node(Name),
}

impl Claim {
    fn proven(self, key: Fingerprint) -> Proven {
        match self {
            Self::Key => Proven::Key(key),
            Self::Boot(node) => Proven::Boot { node, key },
            Self::Node(node) => Proven::Node { node, key },
        }
    }
}

/// What has to be proven, by what the machine says of itself.
fn expect(hint: &Announcement, ca: &str) -> (Expect, Claim) {
    let node = hint.node.as_deref().and_then(|node| node.parse::<Name>().ok());
    let named = |name| Expect::Named { ca: ca.to_owned(), name };
    match (hint.phase, node) {
        (Phase::Locked | Phase::Starting, Some(node)) => (named(Leaf::boot_name(&node)), Claim::Boot(node)),
        (Phase::Running, Some(node)) => (named(Leaf::node_name(&node)), Claim::Node(node)),
        _ => (Expect::Key(hint.fingerprint), Claim::Key),
    }
}

/// Where it may be: where it says, and at its fixed address if that can be reached from here.
fn addresses(hint: &Announcement, cluster: &Cluster, on_cluster_network: bool) -> Vec<SocketAddr> {
    let named = hint.node.as_deref().and_then(|node| node.parse::<Name>().ok());
    let node = cluster.node_with_key(&hint.fingerprint).or_else(|| cluster.node(&named?));
    let fixed = node.map(|node| cluster.address_of(node)).filter(|_| on_cluster_network);
    let said = hint.addresses.iter().copied();
    let said = said.filter(|address| on_cluster_network || !cluster.network.contains(*address));
    let mut found: Vec<Ipv4Addr> = Vec::new();
    for address in said.chain(fixed) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found.into_iter().map(|address| SocketAddr::from((address, hint.port))).collect()
}

/// # Errors
/// When nobody answers at any address, or somebody else.
pub async fn connect(core: &Core, hint: &Announcement) -> Result<(Client, Proven), DialError> {
    let (expect, claim) = expect(hint, &core.trust.agents_ca);
    let attempt = |(wait, address)| {
        let expect = &expect;
        async move {
            sleep(wait).await;
            Client::connect(address, &core.trust.identity, expect).await
        }
    };
    let waits = (0_u32..).map(|count| STAGGER * count);
    let file = core.book.file();
    let on_cluster_network = network::is_ours(file.cluster().manager_address());
    let places = addresses(hint, file.cluster(), on_cluster_network);
    let mut attempts: FuturesUnordered<_> = waits.zip(places).map(attempt).collect();
    let mut first = None;
    while let Some(result) = attempts.next().await {
        match result {
            Ok(client) => {
                let key = client.peer()?;
                if key != hint.fingerprint {
                    return Err(DialError::AnotherKey);
                }
                return Ok((client, claim.proven(key)));
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.map_or(DialError::NoAddress, DialError::Client))
}

async fn converse(
    core: &Arc<Core>,
    fingerprint: &Fingerprint,
    mut client: Client,
    proven: &Proven,
) -> Result<(), DialError> {
    let Some(wake) = core.machine(fingerprint, |machine| Arc::clone(&machine.wake)) else { return Ok(()) };
    let mut follower: Option<Follower> = None;
    loop {
        let Response::Description(description) = client.ask(&Request::Describe).await? else {
            return Err(ClientError::Unexpected.into());
        };
        let description = *description;
        core.spoke(fingerprint, proven, description.clone());
        let action = next(core, proven, &description);
        tracing::debug!(machine = cairn_wire::fingerprint::short(fingerprint), ?action, "decided");
        // what was just ordered may have failed before the next question
        let followed = match &action {
            Action::Follow { node } | Action::Enrol { node, .. } | Action::ProveJoin { node } => {
                Some(node.clone())
            }
            _ => None,
        };
        act(core, &mut client, proven, &description, action).await?;
        let orders = core.machine(fingerprint, |machine| machine.orders).unwrap_or_default();
        if let Some(node) = followed
            && follower.as_ref().is_none_or(|follower| follower.is_over() || follower.order != orders)
        {
            follower = Some(Follower::start(core, *fingerprint, node, orders));
        }
        if core.registry().get(fingerprint).is_none() {
            return Ok(());
        }
        let _ = timeout(POLL, wake.notified()).await;
    }
}

fn next(core: &Core, proven: &Proven, description: &Description) -> Action {
    let file = core.book.file();
    let now = Instant::now();
    let (exchanged, told, clock_set, may_try) = core
        .machine(proven.key(), |machine| {
            let may_try = machine.not_before.is_none_or(|moment| now >= moment);
            (machine.code.is_some(), machine.told, machine.clock_set, may_try)
        })
        .unwrap_or((false, None, None, false));
    let runs_elsewhere = description
        .state
        .node()
        .and_then(|node| node.parse().ok())
        .is_some_and(|node| core.registry().runs_elsewhere(&node, proven.key(), now));
    let action = core.book.journal(|journal| {
        decide::decide(&Facts {
            proven,
            description,
            cluster: file.cluster(),
            agents_ca: &core.trust.agents_ca,
            approval: journal.approvals.get(proven.key()),
            exchanged,
            told,
            runs_elsewhere,
            standing: copies::standing(
                description.keeps.as_ref(),
                journal.base.as_ref(),
                &journal.lineage,
                &journal.left,
            ),
            clock_off: clock::is_off(description, unix_now(), clock_set, now),
            may_try,
        })
    });
    match action {
        // what could not be written down a moment ago is not tried at once either
        Action::Adopt { .. } if !may_try => Action::Nothing,
        action => action,
    }
}

/// # Errors
/// When the conversation broke. What the machine or the cluster file refuses is shown, and no error here.
async fn act(
    core: &Core,
    client: &mut Client,
    proven: &Proven,
    description: &Description,
    action: Action,
) -> Result<(), ClientError> {
    let key = *proven.key();
    let enrols = matches!(action, Action::Enrol { .. } | Action::ProveJoin { .. });
    let outcome = match action {
        Action::Nothing | Action::AwaitApproval | Action::Follow { .. } => {
            core.machine(&key, |machine| machine.nothing_wrong(Instant::now()));
            return Ok(());
        }
        Action::Refuse { reason } => {
            core.machine(&key, |machine| machine.refused = Some(reason));
            return Ok(());
        }
        Action::ExchangeCode => enrol::exchange(core, client, &key).await,
        Action::ProveJoin { node } => enrol::join(core, client, description, &key, &node).await,
        Action::Enrol { node, way } => enrol::enrol(core, client, description, &key, &node, &way).await,
        Action::SetClock => clock::set(core, client, &key).await,
        Action::Unlock { node, luks } => unlock::unlock(core, client, &key, &node, luks).await,
        Action::Configure { node } => {
            unlock::configure(core, client, &key, &node, description.keeps.as_ref()).await
        }
        Action::Adopt { node, boot, running, luks } => enrol::adopt(core, &node, boot, running, luks).await,
        Action::TakeUp { node } => copies::take_up(core, client, &key, &node).await,
        Action::Provide => artifacts::provide(core, client, &key, &description.wants).await,
    };
    match outcome {
        Ok(()) if enrols => drop(core.machine(&key, |machine| machine.ordered(Instant::now()))),
        Ok(()) => drop(core.machine(&key, crate::registry::Machine::succeed)),
        Err(enrol::ActError::Client(error)) if !matches!(error, ClientError::Refused(_)) => {
            return Err(error);
        }
        Err(error) => core.fail(&key, chain(&error)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::{cluster, key};

    fn hint(phase: Phase, node: Option<&str>) -> Announcement {
        let addresses = vec![Ipv4Addr::new(192, 168, 1, 7), Ipv4Addr::new(10, 87, 33, 10)];
        Announcement { fingerprint: key(1), phase, node: node.map(str::to_owned), port: 4210, addresses }
    }

    #[test]
    fn what_a_machine_says_decides_only_what_it_has_to_prove() {
        let proven = |phase, node| {
            let (expect, claim) = expect(&hint(phase, node), "ca");
            (expect, claim.proven(key(1)))
        };
        let cases = [
            (Phase::Discovered, None, "key"),
            (Phase::Joining, Some("etcd-1"), "key"),
            (Phase::Installing, Some("etcd-1"), "key"),
            (Phase::Restarting, Some("etcd-1"), "key"),
            (Phase::Locked, Some("etcd-1"), "etcd-1.boot.cairn"),
            (Phase::Starting, Some("etcd-1"), "etcd-1.boot.cairn"),
            (Phase::Running, Some("etcd-1"), "etcd-1.node.cairn"),
            (Phase::Running, None, "key"),
            (Phase::Locked, Some("<script>"), "key"),
        ];
        for (phase, node, expected) in cases {
            let (expect, proven) = proven(phase, node);
            match expect {
                Expect::Key(_) => assert!(expected == "key" && matches!(proven, Proven::Key(_)), "{phase}"),
                Expect::Named { name, .. } => assert_eq!(name, expected),
            }
        }
    }

    #[test]
    fn the_fixed_address_is_tried_where_it_can_be_reached_and_none_twice() {
        let found = addresses(&hint(Phase::Locked, Some("etcd-2")), &cluster(), true);
        let hosts: Vec<String> = found.iter().map(|a| a.ip().to_string()).collect();
        assert_eq!(hosts, ["192.168.1.7", "10.87.33.10", "10.87.33.11"]);
        assert_eq!(addresses(&hint(Phase::Locked, Some("etcd-1")), &cluster(), true).len(), 2);
        let far = addresses(&hint(Phase::Locked, Some("etcd-2")), &cluster(), false);
        assert_eq!(far, ["192.168.1.7:4210".parse().unwrap()]);
    }
}
