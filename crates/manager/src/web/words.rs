//! Numbers and states as people read them.

use cairn_model::phase::Phase;
use cairn_workflow::RowState;
use maud::{Markup, html};

/// The phase as a coloured mark of its own shape, and its word: colour alone tells nothing to many.
pub fn phase(phase: Phase) -> Markup {
    let (class, mark) = match phase {
        Phase::Running => ("good", "●"),
        Phase::Discovered | Phase::Joining => ("new", "◇"),
        Phase::Installing | Phase::Restarting | Phase::Starting => ("busy", "◐"),
        Phase::Locked => ("locked", "■"),
        Phase::Unreachable => ("bad", "▲"),
        Phase::Absent => ("absent", "○"),
    };
    html! { span class={ "phase " (class) } { span aria-hidden="true" { (mark) } " " (phase) } }
}

pub fn row_mark(state: RowState) -> (&'static str, &'static str, &'static str) {
    match state {
        RowState::Waiting => ("waiting", "○", "waiting"),
        RowState::Running => ("running", "◐", "running"),
        RowState::Done => ("done", "✓", "done"),
        RowState::Failed => ("failed", "✗", "failed"),
    }
}

/// As memory is counted.
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// As disks are sold.
pub fn gigabytes(bytes: u64) -> String {
    format!("{} GB", crate::approve::gigabytes(bytes))
}

pub fn progress(done: u64, total: u64) -> Option<u64> {
    (total > 0).then(|| done.saturating_mul(100) / total).map(|percent| percent.min(100))
}
