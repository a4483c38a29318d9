//! The jobs of the nodes, of the cluster and of media: one plan for each subject at a time. A node's has the
//! manager's steps around the agent's.
//!
//! A subject is a node by its name, or something that no node can be called, because it has a `/` in it.
//!
//! What is observed of a node moves its job along too, because a manager that restarts in the middle
//! has seen only a part of it.

use crate::api::JobStatus;
use crate::feed::Feed;
use crate::pace::Pace;
use cairn_model::cluster::Name;
use cairn_model::phase::Phase;
use cairn_wire::message::{Target, install_steps};
use cairn_workflow::{Event, EventLog, Plan, Row, RowState, Step, What, rows};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// The steps that the manager itself takes or watches.
pub const APPROVE: &str = "approve";
pub const CERTIFICATES: &str = "certificates";
const RESTART: &str = "restart";
pub const UNLOCK: &str = "unlock";
const RUNNING: &str = "running";

#[derive(Debug)]
pub struct Jobs {
    jobs: Mutex<BTreeMap<String, Job>>,
    pub feed: Arc<Feed>,
}

#[derive(Debug, Default)]
struct Job {
    name: String,
    log: EventLog,
    pace: Pace,
}

impl Job {
    fn rows(&self) -> Vec<Row> {
        rows(&self.log.after(0))
    }

    fn has(&self, step: &str) -> bool {
        self.rows().iter().any(|row| row.id == step)
    }

    fn view(&self) -> JobStatus {
        let rows = self.rows();
        let running = rows.iter().find(|row| row.state == RowState::Running);
        let seconds_left = running.and_then(|row| self.pace.seconds_left(&row.id));
        JobStatus { job: self.name.clone(), rows, seconds_left }
    }

    fn is_done(&self) -> bool {
        self.rows().iter().all(|row| row.state == RowState::Done)
    }
}

/// From the approval to the running node.
pub fn install_plan(node: &Name, target: &Target) -> Plan {
    around(node, install_steps(target), target.is_disk())
}

fn around(node: &Name, agents: Vec<Step>, restarts: bool) -> Plan {
    let mut steps = vec![
        Step::new(APPROVE, "Approve the machine"),
        Step::new(CERTIFICATES, "Issue its certificates and write it into the cluster file"),
    ];
    steps.extend(agents);
    if restarts {
        steps.push(Step::new(RESTART, "Restart from its disk"));
    }
    steps.extend(last_steps());
    Plan::new("install", node.as_str(), steps)
}

fn last_steps() -> [Step; 2] {
    [Step::new(UNLOCK, "Unlock the data partition"), Step::new(RUNNING, "Start the system and its services")]
}

impl Jobs {
    pub fn new(feed: Arc<Feed>) -> Self {
        Self { jobs: Mutex::default(), feed }
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, subject: &str, log: &EventLog, what: What) {
        let number = log.emit(what.clone());
        self.feed.push(subject.to_owned(), Event { number, what });
    }

    /// Begins a job in the place of the one before.
    pub fn plan(&self, plan: Plan) {
        let subject = plan.subject.clone();
        let mut jobs = self.jobs();
        let job = jobs.entry(subject.clone()).or_default();
        job.name = plan.job.clone();
        self.send(&subject, &job.log, What::Planned { plan });
    }

    /// Reports on a step; nothing happens when the job has no such step.
    pub fn report(&self, subject: &(impl AsRef<str> + ?Sized), what: What) {
        let (mut jobs, subject) = (self.jobs(), subject.as_ref());
        let Some(job) = jobs.get_mut(subject) else { return };
        if let What::Progress { step, done, total, .. } = &what {
            job.pace.saw(step, *done, *total, Instant::now());
        }
        if what.step().is_none_or(|step| job.has(step)) {
            self.send(subject, &job.log, what);
        }
    }

    pub fn started(&self, subject: &(impl AsRef<str> + ?Sized), step: &str) {
        self.report(subject, What::Started { step: step.to_owned() });
    }

    pub fn done(&self, subject: &(impl AsRef<str> + ?Sized), step: &str) {
        self.report(subject, What::Done { step: step.to_owned() });
    }

    /// Takes an event of the agent's own job into the node's. `true` when the agent has finished.
    pub fn agent_event(&self, node: &Name, event: Event) -> bool {
        match event.what {
            What::Planned { plan } => {
                self.ensure_install(node, plan);
                false
            }
            What::Finished => {
                self.started(node, RESTART);
                true
            }
            step => {
                self.report(node, step);
                false
            }
        }
    }

