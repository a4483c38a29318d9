//! What an execution reports.

use crate::plan::Plan;
use serde::{Deserialize, Serialize};

/// One numbered report. Numbers start at 1 and rise within a log, so that a reader who lost the
/// connection asks for "everything after N". Superseded progress is dropped, therefore numbers may
/// have gaps; no other event is ever missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Event {
    pub number: u64,
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A job begins (again); its rows replace those of the one before.
    Planned {
        plan: Plan,
    },
    Started {
        step: String,
    },
    /// `total` is 0 while it is not known. Bytes unless `unit` says otherwise.
    Progress {
        step: String,
        done: u64,
        total: u64,
        unit: String,
    },
    Retried {
        step: String,
        attempt: u32,
        reason: String,
    },
    Done {
        step: String,
    },
    /// The job stops here. `error` says what happened and what to do next.
    Failed {
        step: String,
        error: String,
    },
    Finished,
}

impl What {
    /// The step that the event speaks of, if it speaks of one.
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::Started { step }
            | Self::Progress { step, .. }
            | Self::Retried { step, .. }
            | Self::Done { step }
            | Self::Failed { step, .. } => Some(step),
            Self::Planned { .. } | Self::Finished => None,
        }
    }

    /// Progress may be dropped when a newer one of the same step exists.
    pub fn is_progress(&self) -> bool {
        matches!(self, Self::Progress { .. })
    }

    /// Nothing follows in this job.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Finished | Self::Failed { .. })
    }
}
