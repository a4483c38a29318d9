//! One node: what it is, how it is, and what can be done with it.

use super::discover::disk_words;
use super::history::history;
use super::ui::{self, state};
use super::{cluster, next_boot, words};
use crate::api::{NodeStatus, NodeVitals};
use crate::feed::Item;
use cairn_model::cluster::Role;
use cairn_model::inventory::Inventory;
use cairn_model::phase::Phase;
use maud::{Markup, html};

pub fn content(node: &NodeStatus, events: &[Item]) -> Markup {
    html! {
        header.page {
            p.crumbs { a href="/cluster" { "Cluster" } }
            h1 { (node.name) } (state(words::node(node), node.phase))
            @if node.enrolled && is_reached(node) {
                (ui::blink(&format!("/api/v1/nodes/{}/blink", node.name), &node.name))
            }
        }
        (cluster::conditions(&node.conditions))
        dl.facts-list {
            div { dt { "Role" } dd { (node.role) } }
            div { dt { "Cluster address" } dd.copied { code #address { (node.address) } (ui::copy_button("address", "Copy")) } }
            @if let Some(version) = &node.version { div { dt { "Version" } dd.mono { (version) } } }
            @if node.encrypted {
                div { dt { "Data" } dd { "encrypted, " @if node.unlocked { "open" } @else { "shut" } } }
            }
            @if let Some(Inventory { cpu, memory_mib, .. }) = &node.inventory {
                div { dt { "Processor" } dd { (cpu.model) } }
                div { dt { "Memory" } dd { (words::bytes(node.memory_used)) " of " (words::bytes(memory_mib.saturating_mul(1 << 20))) } }
            }
        }
        @if let Some(job) = &node.job {
            section aria-labelledby="job" {
                h2 #job { "Last job" }
                (ui::job(&format!("job-{}", node.name), job))
            }
        }
        @if let Some(vitals) = &node.vitals { (how_it_does(vitals)) }
        @if let Some(inventory) = &node.inventory {
            section aria-labelledby="drives" {
                h2 #drives { "Drives" }
                ul.rows { @for disk in &inventory.disks { li { (disk_words(disk)) } } }
            }
        }
        @if node.enrolled {
            section aria-labelledby="log-title" { h2 #log-title { "Log" } (ui::log(&node.name)) }
        }
        (actions(node))
        (history(events, Some(&node.name)))
    }
}

fn how_it_does(vitals: &NodeVitals) -> Markup {
    let NodeVitals { told, clock_offset_seconds } = vitals;
    let [load, ..] = told.load_hundredths;
    html! {
        section aria-labelledby="services" {
            h2 #services { "What it runs" }
            p.facts {
                "Up for " (words::span(told.uptime_seconds)) " · load " (load / 100) "." (format!("{:02}", load % 100)) " · "
                @match clock_offset_seconds.unsigned_abs() { 0..=5 => "clock right", off => { "clock off by " (words::span(off)) } }
            }
            @if let Some(data) = told.data { (ui::meter("Data", data.total.saturating_sub(data.free), data.total)) }
            ul.rows {
                @for service in &told.services {
                    li { strong { (service.unit) } (state(words::service(service.state), service.state)) span.quiet { (service.detail) } }
                }
            }
        }
    }
}

fn is_reached(node: &NodeStatus) -> bool {
    !matches!(node.phase, Phase::Absent | Phase::Unreachable)
}

fn actions(node: &NodeStatus) -> Markup {
    let action = |verb: &str| format!("/nodes/{}/{verb}", node.name);
    html! {
        @if !node.enrolled {
            section aria-labelledby="free" {
                h2 #free { "This place is free" }
                p { "Approve a machine for it under " a href="/discover" { "Discover" }
                    ", or write a " a href="/media" { "prepared medium" } " for one that can't start from the network." }
            }
        } @else if is_reached(node) {
            section aria-labelledby="power" {
                h2 #power { "Power" }
                div.row {
                    (ui::confirm("restart", "Restart", "It stops what it runs, starts again, and waits for its key.",
                        &format!("Restart {}", node.name), &action("restart")))
                    (ui::confirm("poweroff", "Switch off", "It stops what it runs and goes off. Somebody has to press its button to bring it back.",
                        &format!("Switch {} off", node.name), &action("poweroff")))
                }
            }
        }
        @if node.enrolled {
            section aria-labelledby="next-boot-title" {
                h2 #next-boot-title { "Next network boot" }
                (next_boot::choice("start-once", &format!("/nodes/{}", node.name), node.next_boot))
                (next_boot::form())
            }
        }
        @if node.role != Role::Etcd {
            section aria-labelledby="remove" {
                h2 #remove { "Remove" }
                (ui::confirm("remove-node", "Remove from the cluster", "It is powered off and leaves the cluster file. What is on its disk stays there, encrypted.",
                    &format!("Remove {}", node.name), &action("remove")))
            }
        }
    }
}
