//! Shutting the whole cluster down, and starting it: in the order of the roles, as a job that everyone can follow.
//!
//! Both are planned from what is observed. A manager that dies in the middle leaves nothing behind: asking
//! again plans anew, for the nodes that are still on.

use crate::api::{self, NodeStatus, Status};
use crate::core::Core;
use cairn_model::cluster::{Name, Role};
use cairn_model::phase::Phase;
use cairn_wire::message::Request;
use cairn_workflow::{Plan, RowState, Step, What};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The subject of these jobs.
pub const SUBJECT: &str = "cluster/power";
/// Services end within 90 s or are ended (systemd's DefaultTimeoutStopSec), twice over.
const OFF_WITHIN: Duration = Duration::from_secs(240);
/// The name of the job that nothing else may cross; a start may take for ever, and gives way.
pub const SHUT_DOWN: &str = "shut down";
const HEALTHY: &str = "healthy";

/// What runs on others goes first: applications, then backups, then etcd, on which all depend.
const OFF_ORDER: [Role; 3] = [Role::Compute, Role::Backup, Role::Etcd];

fn step(node: &str) -> String {
    format!("node/{node}")
}

/// The last that the cluster was told was to shut down, that is through, and nothing came back since.
pub fn is_shut_down(status: &Status) -> bool {
    let told = status
        .power
        .as_ref()
        .is_some_and(|job| job.job == SHUT_DOWN && job.rows.iter().all(|row| row.state == RowState::Done));
    told && !status.nodes.iter().any(is_on)
}

/// It is there and answers.
pub fn is_on(node: &NodeStatus) -> bool {
    node.enrolled && !matches!(node.phase, Phase::Absent | Phase::Unreachable)
}

/// The nodes that are on, by role, in the order in which they are switched off.
pub fn off_order(status: &Status) -> Vec<Vec<Name>> {
    let of = |role: Role| -> Vec<Name> {
        let on = status.nodes.iter().filter(|node| node.role == role && is_on(node));
        on.filter_map(|node| node.name.parse().ok()).collect()
    };
    OFF_ORDER.into_iter().map(of).filter(|names| !names.is_empty()).collect()
}

pub fn shutdown_plan(order: &[Vec<Name>]) -> Plan {
    let steps =
        order.iter().flatten().map(|name| Step::new(&step(name.as_str()), &format!("Power off {name}")));
    Plan::new(SHUT_DOWN, SUBJECT, steps.collect())
}

pub fn start_plan(status: &Status) -> Plan {
    let mut steps: Vec<Step> = OFF_ORDER
        .into_iter()
        .rev()
        .flat_map(|role| status.nodes.iter().filter(move |node| node.role == role && node.enrolled))
        .map(|node| Step::new(&step(&node.name), &format!("Unlock and start {}", node.name)))
        .collect();
    steps.push(Step::new(HEALTHY, "Check that the cluster is healthy"));
    Plan::new("start", SUBJECT, steps)
}

/// Begins a planned job in the place of the last one, whose end is awaited so that it reports nothing into
/// the new one.
pub async fn begin(
    core: &Core,
    last: &mut Option<JoinHandle<()>>,
    plan: Plan,
    job: impl Future<Output = ()> + Send + 'static,
) {
    if let Some(last) = last.take() {
        last.abort();
        // cancelled, or through already
        let _ = last.await;
    }
    core.jobs.plan(plan);
    *last = Some(tokio::spawn(job));
}

/// Carries a planned shutdown out. A node that does not go off fails its step and ends the job, so that etcd is not
/// taken from under what still runs.
pub async fn shut_down(core: Arc<Core>, order: Vec<Vec<Name>>) {
    for names in order {
        for name in &names {
            core.jobs.started(SUBJECT, &step(name.as_str()));
            if let Err(problem) = api::tell(&core, name, &Request::PowerOff).await {
                return fail(&core, name, problem.detail);
            }
        }
        for name in &names {
            if !gone(&core, name).await {
                let seconds = OFF_WITHIN.as_secs();
                let words =
                    format!("it is still on after {seconds} s; look at its console, then shut down again");
                return fail(&core, name, words);
            }
            core.jobs.done(SUBJECT, &step(name.as_str()));
        }
    }
    core.jobs.report(SUBJECT, What::Finished);
}

fn fail(core: &Core, name: &Name, error: String) {
    core.jobs.report(SUBJECT, What::Failed { step: step(name.as_str()), error });
}

/// Its agent is silent. That stops after etcd and k3s, by its unit; file systems are still being unmounted.
async fn gone(core: &Core, name: &Name) -> bool {
    let off =
        |status: &Arc<Status>| status.nodes.iter().any(|node| node.name == name.as_str() && !is_on(node));
    timeout(OFF_WITHIN, core.shown().wait_for(off)).await.is_ok()
}

