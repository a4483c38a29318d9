//! Machines that are no nodes yet, and the one form that approves them.

mod approve;
mod machine;

use super::{network, ui, words};
use crate::api::Status;
use crate::network::types::NetworkReport;
use maud::{Markup, html};

pub use approve::approve;
pub use machine::disk_words;

pub fn content(status: &Status, report: &NetworkReport) -> Markup {
    let (waiting, others): (Vec<_>, Vec<_>) =
        status.machines.iter().partition(|machine| words::awaits_approval(machine));
    let places = status.nodes.iter().filter(|node| !node.enrolled).map(|node| node.name.as_str());
    let places: Vec<&str> = places.collect();
    html! {
        header.page { h1 { "Discover" } p.quiet { "Machines that were heard and are no nodes yet. Approve one only if its own screen shows the same code: if it shows another, somebody stands in between." } }
        @if status.machines.is_empty() {
            (ui::empty("No machine is waiting", "Switch one on: it starts from the network or from a prepared medium, and appears here within a minute or two."))
        }
        @if !waiting.is_empty() {
            form #approve method="post" action="/discover/approve" {
                ul.machines { @for machine in &waiting { (machine::waiting(machine, &places)) } }
                div.batch {
                    p.quiet { "Tick what you have compared." }
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
        (network::machines_without_cairn(report))
    }
}
