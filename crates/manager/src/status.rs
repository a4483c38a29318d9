//! What is shown, put together from what is known. A pure function.

use crate::api::{
    ClusterStatus, EtcdMemberStatus, EtcdStatus, MachineStatus, NetworkStatus, NodeStatus, NodeVitals, Status,
};
use crate::etcd::EtcdView;
use crate::health;
use crate::jobs::Jobs;
use crate::journal::Journal;
use crate::keep;
use crate::network::{BootView, NetworkView, Way};
use crate::next_boot::{NextBoot, cards};
use crate::power;
use crate::registry::{Contact, Machine, Registry};
use crate::suit;
use cairn_model::cluster::{Cluster, Node};
use cairn_model::phase::{Condition, Phase};
use cairn_netboot::{Mac, Wishes};
use cairn_wire::fingerprint::short;
use cairn_wire::message::AgentState;
use tokio::time::Instant;

pub struct View<'a> {
    pub cluster: &'a Cluster,
    pub registry: &'a Registry,
    pub jobs: &'a Jobs,
    pub etcd: &'a EtcdView,
    pub network: &'a NetworkView,
    pub wishes: &'a Wishes,
    /// The owner was asked to store the cluster file since the manager started.
    pub reminded: bool,
    pub now: Instant,
    /// Seconds since 1970.
    pub unix_now: u64,
}

pub fn status(view: &View<'_>, journal: &Journal) -> Status {
    let View { cluster, registry, etcd, network, .. } = view;
    let nodes: Vec<NodeStatus> = cluster.nodes.iter().map(|place| node(view, journal, place)).collect();
    let strangers = registry.iter().filter(|machine| is_stranger(machine, view, journal));
    let machines = strangers.map(|stranger| machine(view, journal, stranger)).collect();
    let etcd = etcd_status(etcd);
    let unhealthy_because = health::missing(&nodes, &etcd);
    Status {
        cluster: ClusterStatus {
            name: cluster.name.to_string(),
            generation: cluster.generation,
            manager_address: Some(cluster.manager_address()),
            stored: journal.stored,
            ask_to_store: keep::asks(cluster.generation, journal.stored, view.reminded),
        },
        nodes,
        machines,
        etcd,
        network: network_status(network),
        power: view.jobs.view(power::SUBJECT),
        healthy: unhealthy_because.is_empty(),
        unhealthy_because,
    }
}

fn node(view: &View<'_>, journal: &Journal, node: &Node) -> NodeStatus {
    let machine = view.registry.machine_of(&node.name, view.cluster);
    let description = machine.and_then(|m| m.contact.as_ref()).map(|contact| &contact.description);
    let phase = machine.map_or(Phase::Absent, |machine| machine.phase(view.now));
    let mut conditions = description.map(|d| d.conditions.clone()).unwrap_or_default();
    conditions.extend(machine.and_then(|m| m.refused.clone()).map(Condition::fault));
    conditions.extend(machine.iter().flat_map(|machine| machine.lacking.iter()).map(Condition::waiting));
    if let (Phase::Unreachable, Some(error)) = (phase, machine.and_then(|m| m.error.as_ref())) {
        conditions.push(Condition::waiting(format!("last attempt: {error}")));
    }
    NodeStatus {
        name: node.name.to_string(),
        role: node.role,
        phase,
        conditions,
        address: view.cluster.address_of(node),
        enrolled: node.enrolled.is_some(),
        encrypted: description.is_some_and(|d| d.encryption.encrypted),
        unlocked: description.is_some_and(|d| d.encryption.unlocked) && phase != Phase::Unreachable,
        memory_used: description.map_or(0, |d| d.memory_used),
        agent_resident: description.map_or(0, |d| d.agent_resident),
        version: description.map(|d| d.version.clone()),
        inventory: description.map(|d| d.inventory.clone()),
        job: view.jobs.view(&node.name),
        vitals: machine.and_then(|m| m.contact.as_ref()).and_then(|contact| vitals(view, contact)),
        next_boot: NextBoot::waiting(
            view.wishes,
            &[journal.cards_of(&node.name), cards_of(machine)].concat(),
        ),
    }
}

fn cards_of(machine: Option<&Machine>) -> Vec<Mac> {
    let interfaces = machine.and_then(|m| m.contact.as_ref()).map(|it| &it.description.inventory.interfaces);
    cards(interfaces.into_iter().flatten().map(|card| card.mac.as_str()))
}

