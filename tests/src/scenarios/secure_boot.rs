//! A machine with Secure Boot on starts what this cluster has signed, and a machine that trusts somebody else does not.

use super::stranger::{DISK, discovered};
use crate::firmware;
use crate::world::World;
use anyhow::{Context, Result, ensure};
use cairn_lab::{DiskSpec, MachineSpec};
use cairn_model::inventory::Firmware;
use std::time::Duration;

const TRUSTING: &str = "trusting";
const FOREIGN: &str = "foreign";
/// In the words of EDK2's boot manager.
const REFUSED: &str = "(Access Denied|Security Violation)";

pub fn decides(world: &World) -> Result<()> {
    let certificates =
        [(TRUSTING, firmware::own_certificate(world)?), (FOREIGN, firmware::somebodys_certificate(world)?)];
    let lab = world.lab()?;
    for (name, certificate) in certificates {
        let disk = DiskSpec::blank(&format!("{name}-disk"), DISK);
        let machine = MachineSpec::netboot(name, 1536).with_disk(disk);
        lab.add_machine(&machine.with_secure_boot(firmware::trusting(world, &certificate)?))?;
        lab.machine(name)?.power_on()?;
    }
    let machine = discovered(world, TRUSTING, Duration::from_secs(240))?;
    let inventory = machine.inventory.context("no inventory")?;
    ensure!(inventory.firmware == Firmware::Uefi { secure_boot: true }, "it is {:?}", inventory.firmware);
    world.console(FOREIGN, 0, REFUSED, Duration::from_secs(240))?;
    let console = lab.machine(FOREIGN)?.console_since(0)?;
    ensure!(!String::from_utf8_lossy(&console).contains("cairn: "), "it started what it does not trust");
    for name in [TRUSTING, FOREIGN] {
        lab.machine(name)?.cut()?;
    }
    Ok(())
}
