//! The lab's way into a machine comes from outside: the image itself holds none.

use crate::scan;
use crate::world::World;
use anyhow::{Result, ensure};
use cairn_lab::{ExecError, ExecLimits, LabError};
use std::net::IpAddr;
use std::time::Duration;

/// Of etcd for clients, of etcd for its peers, and the agent's.
const EXPECTED: [u16; 3] = [2379, 2380, 4210];

pub fn listens(world: &World) -> Result<()> {
    let lab = world.lab()?;
    let limits = ExecLimits { answer: Duration::from_secs(5), ..ExecLimits::default() };
    let answer = lab.machine("etcd-3")?.exec_uninvited(&["true"], limits);
    let silent = matches!(answer, Err(LabError::Exec(ExecError::NoAnswer { .. })));
    ensure!(silent, "a machine without the injection was asked to run a command, and: {answer:?}");
    let open = scan::open_ports(world, IpAddr::V4(world.node("etcd-3")?.address))?;
    ensure!(open == EXPECTED, "etcd-3 listens on {open:?} instead of {EXPECTED:?}");
    Ok(())
}