fn vitals(view: &View<'_>, contact: &Contact) -> Option<NodeVitals> {
    let told = contact.description.vitals.clone()?;
    let asked = view.unix_now.saturating_sub(view.now.saturating_duration_since(contact.at).as_secs());
    let seconds = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    let clock_offset_seconds = seconds(told.clock).saturating_sub(seconds(asked));
    Some(NodeVitals { told, clock_offset_seconds })
}

/// Neither a node nor a mere guess of where one might be.
fn is_stranger(machine: &Machine, view: &View<'_>, journal: &Journal) -> bool {
    // A node whose installation broke off, and for which the owner's word was lost, asks for it again.
    let asks = machine.contact.as_ref().is_some_and(|it| it.description.state == AgentState::Fresh)
        && !journal.approvals.contains_key(&machine.fingerprint)
        || machine.waits_for_disk().is_some();
    let known = view.cluster.node_with_key(&machine.fingerprint).is_some();
    asks || (!known && (machine.announced || machine.contact.is_some()))
}

fn machine(view: &View<'_>, journal: &Journal, machine: &Machine) -> MachineStatus {
    let description = machine.contact.as_ref().map(|contact| &contact.description);
    let product = description.map(|d| {
        let product = &d.inventory.product;
        [product.vendor.as_str(), product.name.as_str()].join(" ").trim().to_owned()
    });
    let phase = machine.phase(view.now);
    let suggestion = description.and_then(|d| suit::suggest(view.cluster, journal, &d.inventory));
    let (suggested, why) = suggestion.map(|found| (found.place.to_string(), found.reason)).unzip();
    MachineStatus {
        id: machine.fingerprint.to_string(),
        short_id: short(&machine.fingerprint),
        phase,
        claims: description.map_or(machine.hint.node.as_deref(), |d| d.state.node()).map(str::to_owned),
        code: machine.code.as_ref().map(ToString::to_string).filter(|_| phase == Phase::Discovered),
        approved: journal.approvals.contains_key(&machine.fingerprint),
        waits_for_disk: machine.waits_for_disk().is_some(),
        inventory: description.map(|d| d.inventory.clone()),
        product: product.filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown machine".to_owned()),
        suggested,
        suggested_because: why,
        unfit: description.and_then(|d| suit::unfit(&d.inventory)),
        refused: machine.refused.clone().or_else(|| machine.error.clone()),
        next_boot: NextBoot::waiting(view.wishes, &cards_of(Some(machine))),
    }
}

fn etcd_status(view: &EtcdView) -> EtcdStatus {
    let member = |member: &crate::etcd::Member| EtcdMemberStatus {
        name: member.name.clone(),
        id: member.id.clone(),
        peer_url: member.peer_url.clone(),
        healthy: member.error.is_none(),
        error: member.error.clone(),
    };
    let members: Vec<EtcdMemberStatus> = view.members.iter().map(member).collect();
    EtcdStatus { healthy: members.iter().filter(|member| member.healthy).count(), members }
}

fn network_status(view: &NetworkView) -> NetworkStatus {
    let state = match &view.netboot {
        BootView::Off => "off",
        BootView::Starting { .. } => "starting",
        BootView::Running { .. } => "running",
        BootView::Refused { .. } => "refused",
    };
    let mode = match view.netboot.way() {
        Some(Way::OwnCable) => "own_cable",
        Some(Way::HomeNetwork) => "home_network",
        None => "none",
    };
    NetworkStatus {
        mode: mode.to_owned(),
        state: state.to_owned(),
        message: view.netboot.sentence(),
        address_error: view.address_error.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Proven;
    use crate::decide::tests::{cluster, description, key};
    use crate::feed::Feed;
    use cairn_model::vitals::Vitals;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_clock_is_compared_with_the_moment_when_it_was_read() {
        let start = Instant::now();
        let view = View {
            cluster: &cluster(),
            registry: &Registry::default(),
            jobs: &Jobs::new(Arc::new(Feed::new(SystemTime::UNIX_EPOCH))),
            etcd: &EtcdView::default(),
            network: &NetworkView::default(),
            wishes: &Wishes::default(),
            now: start + Duration::from_secs(5),
            unix_now: 1_700_000_005,
            reminded: false,
        };
        for (clock, offset) in [(1_700_000_000, 0), (1_700_003_600, 3600), (0, -1_700_000_000)] {
            let mut description = description(AgentState::Running { node: "etcd-1".into() });
            description.vitals = Some(Vitals { clock, ..Vitals::default() });
            let contact = Contact { at: start, proven: Proven::Key(key(1)), description };
            let vitals = vitals(&view, &contact).unwrap();
            assert_eq!(vitals.clock_offset_seconds, offset);
        }
    }
}
