//! No manager, a power supply that does not hold, and no clock.

use super::encryption::key_of;
use crate::disk;
use crate::world::World;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

const CUTS: usize = 10;
const BOOT: Duration = Duration::from_secs(90);
/// A node asks every half minute until it knows.
const TOLD: Duration = Duration::from_secs(120);
/// Seconds by which clocks may differ that say the same, and that pass between two looks.
const RIGHT: u64 = 10;

pub fn ten_power_cuts(world: &World) -> Result<()> {
    let node = "etcd-2";
    let before = disk::boot_entries(world, &disk::copy(world, node)?)?;
    world.cairn_lab(&["manager", "stop"])?;
    // Their processor time is better spent on the machine that starts.
    others(world, node, "stop")?;
    let waits = format!(r"{node} is locked: waiting for the manager of `[a-z]+` \([0-9.]+\)");
    for cut in 1..=CUTS {
        let offset = world.power_cut(node)?;
        world.console(node, offset, &waits, BOOT).with_context(|| format!("after power cut {cut}"))?;
    }
    let raw = disk::copy(world, node)?;
    let after = disk::boot_entries(world, &raw)?;
    ensure!(before == after, "{CUTS} power cuts changed the boot entries from {before:?} to {after:?}");
    let key = key_of(world, &disk::data_partition(world, &raw)?.path)?;
    let offset = {
        let lab = world.lab()?;
        let machine = lab.machine(node)?;
        let offset = machine.console_length();
        machine.console_send(format!("{key}\n").as_bytes())?;
        offset
    };
    let offset = world.console(node, offset, &format!("{node} is unlocked and starts"), BOOT)?;
    world.console(node, offset, &format!("{node} is running"), BOOT)?;
    let said = world.lab()?.machine(node)?.console_since(offset)?;
    ensure!(!String::from_utf8_lossy(&said).contains(key.trim()), "the console shows the typed recovery key");
    others(world, node, "cont")?;
    time_from_members(world, node, offset)?;
    world.cairn_lab(&["manager", "start"])?;
    world.running(node, Duration::from_secs(120))
}

/// The hardware clock stands in another year, and nobody but the other members can say that.
fn time_from_members(world: &World, node: &str, offset: u64) -> Result<()> {
    let told = r"the clock was [0-9]+ s (ahead|behind), and was set to what these say: etcd-1, etcd-3";
    world.console(node, offset, told, TOLD)?;
    let clock = |node| -> Result<u64> { Ok(world.exec(node, &["date", "+%s"])?.trim().parse()?) };
    let (own, theirs) = (clock(node)?, clock("etcd-1")?);
    ensure!(own.abs_diff(theirs) <= RIGHT, "it is {own} on {node}, and {theirs} on etcd-1");
    Ok(())
}

/// Stops or continues all machines but one.
fn others(world: &World, node: &str, verb: &str) -> Result<()> {
    let lab = world.lab()?;
    for machine in lab.machines()?.iter().filter(|machine| machine.name() != node && machine.is_on()) {
        machine.control(|qmp| qmp.execute(verb, serde_json::json!({})))?;
    }
    Ok(())
}
