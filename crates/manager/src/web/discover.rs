//! Machines that are no nodes yet, and the one form that approves them.

mod approve;
mod machine;

use super::{network, next_boot, ui, words};
use crate::api::Status;
use crate::network::types::NetworkReport;
use cairn_model::cluster::Role;
use maud::{Markup, html};

pub use approve::approve;
pub use machine::disk_words;

pub fn content(status: &Status, report: &NetworkReport) -> Markup {
    let (waiting, others): (Vec<_>, Vec<_>) =
        status.machines.iter().partition(|machine| words::awaits_approval(machine));
    let places = places(status);
    html! {
        header.page { h1 { "Discover" } p.quiet { "Machines that were heard and are no nodes yet. Approve one only if its own screen shows the same code: if it shows another, somebody stands in between." } }
        @if status.machines.is_empty() {
            (ui::empty("No machine is waiting", "Switch one on: it starts from the network or from a prepared medium, and appears here within a minute or two."))
        }
        @if !waiting.is_empty() {
            form #approve method="post" action="/discover/approve" {
                ul.machines { @for machine in &waiting { (machine::waiting(machine, &places)) } }
                div.batch {
                    p.quiet { "Tick what you have compared or decided." }
                    button type="submit" { "Approve the ticked machines" }
                }
            }
        }
        @if !others.is_empty() {
            section aria-labelledby="others" {
                @if !waiting.is_empty() { h2 #others { "Others" } } @else { h2.sr #others { "Machines" } }
                ul.machines { @for machine in others { (machine::other(machine)) } }
            }
        }
        @if !status.machines.is_empty() { (next_boot::form()) }
        (network::machines_without_cairn(report))
        (network::scan_section(report))
    }
}

/// etcd agrees among three; more make it slower and no safer at this size.
const ETCD_NODES: usize = 3;

/// The free ones, and a new one of each role.
fn places(status: &Status) -> Vec<String> {
    let is_name = |name: &String| status.nodes.iter().any(|node| node.name == *name);
    let free = status.nodes.iter().filter(|node| !node.enrolled).map(|node| node.name.clone());
    let etcd = status.nodes.iter().filter(|node| node.role == Role::Etcd).count();
    let roles = [Role::Compute, Role::Etcd, Role::Backup];
    let new = roles.into_iter().filter(|role| *role != Role::Etcd || etcd < ETCD_NODES).filter_map(|role| {
        let mut names = (1..=status.nodes.len() + 1).map(|number| format!("{role}-{number}"));
        names.find(|name| !is_name(name))
    });
    free.chain(new).collect()
}
