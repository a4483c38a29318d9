//! "What do you want to do?": each action is offered only when it makes sense now, and otherwise says why not.

use crate::api::{ActionStatus, NodeStatus, Status};
use crate::power::{SHUT_DOWN, is_on};
use cairn_model::cluster::Role;
use cairn_model::phase::Phase;
use cairn_model::vitals::ServiceState;
use cairn_workflow::RowState;

const K3S: &str = "k3s.service";

/// Why nothing new is begun while the cluster goes down. A start stands in no way: it only waits for what the
/// nodes do, and may wait for one that never comes.
fn busy(status: &Status) -> Option<String> {
    let power = status.power.as_ref().filter(|job| {
        job.job == SHUT_DOWN
            && job.rows.iter().any(|row| row.state != RowState::Done)
            && !job.rows.iter().any(|row| row.state == RowState::Failed)
    });
    power.map(|_| "the cluster is being shut down; wait until that is through".to_owned())
}

pub fn actions(status: &Status) -> Vec<ActionStatus> {
    let enrolled: Vec<&NodeStatus> = status.nodes.iter().filter(|node| node.enrolled).collect();
    let none =
        enrolled.is_empty().then(|| "no machine belongs to this cluster yet; set it up first".to_owned());
    let free = status.nodes.iter().filter(|node| !node.enrolled && node.role == Role::Etcd).count();
    let set_up = (free == 0).then(|| "all places of etcd are taken: the cluster is set up".to_owned());
    let off = enrolled.iter().filter(|node| !is_on(node)).count();
    let all_run = enrolled.iter().all(|node| node.phase == Phase::Running);
    let shut_down = none
        .clone()
        .or_else(|| busy(status))
        .or_else(|| (off == enrolled.len()).then(|| "all nodes are off already".to_owned()));
    let start = none.clone().or_else(|| busy(status)).or_else(|| all_run.then(|| "all nodes run".to_owned()));
    let add = (free == status.nodes.len() && free > 0 && enrolled.is_empty())
        .then(|| "set the cluster up first: etcd has to be there before other nodes".to_owned());
    let recover = "backups are not there yet; this is their place".to_owned();
    let action = |id: &str, title: &str, refused: Option<String>| ActionStatus {
        id: id.to_owned(),
        title: title.to_owned(),
        refused,
    };
    vec![
        action("set-up", "Set up a new system", set_up),
        action("recover", "Recover from backup", Some(recover)),
        action("shut-down", "Shut down", shut_down),
        action("start", "Start", start),
        action("add-node", "Set up a new node", add),
        action("remove-node", "Remove a node", none.or_else(|| busy(status))),
    ]
}

/// Why this node can't be removed now.
pub fn keeps(node: &NodeStatus, etcd_formed: bool) -> Option<String> {
    match node.role {
        Role::Etcd if !node.enrolled => {
            Some("it is a place of etcd, which needs all of them; a machine can take it".to_owned())
        }
        Role::Etcd if etcd_formed => Some(
            "it is a member of etcd: removing and replacing members is not built yet, and taking one away by hand would leave etcd one failure from standing still".to_owned(),
        ),
        Role::Etcd | Role::Compute | Role::Backup => None,
    }
}