    /// After a manager's restart the plan is made again from what the agent says.
    fn ensure_install(&self, node: &Name, agents: Plan) {
        let known = self
            .jobs()
            .get(node.as_str())
            .is_some_and(|job| agents.steps.iter().all(|step| job.has(&step.id)));
        if !known {
            let restarts = agents.steps.iter().any(|step| step.id == "check-disk");
            self.plan(around(node, agents.steps, restarts));
            self.done(node, APPROVE);
            self.done(node, CERTIFICATES);
        }
    }

    /// Moves the job to where the node visibly is.
    pub fn observe(&self, node: &Name, phase: Phase) {
        match phase {
            Phase::Locked => {
                let ended = self.jobs().get(node.as_str()).is_none_or(Job::is_done);
                if ended {
                    self.plan(Plan::new("unlock", node.as_str(), last_steps().into()));
                } else {
                    self.finish_before(node, UNLOCK);
                }
            }
            Phase::Starting if self.finish_before(node, RUNNING) => self.started(node, RUNNING),
            Phase::Running => {
                let open = self.jobs().get(node.as_str()).is_some_and(|job| !job.is_done());
                if open {
                    self.finish_before(node, "");
                    self.report(node, What::Finished);
                }
            }
            _ => {}
        }
    }

    /// Marks all steps before one as done, all of them when there is none of that name. `true` when that
    /// one still waits.
    fn finish_before(&self, node: &Name, step: &str) -> bool {
        let rows = self.jobs().get(node.as_str()).map(Job::rows).unwrap_or_default();
        for row in &rows {
            if row.id == step {
                return row.state == RowState::Waiting;
            }
            if row.state != RowState::Done {
                self.done(node, &row.id);
            }
        }
        false
    }

    /// Whoever it was about is no more.
    pub fn forget(&self, subject: &(impl AsRef<str> + ?Sized)) {
        self.jobs().remove(subject.as_ref());
    }

    /// The subject's job by name, with a row for each step.
    pub fn view(&self, subject: &(impl AsRef<str> + ?Sized)) -> Option<JobStatus> {
        self.jobs().get(subject.as_ref()).map(Job::view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn jobs() -> Jobs {
        Jobs::new(Arc::new(Feed::new(SystemTime::UNIX_EPOCH)))
    }

    fn states(jobs: &Jobs, node: &Name) -> String {
        let letter = |row: &Row| match row.state {
            RowState::Waiting => '.',
            RowState::Running => '>',
            RowState::Done => '+',
            RowState::Failed => '!',
        };
        jobs.view(node).unwrap().rows.iter().map(letter).collect()
    }

    #[test]
    fn an_installation_goes_from_approval_to_running() {
        let (jobs, node) = (jobs(), "etcd-1".parse().unwrap());
        jobs.plan(install_plan(&node, &Target::Medium));
        jobs.done(&node, APPROVE);
        jobs.done(&node, CERTIFICATES);
        assert_eq!(states(&jobs, &node), "++......");
        for (number, step) in (1..).zip(["partition", "encrypt", "file-system", "identity"]) {
            jobs.agent_event(&node, Event { number, what: What::Done { step: step.into() } });
        }
        assert!(jobs.agent_event(&node, Event { number: 9, what: What::Finished }));
        jobs.observe(&node, Phase::Locked);
        jobs.started(&node, UNLOCK);
        assert_eq!(states(&jobs, &node), "++++++>.");
        jobs.observe(&node, Phase::Starting);
        assert_eq!(states(&jobs, &node), "+++++++>");
        jobs.observe(&node, Phase::Running);
        assert_eq!(states(&jobs, &node), "++++++++");
        // a power cut later is a job of its own
        jobs.observe(&node, Phase::Locked);
        assert_eq!(states(&jobs, &node), "..");
    }

    #[test]
    fn a_restarted_manager_makes_the_plan_again_from_the_agents_events() {
        let (jobs, node): (_, Name) = (jobs(), "compute-1".parse().unwrap());
        let steps = vec![Step::new("check-disk", "Check"), Step::new("encrypt", "Encrypt")];
        let plan = Plan::new("install", "compute-1", steps);
        jobs.agent_event(&node, Event { number: 1, what: What::Planned { plan } });
        jobs.agent_event(&node, Event { number: 2, what: What::Done { step: "check-disk".into() } });
        assert_eq!(states(&jobs, &node), "+++....");
        jobs.observe(&node, Phase::Running);
        assert_eq!(states(&jobs, &node), "+++++++");
    }

    #[test]
    fn a_node_that_was_always_running_has_no_job() {
        let (jobs, node) = (jobs(), "etcd-1".parse().unwrap());
        jobs.observe(&node, Phase::Running);
        assert!(jobs.view(&node).is_none());
    }
}
