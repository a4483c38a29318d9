//! Machines as they are seen on the wire, before any agent of ours speaks for them.

use crate::network::types::{NetworkReport, WireMachine};
use crate::web::ui::{self, Tone, state};
use crate::web::words;
use cairn_netboot::Stage;
use maud::{Markup, html};

pub fn machine(machine: &WireMachine) -> Markup {
    let (tone, word) = match machine {
        WireMachine { runs_cairn: true, .. } => (Tone::Good, "runs Cairn"),
        // Every telephone in the house is one of these: no reason to worry.
        WireMachine { stage: Stage::AddressOnly, .. } => (Tone::Off, "has a system of its own"),
        WireMachine { stuck: true, .. } => (Tone::Attention, "does not go on"),
        WireMachine { .. } => (Tone::Working, "on its way"),
    };
    let id = machine.mac.replace(':', "");
    html! {
        li.card id={ "wire-" (id) } {
            header {
                div {
                    h3.mono { (machine.mac) }
                    p.facts {
                        @if let Some(node) = &machine.node { a href={ "/nodes/" (node) } { (node) } " · " }
                        @if let Some(architecture) = &machine.architecture { (architecture) " · " }
                        @if let Some(address) = machine.address { (address) " · " }
                        @match machine.seconds_ago { Some(seconds) => (words::ago(seconds)), None => "not heard lately" }
                    }
                }
                (state(tone, word))
            }
            p { (machine.diagnosis) }
            @if let Some(fetch) = &machine.fetch {
                @if fetch.bytes < fetch.size { (ui::meter(&format!("{} by {}", fetch.file, fetch.via), fetch.bytes, fetch.size)) }
            }
            @if !machine.story.is_empty() {
                details.story id={ "story-" (id) } {
                    summary { "What it asked, and what it was told" }
                    ol { @for line in &machine.story { li { (words::time(line.unix_millis / 1000)) " " (line.text) } } }
                }
            }
        }
    }
}

/// For the page of machines to approve: who is there and did not start Cairn, and why.
pub fn machines_without_cairn(report: &NetworkReport) -> Markup {
    let others: Vec<&WireMachine> =
        report.machines.iter().filter(|machine| !machine.runs_cairn && machine.node.is_none()).collect();
    html! {
        @if !others.is_empty() {
            section aria-labelledby="only-asked" {
                h2 #only-asked { "On the wire, but not started by Cairn" }
                ul.machines { @for one in others { (machine(one)) } }
            }
        }
    }
}