/// Follows a planned start until all is well. The manager unlocks by itself what it finds locked; who switches the
/// machines on may take as long as it takes.
pub async fn start(core: Arc<Core>, plan: Plan) {
    let mut waiting: Vec<String> = plan.steps.into_iter().map(|step| step.id).collect();
    for id in &waiting {
        core.jobs.started(SUBJECT, id);
    }
    let mut shown = core.shown();
    while !waiting.is_empty() {
        let status = shown.borrow_and_update().clone();
        waiting.retain(|id| {
            let done = is_done(&status, id);
            if done {
                core.jobs.done(SUBJECT, id);
            }
            !done
        });
        if !waiting.is_empty() && shown.changed().await.is_err() {
            return;
        }
    }
    core.jobs.report(SUBJECT, What::Finished);
}

fn is_done(status: &Status, id: &str) -> bool {
    if id == HEALTHY {
        return status.healthy;
    }
    let mut nodes = status.nodes.iter();
    // one that was removed meanwhile is not waited for
    nodes.find(|node| step(&node.name) == id).is_none_or(|node| node.phase == Phase::Running && node.unlocked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::JobStatus;
    use crate::simulation::{Lab, new_file};
    use crate::web::sample;
    use cairn_workflow::Row;

    fn titles(plan: &Plan) -> Vec<&str> {
        plan.steps.iter().map(|step| step.title.as_str()).collect()
    }

    fn status(nodes: &[(&str, Role, Phase)]) -> Status {
        let nodes = nodes.iter().map(|(name, role, phase)| NodeStatus {
            phase: *phase,
            enrolled: *phase != Phase::Absent,
            unlocked: *phase == Phase::Running,
            ..sample::node(1, name, *role, *phase)
        });
        Status { nodes: nodes.collect(), ..Status::default() }
    }

    #[test]
    fn etcd_goes_last_and_comes_first_and_what_is_off_is_left_alone() {
        let status = status(&[
            ("etcd-1", Role::Etcd, Phase::Running),
            ("etcd-2", Role::Etcd, Phase::Unreachable),
            ("compute-1", Role::Compute, Phase::Running),
            ("compute-2", Role::Compute, Phase::Absent),
            ("backup-1", Role::Backup, Phase::Locked),
        ]);
        let off = shutdown_plan(&off_order(&status));
        assert_eq!(titles(&off), ["Power off compute-1", "Power off backup-1", "Power off etcd-1"]);
        let on = start_plan(&status);
        let nodes = ["etcd-1", "etcd-2", "backup-1", "compute-1"];
        let expected: Vec<String> = nodes.iter().map(|name| format!("Unlock and start {name}")).collect();
        assert_eq!(titles(&on)[..4], expected);
        assert_eq!(titles(&on).len(), 5);
    }

    #[tokio::test]
    async fn a_job_takes_the_place_of_a_start_that_never_ends() {
        let folder = tempfile::tempdir().unwrap();
        new_file(folder.path());
        let lab = Lab::start(folder.path(), "work");
        let core = &lab.core;
        let plan = || Plan::new("start", SUBJECT, vec![Step::new(HEALTHY, "Check")]);
        let mut last = core.power.lock().await;
        begin(core, &mut last, plan(), start(Arc::clone(core), plan())).await;
        // it is shown at once, whether or not its task ran already
        assert_eq!(core.status().power.unwrap().job, "start");
        let first = last.as_ref().unwrap().abort_handle();
        let plan = shutdown_plan(&[vec!["etcd-1".parse().unwrap()]]);
        begin(core, &mut last, plan, std::future::pending()).await;
        assert!(first.is_finished());
        let power = core.status().power.unwrap();
        assert_eq!((power.job.as_str(), power.rows.len()), (SHUT_DOWN, 1));
    }

    #[test]
    fn a_cluster_is_shut_down_when_that_was_the_last_order_and_nothing_came_back() {
        let job = |name: &str, state| JobStatus {
            job: name.to_owned(),
            rows: vec![Row {
                id: "node/etcd-1".into(),
                title: String::new(),
                state,
                progress: None,
                note: None,
            }],
            seconds_left: None,
        };
        let cases = [
            (Some(job(SHUT_DOWN, RowState::Done)), Phase::Unreachable, true),
            (Some(job(SHUT_DOWN, RowState::Done)), Phase::Locked, false),
            (Some(job(SHUT_DOWN, RowState::Running)), Phase::Unreachable, false),
            (Some(job("start", RowState::Done)), Phase::Unreachable, false),
            (None, Phase::Unreachable, false),
        ];
        for (power, phase, expected) in cases {
            let status = Status { power, ..status(&[("etcd-1", Role::Etcd, phase)]) };
            assert_eq!(is_shut_down(&status), expected, "{phase}");
        }
    }

    #[test]
    fn a_start_is_through_with_a_node_when_it_runs_or_is_no_more() {
        let status =
            status(&[("etcd-1", Role::Etcd, Phase::Running), ("etcd-2", Role::Etcd, Phase::Starting)]);
        assert!(is_done(&status, "node/etcd-1") && !is_done(&status, "node/etcd-2"));
        assert!(is_done(&status, "node/removed") && !is_done(&status, HEALTHY));
    }
}
