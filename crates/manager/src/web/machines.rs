//! Machines that are no nodes yet, and the form that approves one.

use super::words;
use crate::api::{MachineStatus, NodeStatus};
use crate::approve::fits;
use cairn_model::inventory::{Disk, Firmware, Inventory};
use maud::{Markup, html};

pub fn card(machine: &MachineStatus, nodes: &[NodeStatus]) -> Markup {
    html! {
        li.card.machine data-part={ "machine-" (machine.short_id) } {
            header {
                h3 { (machine.product) }
                (words::phase(machine.phase))
            }
            p.facts { "key " code { (machine.short_id) }
                @if let Some(claims) = &machine.claims { " · says that it is " strong { (claims) } } }
            @if let Some(refused) = &machine.refused {
                p.condition.fault { span aria-hidden="true" { "▲ " } (refused) }
            }
            @if let Some(inventory) = &machine.inventory { (self::inventory(inventory)) }
            @if machine.approved {
                p { "Approved; it is being given its place." }
            } @else if let (Some(code), Some(inventory)) = (&machine.code, &machine.inventory) {
                p.code-line { "Code on its console:" }
                p.code aria-label={ "Code " (code) } { (code) }
                (form(machine, code, inventory, nodes))
            }
        }
    }
}

fn inventory(inventory: &Inventory) -> Markup {
    let firmware = match inventory.firmware {
        Firmware::Uefi { secure_boot: true } => "UEFI with Secure Boot",
        Firmware::Uefi { secure_boot: false } => "UEFI",
        Firmware::Other => "no UEFI",
    };
    let cpu = &inventory.cpu;
    html! {
        p.facts {
            (cpu.model) ", " (cpu.cores) @if cpu.cores == 1 { " core · " } @else { " cores · " } (inventory.memory_mib) " MiB · " (inventory.architecture) " · " (firmware)
        }
        ul.disks {
            @for disk in &inventory.disks {
                li { (disk_line(disk)) }
            }
            @if inventory.disks.is_empty() { li { "no disk" } }
        }
    }
}

fn disk_line(disk: &Disk) -> Markup {
    html! {
        strong { (words::gigabytes(disk.size_bytes)) } " " (disk.model) " "
        @if disk.rotational { "(HDD) " }
        @if disk.removable { "(removable) " }
        code { (disk.id) } ": "
        @if disk.content.is_blank() { "blank" } @else { span.holds { (disk.content) } }
        @if disk.started_from { " (started from it)" }
    }
}

fn form(machine: &MachineStatus, code: &str, inventory: &Inventory, nodes: &[NodeStatus]) -> Markup {
    let places = nodes.iter().filter(|node| !node.enrolled);
    let usable = || inventory.disks.iter().filter(|disk| !disk.started_from);
    let id = &machine.short_id;
    let holding = usable().any(|disk| !disk.content.is_blank());
    html! {
        form.approve method="post" action={ "/machines/" (machine.id) "/approve" } {
            input type="hidden" name="code" value=(code);
            label for={ "node-" (id) } { "It becomes" }
            select id={ "node-" (id) } name="node" {
                @for place in places {
                    option value=(place.name) selected[machine.suggested.as_deref() == Some(place.name.as_str())] { (place.name) }
                }
            }
            label for={ "disk-" (id) } { "on the disk" }
            select id={ "disk-" (id) } name="disk" required {
                @if !usable().any(fits) { option value="" selected { "choose" } }
                @for disk in usable() {
                    option value=(disk.id) selected[fits(disk)] {
                        (words::gigabytes(disk.size_bytes)) " " (disk.model) " "
                        @if disk.content.is_blank() { "(blank)" } @else { "(not blank)" }
                    }
                }
            }
            @if holding {
                label.wipe {
                    input type="checkbox" name="wipe" value="true";
                    " What is on the chosen disk may go"
                }
            }
            button type="submit" { "The code on the machine's console is the same: approve" }
            p.quiet { "If the console shows another code, somebody stands in between: don't approve." }
        }
    }
}
