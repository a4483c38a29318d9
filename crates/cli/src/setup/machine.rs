//! Which machine is asked about next, and what the owner decides about it.

use crate::client::Client;
use crate::node::{self, in_words};
use crate::status::gigabytes;
use crate::{consent, out, say};
use anyhow::{Result, bail};
use cairn_manager::api::{ApproveRequest, BlinkRequest, BlinkResponse, MachineStatus, Status};
use cairn_manager::approve;
use cairn_manager::journal::Way;
use cairn_model::inventory::{Disk, Inventory};
use std::collections::BTreeSet;

/// What the dialogue does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// This machine waits for the owner's word.
    Ask(&'a MachineStatus),
    /// Something is missing, or on its way.
    Wait,
    /// All that was approved runs.
    Healthy,
}

/// Machines that the owner left alone in this run are not asked about again.
pub fn next<'a>(status: &'a Status, left: &BTreeSet<String>) -> Step<'a> {
    let mut machines = status.machines.iter();
    match machines.find(|machine| waits(machine) && !left.contains(&machine.id)) {
        Some(machine) => Step::Ask(machine),
        None if status.healthy && !status.machines.iter().any(|machine| machine.approved) => Step::Healthy,
        None => Step::Wait,
    }
}

/// Machines that can't be asked about, with a reason to be told. What stands in the way of one that is asked about is
/// shown with the question.
pub fn only_told(status: &Status) -> impl Iterator<Item = &MachineStatus> {
    status.machines.iter().filter(|it| (it.unfit.is_some() || it.refused.is_some()) && !waits(it))
}

fn waits(machine: &MachineStatus) -> bool {
    let can_be_named = machine.code.is_some() || machine.waits_for_disk;
    can_be_named && !machine.approved && machine.unfit.is_none() && machine.inventory.is_some()
}

/// # Errors
/// When standard output can't be written.
pub fn show(machine: &MachineStatus) -> Result<()> {
    out::text(&format!("\n{}", in_words(machine)))
}

/// Asks about a machine and approves it. Gives false when the owner leaves it alone. What the manager refuses is
/// said, and the machine is asked about again for as long as it waits.
///
/// # Errors
/// When the terminal or the manager went away.
pub fn decide(client: &Client, machine: &MachineStatus, status: &Status) -> Result<bool> {
    show(machine)?;
    let Some(inventory) = &machine.inventory else { return Ok(false) };
    if !is_the_one(client, machine)? {
        say!(
            "Left alone. If its screen shows another code, somebody may stand in between: don't approve it."
        )?;
        return Ok(false);
    }
    let node = ask_place(machine, status)?;
    let Some((disk, wipe)) = ask_disk(inventory)? else {
        say!("Left alone; nothing was written to it.")?;
        return Ok(false);
    };
    let code = machine.code.clone().unwrap_or_default();
    let request = ApproveRequest { code, node, role: None, disk: Some(disk), wipe };
    match node::approve(client, &machine.id, &request) {
        Ok(approved) => say!("{} is installed on {}.", approved.node, approved.disk)?,
        Err(error) => say!("Not approved: {error:#}")?,
    }
    Ok(true)
}

fn answer(prompt: &str) -> Result<String> {
    let Some(answer) = consent::line(prompt)? else { bail!("left; run `cairn setup` again to go on") };
    Ok(answer)
}

/// A machine that was started from an installer stick has proved its join key, which is worth more than a code.
fn is_the_one(client: &Client, machine: &MachineStatus) -> Result<bool> {
    let question = match &machine.code {
        Some(code) => format!("Is {code} the code on its screen? [y/N, b makes it blink] "),
        None => "Install it? [y/N, b makes it blink] ".to_owned(),
    };
    loop {
        match answer(&question)?.as_str() {
            "b" | "B" => {
                let asked = client.post(&format!("machines/{}/blink", machine.id), &BlinkRequest::default());
                match asked.and_then(|answer| answer.for_eyes::<BlinkResponse>()) {
                    Ok(BlinkResponse { light, seconds }) => say!("{light} blinks for {seconds} seconds")?,
                    Err(error) => say!("{error:#}")?,
                }
            }
            word => return Ok(consent::is_yes(word)),
        }
    }
}

/// None leaves it to the manager, which takes the suggested place.
fn ask_place(machine: &MachineStatus, status: &Status) -> Result<Option<String>> {
    if machine.waits_for_disk {
        return Ok(None);
    }
    let free: Vec<&str> = status.nodes.iter().filter(|n| !n.enrolled).map(|n| n.name.as_str()).collect();
    if !free.is_empty() {
        say!(
            "Places without a machine: {}. A name such as compute-1 or backup-1 makes a new one.",
            free.join(", ")
        )?;
    }
    let suggested = machine.suggested.as_deref();
    let prompt = suggested.map_or("It becomes: ".to_owned(), |place| format!("It becomes [{place}]: "));
    loop {
        let typed = answer(&prompt)?;
        match (typed.is_empty(), suggested) {
            (false, _) => return Ok(Some(typed)),
            (true, Some(place)) => return Ok(Some(place.to_owned())),
            (true, None) => {}
        }
    }
}

