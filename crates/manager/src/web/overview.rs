//! The first page: is all well, what is wrong, what is going on, and what the owner may want to do.

use super::ui::{self, Tone, mark};
use super::{cluster, words};
use crate::api::{ActionStatus, CheckResult, NodeStatus, Status};
use crate::{check, power, question};
use cairn_workflow::RowState;
use maud::{Markup, html};

pub fn content(status: &Status) -> Markup {
    let (tone, sentence) = verdict(status);
    html! {
        section.verdict.(tone.class()) aria-live="polite" {
            (mark(tone))
            div { h1 { (sentence) } p.quiet { (summary(status)) } }
        }
        (missing(status))
        (keep(status))
        (going_on(status))
        (question(status))
        (checks(status))
        @if status.nodes.iter().any(|node| node.enrolled) {
            section aria-labelledby="nodes" {
                h2 #nodes { "Nodes" }
                (cluster::strip(&status.nodes))
            }
        }
    }
}

/// Why it is not healthy; an owner who has only just begun knows that nothing is there.
fn missing(status: &Status) -> Markup {
    let begun = status.nodes.iter().any(|node| node.enrolled) && !power::is_shut_down(status);
    html! {
        @if begun && !status.unhealthy_because.is_empty() {
            section aria-labelledby="wrong" {
                h2 #wrong { "What is missing" }
                ul.findings { @for reason in &status.unhealthy_because { li { (mark(Tone::Attention)) span { (reason) } } } }
            }
        }
    }
}

/// The cluster file has changed since the owner stored it.
fn keep(status: &Status) -> Markup {
    let cluster = &status.cluster;
    let words = match cluster.stored {
        None => {
            "Store the cluster file in your password manager: it is the way back to everything.".to_owned()
        }
        Some(stored) => format!(
            "The cluster file has changed: it is generation {}, and you have stored {stored}. The old one still works as long as a node is there.",
            cluster.generation
        ),
    };
    html! {
        @if cluster.ask_to_store {
            (ui::notice(Tone::Attention, html! { p { (words) } p { a href="/keep" { "Store it" } } }))
        }
    }
}

fn is_busy(node: &NodeStatus) -> bool {
    node.job.as_ref().is_some_and(|job| job.rows.iter().any(|row| row.state != RowState::Done))
}

pub fn verdict(status: &Status) -> (Tone, &'static str) {
    if power::is_shut_down(status) {
        return (Tone::Off, "The cluster is shut down.");
    }
    let worst = status.nodes.iter().filter(|node| node.enrolled).map(words::node).max();
    match worst {
        _ if status.healthy => (Tone::Good, "All is well."),
        None => (Tone::Off, "No machine belongs to this cluster yet."),
        Some(Tone::Failed) => (Tone::Failed, "Something is wrong."),
        _ if status.nodes.iter().any(is_busy) => (Tone::Working, "The cluster is on its way."),
        _ => (Tone::Attention, "The cluster is not healthy."),
    }
}

fn summary(status: &Status) -> String {
    if power::is_shut_down(status) {
        return "Switch the machines on and choose Start: they are unlocked as they come.".into();
    }
    let mut parts = Vec::new();
    let places = status.nodes.iter().filter(|node| node.enrolled).count();
    if places > 0 {
        let good = status.nodes.iter().filter(|node| words::node(node) == Tone::Good).count();
        parts.push(format!("{good} of {places} nodes run without a fault"));
    }
    if !status.etcd.members.is_empty() {
        parts.push(format!("{} of {} etcd members healthy", status.etcd.healthy, status.etcd.members.len()));
    }
    match words::waiting_machines(status) {
        0 => {}
        number => parts.push(format!("{} waiting for your approval", words::count(number, "machine"))),
    }
    if parts.is_empty() {
        "Switch a machine on, and it appears under Discover.".into()
    } else {
        parts.join(" · ")
    }
}

