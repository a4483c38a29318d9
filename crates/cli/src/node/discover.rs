//! `cairn node discover`: machines that wait for an approval, and what each of them is made of.

use crate::client::{Client, Connection};
use crate::status::gigabytes;
use crate::{out, say};
use anyhow::{Result, bail};
use cairn_manager::api::{MachineStatus, Status};
use cairn_model::inventory::Disk;
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[derive(Debug, clap::Args)]
pub struct DiscoverArguments {
    /// Go on, and show each machine that comes or changes, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// Print JSON; with --watch one object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// # Errors
/// When the manager can't be asked.
pub fn run(arguments: &DiscoverArguments) -> Result<()> {
    let client = arguments.connection.open()?;
    let mut shown = BTreeMap::new();
    // asked for before the first look, so that no change between the two is missed
    let events = if arguments.watch { Some(client.events("events", None)?) } else { None };
    let machines = waiting(&client, arguments.json)?;
    if !arguments.watch && arguments.json {
        out::json(&serde_json::json!({ "machines": machines }))?;
        return Ok(());
    }
    if machines.is_empty() && !arguments.json {
        say!("no machine waits; switch one on that starts from the network or from a prepared medium")?;
    }
    show(machines, &mut shown, arguments.json)?;
    let Some(mut events) = events else { return Ok(()) };
    for event in events.by_ref() {
        if event.name == "status" {
            show(waiting(&client, arguments.json)?, &mut shown, arguments.json)?;
        }
    }
    bail!("{}", events.end())
}

fn waiting(client: &Client, exact: bool) -> Result<Vec<MachineStatus>> {
    let answer = client.look("status")?;
    let status: Status = if exact { answer.exact()? } else { answer.for_eyes()? };
    Ok(status.machines)
}

/// What is new since the last look.
fn show(machines: Vec<MachineStatus>, shown: &mut BTreeMap<String, MachineStatus>, json: bool) -> Result<()> {
    let gone: Vec<String> =
        shown.keys().filter(|id| !machines.iter().any(|m| m.id == **id)).cloned().collect();
    for id in gone {
        if let Some(machine) = shown.remove(&id).filter(|_| !json) {
            say!("{} is gone or became a node", machine.short_id)?;
        }
    }
    for machine in machines {
        if shown.get(&machine.id) == Some(&machine) {
            continue;
        }
        if json {
            out::json_line(&machine)?;
        } else {
            out::text(&in_words(&machine))?;
        }
        shown.insert(machine.id.clone(), machine);
    }
    Ok(())
}

/// One machine: what it is, what it is made of, and what it would be good for.
pub(crate) fn in_words(machine: &MachineStatus) -> String {
    let mut text = String::new();
    let code = machine.code.as_deref().map_or_else(String::new, |code| format!("  code {code}"));
    let _ = writeln!(text, "{}  {}{code}  {}", machine.short_id, machine.phase, machine.product);
    if let Some(inventory) = &machine.inventory {
        let cpu = if inventory.cpu.model.is_empty() { &inventory.architecture } else { &inventory.cpu.model };
        let aes = if inventory.cpu.aes { "" } else { ", no AES" };
        let _ = writeln!(
            text,
            "    {cpu}, {} cores{aes}, {} MiB of memory",
            inventory.cpu.cores, inventory.memory_mib
        );
        for disk in &inventory.disks {
            let _ = writeln!(text, "    {}", disk_in_words(disk));
        }
        for card in &inventory.interfaces {
            let link = if card.link { "" } else { ", no link" };
            let _ = writeln!(text, "    {} {}{link}", card.name, card.mac);
        }
    }
    if let Some(reason) = &machine.unfit {
        let _ = writeln!(text, "    can't serve: {reason}");
    }
    if let Some(reason) = &machine.refused {
        let _ = writeln!(text, "    refused: {reason}");
    } else if let Some(place) = &machine.suggested {
        let because = machine.suggested_because.as_deref().unwrap_or_default();
        let _ = writeln!(text, "    suggested: {place}, because {because}");
    }
    text
}

fn disk_in_words(disk: &Disk) -> String {
    let kind = if disk.rotational { "HDD" } else { "SSD or flash" };
    let own = if disk.started_from { ", started from it" } else { "" };
    format!("{}  {:.1} GB {kind}{own}: {}", disk.id, gigabytes(disk.size_bytes), disk.content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_machine_is_described_with_its_code_disks_and_place() {
        let text = r#"{"id":"aa","short_id":"a1b2","phase":"discovered","claims":null,"code":"123-456",
            "approved":false,"product":"Some PC","suggested":"etcd-1","suggested_because":"it is small",
            "refused":null,"inventory":{"firmware":"other","architecture":"x86_64",
                "product":{"vendor":"","name":"","serial":""},"cpu":{"model":"","cores":4,"aes":false},
                "memory_mib":480,"interfaces":[{"name":"eth0","mac":"52:54:00:00:00:01","link":false,"addresses":[]}],
                "disks":[{"id":"ata-X","kernel_name":"sda","model":"","serial":"","size_bytes":64000000000,
                    "rotational":true,"removable":false,"started_from":false,"content":"blank"}]}}"#;
        let shown = in_words(&serde_json::from_str(text).unwrap());
        for part in [
            "a1b2  discovered  code 123-456  Some PC",
            "x86_64, 4 cores, no AES, 480 MiB",
            "ata-X  64.0 GB HDD: blank",
            "eth0 52:54:00:00:00:01, no link",
            "suggested: etcd-1, because it is small",
        ] {
            assert!(shown.contains(part), "no {part} in {shown}");
        }
    }
}