/// The disk, and whether what is on it goes; none when no disk may be taken.
fn ask_disk(inventory: &Inventory) -> Result<Option<(String, bool)>> {
    let disks = eligible(inventory);
    let usual = usual(inventory, &disks);
    for (number, disk) in (1..).zip(&disks) {
        let size = gigabytes(disk.size_bytes);
        say!("  {number}: {}, {size:.1} GB, {} {}", disk.id, disk.model, disk.content)?;
    }
    let default = usual.map_or_else(String::new, |number| format!(" [{number}]"));
    loop {
        let typed = answer(&format!("Install on which disk{default}, or n for none? "))?;
        if typed == "n" {
            return Ok(None);
        }
        let number = if typed.is_empty() { usual } else { typed.parse().ok() };
        let chosen = number.and_then(|number: usize| disks.get(number.checked_sub(1)?));
        let Some(disk) = chosen else { continue };
        if disk.content.is_blank() {
            return Ok(Some((disk.id.clone(), false)));
        }
        say!("This disk holds: {}. All of it will be lost.", disk.content)?;
        if answer("Write `wipe` to go on, or Enter for another disk: ")? == "wipe" {
            return Ok(Some((disk.id.clone(), true)));
        }
    }
}

/// Those that the manager would take, if what is on them may go.
fn eligible(inventory: &Inventory) -> Vec<&Disk> {
    let would = |disk: &&Disk| approve::disk(inventory, Some(&disk.id), true).is_ok();
    inventory.disks.iter().filter(would).collect()
}

/// The number of the one that the manager would take by itself, counted from 1.
fn usual(inventory: &Inventory, disks: &[&Disk]) -> Option<usize> {
    let Ok(Way::Disk { id, .. }) = approve::disk(inventory, None, false) else { return None };
    disks.iter().position(|disk| disk.id == id)?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(disks: &[(&str, &str)]) -> Inventory {
        let disk = |(id, content): &(&str, &str)| {
            let content = match *content {
                "blank" => serde_json::json!("blank"),
                holds => serde_json::json!({ "holds": holds }),
            };
            serde_json::json!({"id": id, "kernel_name": "sda", "model": "", "serial": "",
                "size_bytes": 64_000_000_000_u64, "rotational": false, "removable": false,
                "started_from": *id == "started", "content": content})
        };
        let disks: Vec<_> = disks.iter().map(disk).collect();
        serde_json::from_value(serde_json::json!({"firmware": "other", "architecture": "x86_64",
            "product": {"vendor": "", "name": "", "serial": ""}, "cpu": {"model": "", "cores": 4, "aes": true},
            "memory_mib": 8000, "interfaces": [], "disks": disks}))
        .unwrap()
    }

    fn machine(id: &str) -> MachineStatus {
        let mut machine: MachineStatus = serde_json::from_value(serde_json::json!({"id": id, "short_id": id,
            "phase": "discovered", "claims": null, "code": "123-456", "approved": false, "inventory": null,
            "product": "", "suggested": null, "refused": null}))
        .unwrap();
        machine.inventory = Some(inventory(&[("a", "blank")]));
        machine
    }

    #[test]
    fn machines_are_asked_about_in_turn_and_what_is_under_way_is_waited_for() {
        let none = BTreeSet::new();
        let mut status = Status { machines: vec![machine("a"), machine("b")], ..Status::default() };
        assert_eq!(next(&status, &none), Step::Ask(&machine("a")));
        assert_eq!(next(&status, &BTreeSet::from(["a".to_owned()])), Step::Ask(&machine("b")));
        status.machines[1].code = None;
        assert_eq!(next(&status, &BTreeSet::from(["a".to_owned()])), Step::Wait);
        status.machines[1].waits_for_disk = true;
        assert!(matches!(next(&status, &BTreeSet::from(["a".to_owned()])), Step::Ask(it) if it.id == "b"));
        status.machines[0].unfit = Some("too small".into());
        status.machines[1].approved = true;
        status.healthy = true;
        assert_eq!(next(&status, &none), Step::Wait);
        status.machines.clear();
        assert_eq!(next(&status, &none), Step::Healthy);
        status.healthy = false;
        assert_eq!(next(&status, &none), Step::Wait);
    }

    #[test]
    fn a_machine_that_waits_for_its_disk_is_shown_once_with_the_question() {
        let mut status = Status { machines: vec![machine("stick"), machine("used")], ..Status::default() };
        for machine in &mut status.machines {
            (machine.code, machine.refused) = (None, Some("name a disk".into()));
        }
        status.machines[0].waits_for_disk = true;
        assert_eq!(only_told(&status).map(|it| it.id.as_str()).collect::<Vec<_>>(), ["used"]);
        assert_eq!(next(&status, &BTreeSet::new()), Step::Ask(&status.machines[0]));
    }

    #[test]
    fn a_disk_is_offered_when_the_manager_would_take_it_and_usual_when_there_is_no_doubt() {
        let offered = |disks: &[(&str, &str)]| {
            let inventory = inventory(disks);
            let disks = eligible(&inventory);
            let ids: Vec<String> = disks.iter().map(|disk| disk.id.clone()).collect();
            (ids.join(" "), usual(&inventory, &disks))
        };
        assert_eq!(
            offered(&[("started", "blank"), ("photos", "ext4"), ("a", "blank")]),
            ("photos a".into(), Some(2))
        );
        assert_eq!(offered(&[("a", "blank"), ("b", "blank")]), ("a b".into(), None));
        assert_eq!(offered(&[("photos", "ext4")]), ("photos".into(), None));
    }
}
