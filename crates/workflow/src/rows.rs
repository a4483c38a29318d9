//! From events to what a person sees: one row per step, in the order of the plan.

use crate::event::{Event, What};
use serde::{Deserialize, Serialize};

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    Waiting,
    Running,
    Done,
    Failed,
}

/// One step as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Row {
    pub id: String,
    pub title: String,
    pub state: RowState,
    /// Done and total, in bytes unless the event said otherwise.
    pub progress: Option<(u64, u64)>,
    /// The last thing worth reading: why it was tried again, or why it failed.
    pub note: Option<String>,
}

/// Folds events into rows. Pure, and indifferent to events of steps that no plan named.
pub fn rows(events: &[Event]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for event in events {
        if let What::Planned { plan } = &event.what {
            rows = plan
                .steps
                .iter()
                .map(|s| Row {
                    id: s.id.clone(),
                    title: s.title.clone(),
                    state: RowState::Waiting,
                    progress: None,
                    note: None,
                })
                .collect();
            continue;
        }
        let Some(row) = event.what.step().and_then(|id| rows.iter_mut().find(|r| r.id == id)) else {
            continue;
        };
        match &event.what {
            What::Started { .. } => row.state = RowState::Running,
            What::Progress { done, total, .. } => row.progress = Some((*done, *total)),
            What::Retried { attempt, reason, .. } => row.note = Some(format!("attempt {attempt}: {reason}")),
            What::Done { .. } => {
                row.state = RowState::Done;
                row.note = None;
            }
            What::Failed { error, .. } => {
                row.state = RowState::Failed;
                row.note = Some(error.clone());
            }
            What::Planned { .. } | What::Finished => {}
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventLog, Plan, Step};

    #[test]
    fn every_row_of_the_plan_is_there_before_the_first_step_runs() {
        let log = EventLog::new();
        let plan = Plan::new("install", "etcd-1", vec![Step::new("a", "First"), Step::new("b", "Second")]);
        log.emit(What::Planned { plan });
        log.emit(What::Started { step: "a".into() });
        let rows = rows(&log.after(0));
        assert_eq!(rows.iter().map(|r| r.state).collect::<Vec<_>>(), [RowState::Running, RowState::Waiting]);
    }

    #[test]
    fn events_survive_json() {
        let event = Event { number: 7, what: What::Failed { step: "a".into(), error: "b".into() } };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(text, r#"{"number":7,"event":"failed","step":"a","error":"b"}"#);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
