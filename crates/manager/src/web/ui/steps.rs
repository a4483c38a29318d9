//! Long work: its steps, how far the running one is, and what went wrong.

use super::{Tone, mark};
use crate::api::JobStatus;
use crate::web::words;
use cairn_workflow::{Row, RowState};
use maud::{Markup, html};

/// All steps while something is going on, one line when it is over.
pub fn job(id: &str, job: &JobStatus) -> Markup {
    let done = job.rows.iter().filter(|row| row.state == RowState::Done).count();
    let failed = job.rows.iter().any(|row| row.state == RowState::Failed);
    let over = done == job.rows.len();
    let tone = match (over, failed) {
        (true, _) => Tone::Good,
        (_, true) => Tone::Failed,
        _ => Tone::Working,
    };
    html! {
        details.job id=(id) open[!over] {
            summary {
                (mark(tone)) span.job-name { (job.job) } span.quiet { (done) " of " (job.rows.len()) " steps" }
            }
            ol.steps { @for row in &job.rows { (self::row(row, job.seconds_left)) } }
        }
    }
}

/// Only where it stands: what runs, or what failed. Nothing when it is over.
pub fn running_step(job: &JobStatus) -> Markup {
    let rows = || job.rows.iter();
    let failed = rows().find(|row| row.state == RowState::Failed);
    let now = failed.or_else(|| rows().find(|row| row.state == RowState::Running));
    html! { @if let Some(now) = now { ol.steps { (row(now, job.seconds_left)) } } }
}

fn row(row: &Row, seconds_left: Option<u64>) -> Markup {
    let (tone, word) = match row.state {
        RowState::Waiting => (Tone::Off, "waiting"),
        RowState::Running => (Tone::Working, "running"),
        RowState::Done => (Tone::Good, "done"),
        RowState::Failed => (Tone::Failed, "failed"),
    };
    html! {
        li class=(word) {
            (mark(tone))
            div {
                span.sr { (word) ": " } (row.title)
                @if let (RowState::Running, Some((done, total))) = (row.state, row.progress) {
                    (progress(&row.title, done, total, seconds_left))
                }
                @if let Some(note) = &row.note { p.note { (note) } }
            }
        }
    }
}

fn progress(what: &str, done: u64, total: u64, seconds_left: Option<u64>) -> Markup {
    let Some(percent) = words::percent(done, total) else { return Markup::default() };
    html! {
        span.progress {
            progress max="100" value=(percent) aria-label=(what) { (percent) "%" }
            span.figures { (percent) "% · " (words::bytes(done)) " of " (words::bytes(total))
                @if let Some(seconds) = seconds_left { " · " (words::left(seconds)) } }
        }
    }
}

/// How full something is.
pub fn meter(label: &str, used: u64, total: u64) -> Markup {
    let percent = words::percent(used, total).unwrap_or(0);
    html! {
        div.meter {
            span { (label) }
            span.figures { (words::bytes(used)) @if total > 0 { " of " (words::bytes(total)) } }
            @if total > 0 { progress class=@if percent > 90 { "full" } max="100" value=(percent) aria-label=(label) {} }
        }
    }
}
