//! One machine: what it is made of, what is on its disks, and what the owner decides about it.

use crate::api::MachineStatus;
use crate::approve::fits;
use crate::web::ui::{self, Choice, Tone, notice, state};
use crate::web::{next_boot, words};
use cairn_model::inventory::{Disk, Firmware, Inventory};
use cairn_model::phase::Phase;
use maud::{Markup, html};

/// With what the owner has to decide.
pub fn waiting(machine: &MachineStatus, places: &[String]) -> Markup {
    let id = &machine.id;
    // Left to the suggestion, of several machines that are approved at once each gets a place of its own.
    let suggested = machine.suggested.as_ref().map(|name| Choice {
        value: "",
        words: format!("as suggested: {name}, or the next one"),
        chosen: true,
    });
    let named = places.iter().map(|place| Choice { value: place, words: place.clone(), chosen: false });
    let choices: Vec<Choice<'_>> = suggested.into_iter().chain(named).collect();
    html! {
        li.card.machine id={ "machine-" (machine.short_id) } {
            (head(machine))
            div.decide {
                @if machine.waits_for_disk {
                    div.code-box {
                        span.quiet { "Started from an installer stick" }
                        p { "The stick has proven itself, so there is no code to compare. Only its disk is to be chosen." }
                        (ui::tick(&format!("tick-{}-disk", machine.short_id), "machine", id, &html! { "Install on the chosen disk" }))
                    }
                } @else if let Some(code) = &machine.code {
                    div.code-box {
                        span.quiet { "Code on its screen" }
                        output.code aria-label={ "Code " (code) } { (code) }
                        input type="hidden" name={ "code." (id) } value=(code);
                        // another code wants another look
                        (ui::tick(&format!("tick-{}-{code}", machine.short_id), "machine", id, &html! { "The same code stands there" }))
                    }
                }
                div {
                    @if let (true, Some(place)) = (machine.waits_for_disk, &machine.claims) {
                        p.label { "It becomes " (place) }
                    } @else {
                        (ui::select(&format!("node-{}", machine.short_id), &format!("node.{id}"), "It becomes", &choices))
                        @if let Some(because) = &machine.suggested_because { p.hint { (because) "." } }
                    }
                    @if let Some(inventory) = &machine.inventory { (disks(machine, inventory)) }
                }
            }
        }
    }
}

/// One about which nothing is to be decided now.
pub fn other(machine: &MachineStatus) -> Markup {
    html! {
        li.card.machine id={ "machine-" (machine.short_id) } {
            (head(machine))
            @if machine.approved { (notice(Tone::Working, "Approved. It is being given its place.")) }
            @if let Some(inventory) = &machine.inventory {
                ul.rows { @for disk in &inventory.disks { li { (disk_words(disk)) } } }
            }
        }
    }
}

fn head(machine: &MachineStatus) -> Markup {
    html! {
        header {
            div {
                h3 { @if machine.product.is_empty() { "A machine" } @else { (machine.product) } }
                p.facts { "key " code { (machine.short_id) }
                    @if let Some(claims) = &machine.claims { " · says that it is " strong { (claims) } } }
            }
            (stand(machine))
        }
        @if let Some(refused) = &machine.refused {
            (notice(if machine.waits_for_disk { Tone::Attention } else { Tone::Failed }, refused))
        }
        @if let Some(unfit) = &machine.unfit { (notice(Tone::Off, html! { "It can't serve: " (unfit) })) }
        @if let Some(inventory) = &machine.inventory { (hardware(inventory)) }
        @if machine.phase != Phase::Unreachable {
            (ui::blink(&format!("/api/v1/machines/{}/blink", machine.id), &machine.short_id))
        }
        (next_boot::choice(&format!("once-{}", machine.short_id), &format!("/machines/{}", machine.id), machine.next_boot))
    }
}

/// It says what is expected of the owner rather than the phase, where something is.
fn stand(machine: &MachineStatus) -> Markup {
    match (&machine.refused, words::awaits_approval(machine)) {
        (_, true) if machine.waits_for_disk => state(Tone::Attention, "waits for its disk"),
        (Some(_), _) => state(Tone::Failed, "refused"),
        (None, true) => state(Tone::Attention, "waits for your approval"),
        (None, false) => state(words::phase(machine.phase), machine.phase),
    }
}

fn hardware(inventory: &Inventory) -> Markup {
    let Inventory { firmware, architecture, cpu, memory_mib, .. } = inventory;
    let firmware = match firmware {
        Firmware::Uefi { secure_boot: true } => "UEFI with Secure Boot",
        Firmware::Uefi { secure_boot: false } => "UEFI",
        Firmware::Other => "no UEFI",
    };
    let cores = words::count(usize::try_from(cpu.cores).unwrap_or(usize::MAX), "core");
    html! {
        dl.facts-list {
            div { dt { "Processor" } dd { (cpu.model) ", " (cores) @if !cpu.aes { ", no AES" } } }
            div { dt { "Memory" } dd { (words::bytes(memory_mib.saturating_mul(1 << 20))) } }
            div { dt { "Firmware" } dd { (firmware) ", " (architecture) } }
        }
    }
}

fn disks(machine: &MachineStatus, inventory: &Inventory) -> Markup {
    let id = &machine.id;
    let usable = || inventory.disks.iter().filter(|disk| !disk.started_from);
    let only = usable().filter(|disk| fits(disk)).count() == 1;
    let holding = usable().any(|disk| !disk.content.is_blank());
    html! {
        fieldset.disks {
            legend { "Install on" }
            @if inventory.disks.is_empty() { p.quiet { "It has no disk." } }
            @for disk in &inventory.disks {
                @let own = format!("disk-{}-{}", machine.short_id, ui::part(&disk.id));
                label.disk for=(own) {
                    input id=(own) type="radio" name={ "disk." (id) } value=(disk.id)
                        checked[only && fits(disk)] disabled[disk.started_from];
                    (disk_words(disk))
                }
            }
            @if holding {
                (ui::tick(&format!("wipe-{}", machine.short_id), &format!("wipe.{id}"), "true",
                    &html! { "What the chosen disk holds may be erased" }))
            }
        }
    }
}

pub fn disk_words(disk: &Disk) -> Markup {
    html! {
        span.disk-words {
            span { strong { (words::gigabytes(disk.size_bytes)) } " " (disk.model) span.quiet { " · " (words::disk_kind(disk)) } }
            @if disk.content.is_blank() { span.quiet { "Blank" } } @else { span.holds { (ui::mark(Tone::Attention)) "Holds " (disk.content) } }
            @if disk.started_from { span.quiet { "It was started from this one." } }
            code { (disk.id) }
        }
    }
}
