//! Every node as a card, and etcd.

use super::history::history;
use super::ui::{self, Tone, mark, state};
use super::words;
use crate::api::{EtcdStatus, NodeStatus, Status};
use crate::feed::Item;
use crate::question;
use cairn_model::phase::{Condition, ConditionKind};
use maud::{Markup, html};

pub fn content(status: &Status, events: &[Item]) -> Markup {
    let (taken, free): (Vec<_>, Vec<_>) = status.nodes.iter().partition(|node| node.enrolled);
    html! {
        header.page { h1 { "Cluster" } p.quiet { "Every machine of " (status.cluster.name) ", and what it runs." } }
        @if taken.is_empty() {
            (ui::empty("No machine belongs to this cluster yet", html! {
                "Machines that are switched on appear under " a href="/discover" { "Discover" } "."
            }))
        }
        ul.cards { @for node in taken { (card(node)) } }
        (etcd(&status.etcd))
        (kubernetes(status))
        (history(events, None))
        @if !free.is_empty() {
            section aria-labelledby="free" {
                h2 #free { "Free places" }
                (strip(free))
            }
        }
    }
}

fn card(node: &NodeStatus) -> Markup {
    html! {
        li.card id={ "node-" (node.name) } {
            header {
                h3 { a href={ "/nodes/" (node.name) } { (node.name) } }
                (state(words::node(node), node.phase))
            }
            p.facts { (node.role) " · " (node.address) }
            (conditions(&node.conditions))
            (hardware(node))
            @if let Some(job) = &node.job { (ui::running_step(job)) }
        }
    }
}

/// Its memory, its data and its drives, where it has said something about them.
fn hardware(node: &NodeStatus) -> Markup {
    let Some(inventory) = &node.inventory else { return Markup::default() };
    let vitals = node.vitals.as_ref().map(|vitals| &vitals.told);
    html! {
        (ui::meter("Memory", node.memory_used, inventory.memory_mib.saturating_mul(1 << 20)))
        @if let Some(data) = vitals.and_then(|vitals| vitals.data) {
            (ui::meter("Data", data.total.saturating_sub(data.free), data.total))
        }
        ul.drives {
            @for disk in &inventory.disks {
                li { strong { (words::gigabytes(disk.size_bytes)) } " " span.quiet { @if !disk.model.is_empty() { (disk.model) ", " } (words::disk_kind(disk)) } }
            }
        }
        @if let Some(vitals) = vitals {
            ul.services {
                @for service in &vitals.services { li { (mark(words::service(service.state))) span { (service.unit) } } }
            }
        }
    }
}

pub fn conditions(conditions: &[Condition]) -> Markup {
    html! {
        @if !conditions.is_empty() {
            ul.findings {
                @for condition in conditions {
                    @let tone = if condition.kind == ConditionKind::Fault { Tone::Failed } else { Tone::Working };
                    li { (mark(tone)) span { (condition.message) } }
                }
            }
        }
    }
}

/// All nodes at a glance.
pub fn strip<'a>(nodes: impl IntoIterator<Item = &'a NodeStatus>) -> Markup {
    html! {
        ul.strip {
            @for node in nodes {
                li id={ "strip-" (node.name) } {
                    a href={ "/nodes/" (node.name) } {
                        (mark(words::node(node)))
                        span { strong { (node.name) } span.quiet { (node.phase) } }
                    }
                }
            }
        }
    }
}

fn kubernetes(status: &Status) -> Markup {
    html! {
        section aria-labelledby="kubernetes" {
            h2 #kubernetes { "Kubernetes" }
            @match question::without_kubeconfig(status) {
                None => {
                    p.quiet { "With this file kubectl and other programs may do everything in this Kubernetes. Keep it as a password." }
                    p { a.button.plain href="/kubeconfig" { "Download the kubeconfig" } }
                }
                Some(reason) => p.quiet { "There is no kubeconfig to download now: " (reason) "." }
            }
            p { a href="/artifacts" { "What comes from outside" } span.quiet { ": k3s and other programs, and how to get them." } }
        }
    }
}

fn etcd(etcd: &EtcdStatus) -> Markup {
    html! {
        section aria-labelledby="etcd" {
            h2 #etcd { "etcd" }
            @if etcd.members.is_empty() {
                p.quiet { "No member runs yet." }
            } @else {
                p { (etcd.healthy) " of " (etcd.members.len()) " members are healthy." }
                ul.rows {
                    @for member in &etcd.members {
                        li {
                            strong { (member.name) }
                            @if member.healthy { (state(Tone::Good, "healthy")) } @else { (state(Tone::Failed, "not healthy")) }
                            @if let Some(error) = &member.error { span.quiet { (error) } }
                        }
                    }
                }
            }
        }
    }
}
