//! A prepared medium is good for one machine, once. That an expired join key is refused is shown by the tests of
//! `cairn-manager` (`path_tests.rs`), and that a foreign one is, by those of `cairn-vault` (`join.rs`).

use super::formation::used_medium;
use crate::world::World;
use anyhow::{Context, Result, ensure};
use cairn_lab::{DiskSpec, MachineSpec};
use std::time::Duration;

const NAME: &str = "copycat";

pub fn used(world: &World) -> Result<()> {
    let lab = world.lab()?;
    let mut spec =
        MachineSpec::medium(NAME, 512, DiskSpec::over("copycat-card", 8 << 30, used_medium(world)));
    spec.rtc_base = Some("1970-01-01".to_owned());
    lab.add_machine(&spec)?;
    lab.machine(NAME)?.power_on()?;
    world.until("the copy of a used medium to be refused", Duration::from_secs(150), || {
        let machines = world.status()?.machines;
        let machine = machines.into_iter().find(|it| it.claims.as_deref() == Some("etcd-1"));
        let refused = machine.context("nobody claims to be etcd-1")?.refused.context("it is not refused")?;
        // At first the address may be taken for that of the machine which had it before.
        ensure!(refused.contains("used"), "the refusal does not say that the key was used: {refused}");
        Ok(())
    })?;
    let console = lab.machine(NAME)?.console_since(0)?;
    ensure!(!String::from_utf8_lossy(&console).contains("approved as"), "the copy believes to be a node");
    lab.machine(NAME)?.cut()?;
    world.healthy(Duration::from_secs(60)).map(drop)
}