/// Long work, with its steps; it lasts over a reload, and every browser sees the same.
fn going_on(status: &Status) -> Markup {
    let busy: Vec<&NodeStatus> = status.nodes.iter().filter(|node| is_busy(node)).collect();
    html! {
        @if let Some(job) = &status.power {
            section aria-labelledby="power" { h2 #power { "The whole cluster" } (ui::job("power-job", job)) }
        }
        @if !busy.is_empty() {
            section aria-labelledby="going-on" {
                h2 #going-on { "Going on now" }
                ul.cards.wide {
                    @for node in busy {
                        li.card id={ "busy-" (node.name) } {
                            h3 { a href={ "/nodes/" (node.name) } { (node.name) } }
                            @if let Some(job) = &node.job { (ui::job(&format!("busy-job-{}", node.name), job)) }
                        }
                    }
                }
            }
        }
    }
}

/// Each action where it is done, or why it makes no sense now.
fn question(status: &Status) -> Markup {
    html! {
        section aria-labelledby="question" {
            h2 #question { "What do you want to do?" }
            ul.actions {
                @for action in question::actions(status) { li { (self::action(&action, status)) } }
                li { a.action href="/media" {
                    strong { "Prepare a medium" }
                    span { "For a machine that can't start from the network." }
                } }
                li { a.action href="/phone" {
                    strong { "Open this page on a phone" }
                    span { "By HTTPS in your own network, with a code to scan." }
                } }
                li { a.action href="/keep" {
                    strong { "Keep the cluster file" }
                    span { "Generation " (status.cluster.generation) ": into your password manager." }
                } }
            }
        }
    }
}

fn action(action: &ActionStatus, status: &Status) -> Markup {
    if let Some(reason) = &action.refused {
        return html! { div.action.refused { strong { (action.title) } span { "Not now: " (reason) "." } } };
    }
    let link = |path: &str, words: &str| {
        html! { a.action href=(path) { strong { (action.title) } span { (words) } } }
    };
    let ask = |purpose: &str, question: &str, path: &str| {
        ui::confirm_tile(&format!("do-{}", action.id), &action.title, purpose, question, path)
    };
    match action.id.as_str() {
        "shut-down" => ask(
            "All nodes go off in their order.",
            "Applications stop first, etcd last. Somebody has to press the machines' buttons to bring them back.",
            "/shutdown",
        ),
        "start" => ask(
            "Nodes are unlocked as they come, and checked.",
            "Switch the machines on, then begin: etcd comes first.",
            "/start-cluster",
        ),
        "remove-node" => link("/cluster", "Choose the node; its page has the button."),
        _ => link(
            "/discover",
            &match words::waiting_machines(status) {
                0 => "Find machines on the wire, compare a code, and approve them.".to_owned(),
                number => format!("{} waiting for your approval.", words::count(number, "machine")),
            },
        ),
    }
}

/// What was tried of each node and did not go well.
fn checks(status: &Status) -> Markup {
    let checks = check::checks(status);
    let bad: Vec<_> = checks.iter().filter(|check| check.result != CheckResult::Good).collect();
    html! {
        @if !checks.is_empty() && !power::is_shut_down(status) {
            section aria-labelledby="checks" {
                h2 #checks { "Checks" }
                p.quiet { (checks.len().saturating_sub(bad.len())) " of " (checks.len()) " are as they should be." }
                ul.findings {
                    @for check in bad {
                        li { (mark(tone(check.result))) div {
                            strong { (check.subject) ": " (check.what) } p { (check.found) }
                            @if let Some(advice) = &check.advice { p.quiet { "To do: " (advice) "." } }
                        } }
                    }
                }
            }
        }
    }
}

fn tone(result: CheckResult) -> Tone {
    match result {
        CheckResult::Good => Tone::Good,
        CheckResult::Waiting => Tone::Working,
        CheckResult::Attention => Tone::Attention,
        CheckResult::Failed => Tone::Failed,
    }
}
