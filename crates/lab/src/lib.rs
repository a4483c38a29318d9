//! Virtual hardware: machines, their disks and consoles, and the networks between them.
//!
//! A [`Lab`] is one network namespace with bridges in it and QEMU machines on the bridges. Nothing of it touches
//! the host's network, and everything that it keeps lies in one state directory, so that any process can open the
//! lab again, act on it, and take it down after its owner was killed.
//!
//! This crate knows machines, not clusters: it never talks to a manager or an agent, and what a machine boots is
//! given to it as disks or served to it by somebody on the bridge. It is synchronous; an async caller wraps it in
//! a blocking task.
//!
//! Start reading at [`Lab`] (`lab.rs`), then [`Machine`] (`machine.rs`), then [`arguments`] for what a machine is made of.
//!
//! ```no_run
//! use std::time::Duration;
//! use cairn_lab::{DiskSpec, ExecLimits, Lab, LabSpec, MachineSpec, Tools};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tools = Tools::discover("/path/of/the/project".as_ref())?;
//! let machine = MachineSpec::netboot("compute-1", 2048).with_disk(DiskSpec::blank("disk-1", 8 << 30)).with_exec();
//! let lab = Lab::create("/path/of/the/state".as_ref(), tools, &LabSpec::new(vec![machine]))?;
//! let machine = lab.machine("compute-1")?;
//! machine.power_on()?;
//! machine.wait_for_console(0, "PXE", Duration::from_secs(30))?;
//! let output = machine.exec(&["uname", "-r"], ExecLimits::default())?;
//! println!("{}", String::from_utf8_lossy(&output.stdout));
//! lab.destroy()?;
//! # Ok(())
//! # }
//! ```

pub mod accel;
pub mod arguments;
pub mod checkpoint;
mod command;
pub mod console;
pub mod disk;
mod error;
pub mod exec;
mod inject;
pub mod lab;
pub mod machine;
pub mod namespace;
mod network;
pub mod process;
pub mod qmp;
pub mod raspberry_pi;
mod socket;
pub mod spec;
pub mod state;
mod teardown;
pub mod tools;

pub use accel::Accel;
pub use checkpoint::{Checkpoint, CheckpointKind};
pub use command::CommandError;
pub use console::ConsoleMatch;
pub use error::LabError;
pub use exec::{ExecError, ExecLimits, ExecOutput};
pub use lab::Lab;
pub use machine::Machine;
pub use namespace::Namespace;
pub use network::{MANAGER_INTERFACE, Subnet};
pub use process::{Identity, ProcessSpec};
pub use spec::{
    Architecture, CABLE, DiskBus, DiskSource, DiskSpec, InjectedUnit, LabSpec, MachineKind, MachineSpec,
    NetworkCard, RaspberryPi, WriteLimit,
};
pub use teardown::TeardownError;
pub use tools::{Tools, ToolsError, preflight};