/// Why there is no kubeconfig now; it comes from a compute node that runs k3s.
pub fn without_kubeconfig(status: &Status) -> Option<String> {
    let compute: Vec<&NodeStatus> =
        status.nodes.iter().filter(|node| node.enrolled && node.role == Role::Compute).collect();
    if compute.is_empty() {
        return Some("no compute node belongs to this cluster yet; approve a machine as one".to_owned());
    }
    let lacks = |node: &&NodeStatus| {
        let services = node.vitals.iter().flat_map(|vitals| &vitals.told.services);
        let k3s = services.into_iter().find(|service| service.unit == K3S).map(|service| service.state);
        match (node.phase, k3s) {
            (Phase::Running, Some(ServiceState::Active)) => None,
            (Phase::Running, _) => {
                let reasons: Vec<&str> = node.conditions.iter().map(|it| it.message.as_str()).collect();
                let why =
                    if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
                Some(format!("{} does not run k3s yet{why}", node.name))
            }
            (phase, _) => Some(format!("{} is {phase}", node.name)),
        }
    };
    let lacking: Vec<String> = compute.iter().filter_map(lacks).collect();
    (lacking.len() == compute.len()).then(|| lacking.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::JobStatus;
    use crate::web::sample;
    use cairn_workflow::Row;

    fn offered(nodes: Vec<NodeStatus>) -> String {
        offered_in(&Status { nodes, ..Status::default() })
    }

    fn offered_in(status: &Status) -> String {
        let ids: Vec<String> =
            actions(status).into_iter().filter(|it| it.refused.is_none()).map(|it| it.id).collect();
        ids.join(" ")
    }

    fn node(name: &str, phase: Phase) -> NodeStatus {
        sample::node(1, name, Role::Etcd, phase)
    }

    #[test]
    fn what_makes_sense_follows_from_what_is_there() {
        assert_eq!(offered(vec![node("etcd-1", Phase::Absent)]), "set-up");
        let running = || node("etcd-1", Phase::Running);
        assert_eq!(
            offered(vec![running(), node("etcd-2", Phase::Absent)]),
            "set-up shut-down add-node remove-node"
        );
        assert_eq!(offered(vec![running()]), "shut-down add-node remove-node");
        assert_eq!(
            offered(vec![running(), node("etcd-2", Phase::Locked)]),
            "shut-down start add-node remove-node"
        );
        assert_eq!(offered(vec![node("etcd-1", Phase::Unreachable)]), "start add-node remove-node");
    }

    #[test]
    fn a_shutdown_is_waited_for_and_a_start_is_not() {
        let during = |job: &str, state: RowState| {
            let row =
                Row { id: "node/etcd-2".into(), title: String::new(), state, progress: None, note: None };
            let power = Some(JobStatus { job: job.into(), rows: vec![row], seconds_left: None });
            let nodes = vec![node("etcd-1", Phase::Running), node("etcd-2", Phase::Locked)];
            offered_in(&Status { nodes, power, ..Status::default() })
        };
        let all = "shut-down start add-node remove-node";
        assert_eq!(during("start", RowState::Running), all);
        assert_eq!(during(SHUT_DOWN, RowState::Running), "add-node");
        assert_eq!(during(SHUT_DOWN, RowState::Failed), all);
        assert_eq!(during(SHUT_DOWN, RowState::Done), all);
    }

    #[test]
    fn a_kubeconfig_is_there_as_soon_as_one_compute_node_runs_k3s() {
        let why = |nodes| without_kubeconfig(&Status { nodes, ..Status::default() });
        let compute =
            |number, phase| sample::node(number, &format!("compute-{number}"), Role::Compute, phase);
        let mut waits = compute(1, Phase::Running);
        waits.conditions.push(cairn_model::phase::Condition::waiting("waiting for artifact k3s v1"));
        waits.vitals.iter_mut().for_each(|vitals| vitals.told.services.clear());
        assert!(why(vec![node("etcd-1", Phase::Running)]).unwrap().contains("no compute node"));
        assert_eq!(
            why(vec![waits.clone(), compute(2, Phase::Locked)]).unwrap(),
            "compute-1 does not run k3s yet (waiting for artifact k3s v1); compute-2 is locked"
        );
        assert_eq!(why(vec![waits, compute(2, Phase::Running)]), None);
    }

    #[test]
    fn what_is_not_offered_says_why() {
        let status = Status { nodes: vec![node("etcd-1", Phase::Running)], ..Status::default() };
        assert!(actions(&status).iter().all(|it| it.refused.as_ref().is_none_or(|why| why.len() > 10)));
        assert!(keeps(&node("etcd-1", Phase::Running), true).unwrap().contains("member of etcd"));
        assert_eq!(keeps(&NodeStatus { role: Role::Compute, ..node("c", Phase::Running) }, true), None);
    }
}
