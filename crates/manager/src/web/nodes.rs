//! The nodes: one card each, with its phase, what is to be said about it, and its job.

use super::words;
use crate::api::{EtcdStatus, JobStatus, NodeStatus};
use cairn_model::phase::{ConditionKind, Phase};
use cairn_workflow::{Row, RowState};
use maud::{Markup, html};

pub fn card(node: &NodeStatus) -> Markup {
    let facts = [
        Some(node.address.to_string()),
        (node.memory_used > 0).then(|| format!("{} used", words::mebibytes(node.memory_used))),
        node.version.clone(),
    ];
    html! {
        li.card data-part={ "node-" (node.name) } {
            header {
                h3 { (node.name) }
                (words::phase(node.phase))
            }
            p.facts {
                (node.role)
                @for fact in facts.iter().flatten() { " · " (fact) }
                @if node.encrypted { " · " span title="LUKS2" { @if node.unlocked { "encrypted, open" } @else { "encrypted, shut" } } }
            }
            @for condition in &node.conditions {
                @let fault = condition.kind == ConditionKind::Fault;
                p.condition.fault[fault] {
                    span aria-hidden="true" { @if fault { "▲ " } @else { "… " } } (condition.message)
                }
            }
            @if let Some(job) = &node.job { (self::job(job)) }
            (actions(node))
        }
    }
}

/// All steps when something is going on, one line when it is over.
fn job(job: &JobStatus) -> Markup {
    let done = job.rows.iter().filter(|row| row.state == RowState::Done).count();
    let over = done == job.rows.len();
    html! {
        details open[!over] {
            summary { (job.job) ": " (done) " of " (job.rows.len()) " steps" }
            ol.steps { @for row in &job.rows { (self::row(row)) } }
        }
    }
}

fn row(row: &Row) -> Markup {
    let (class, mark, word) = words::row_mark(row.state);
    let percent = row.progress.and_then(|(done, total)| words::progress(done, total));
    html! {
        li class=(class) {
            span.mark aria-hidden="true" { (mark) }
            span.title { span.sr { (word) ": " } (row.title) }
            @if let (RowState::Running, Some(percent)) = (row.state, percent) {
                span.bar {
                    progress max="100" value=(percent) { (percent) "%" }
                    span.percent { (percent) "%" }
                }
            }
            @if let Some(note) = &row.note { p.note { (note) } }
        }
    }
}

fn actions(node: &NodeStatus) -> Markup {
    let action = |verb: &str| format!("/nodes/{}/{verb}", node.name);
    let reached = !matches!(node.phase, Phase::Absent | Phase::Unreachable);
    html! {
        @if !node.enrolled {
            details.actions {
                summary { "Give this place to a machine" }
                p { "Switch on a machine on the manager's cable and approve it above, or write a prepared medium for one that can't start from the network." }
                form method="post" action=(action("medium")) { button type="submit" { "Prepare a medium for " (node.name) } }
            }
        } @else if reached {
            details.actions {
                summary { "Power" }
                form method="post" action=(action("restart")) { button type="submit" { "Restart " (node.name) } }
                form method="post" action=(action("poweroff")) { button type="submit" { "Switch " (node.name) " off" } }
            }
        }
    }
}

pub fn etcd(etcd: &EtcdStatus) -> Markup {
    html! {
        section data-part="etcd" aria-labelledby="etcd" {
            h2 #etcd { "etcd" }
            @if etcd.members.is_empty() {
                p.quiet { "No member runs yet." }
            } @else {
                p { (etcd.healthy) " of " (etcd.members.len()) " members are healthy." }
                ul.members {
                    @for member in &etcd.members {
                        li {
                            @if member.healthy { span.phase.good { span aria-hidden="true" { "●" } " healthy" } }
                            @else { span.phase.bad { span aria-hidden="true" { "▲" } " not healthy" } }
                            " " strong { (member.name) }
                            @if let Some(error) = &member.error { p.note { (error) } }
                        }
                    }
                }
            }
        }
    }
}
