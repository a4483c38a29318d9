//! Checkpoints: all machines of a lab as they stood at one moment, to go on from as often as wanted.
//!
//! Saving stops every machine, writes its running state to a file, switches it off, moves its disks into the
//! checkpoint, where they never change again, and goes on from there with fresh overlays; so saving ends with a
//! restore, and there is one way to restore. The disks of a lab that was restored stand on the checkpoint's: keep a
//! checkpoint as long as a lab that came from it, or checkpoints of that lab, are wanted.
//!
//! Where a machine's running state can't be saved (QEMU can't migrate an NVMe drive) the checkpoint holds the disks
//! only, as after a power cut of all machines at once, and restoring it is a cold start.
//!
//! What runs beside the machines is the caller's: it stops it before saving and starts it again afterwards, and may
//! name directories of it to be kept along.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::arguments::{CONSOLE_LOG, FIRMWARE_VARIABLES, Start, disk_file};
use crate::command::run;
use crate::disk;
use crate::error::LabError;
use crate::lab::Lab;
use crate::machine::Machine;
use crate::network;
use crate::qmp::{Qmp, QmpError};
use crate::state::{LabState, MachineState};
use crate::tools::Tools;

const MANIFEST: &str = "checkpoint.json";
const RUNNING_STATE: &str = "running-state";
const EXTRAS: &str = "extras";
/// For 2 GiB of memory on a slow disk.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointKind {
    /// Restoring goes on at the very instruction.
    Running,
    /// Restoring is a cold start.
    Disks,
}

/// What lies in a checkpoint's directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checkpoint {
    pub kind: CheckpointKind,
    /// Why it is not a running one.
    pub reason: Option<String>,
    /// The machines that were on.
    pub on: Vec<String>,
    /// The names of the directories that were kept along.
    pub extras: Vec<String>,
    lab: LabState,
}

impl Checkpoint {
    pub fn read(path: &Path) -> Result<Checkpoint, LabError> {
        let text = fs::read(path.join(MANIFEST)).ok();
        let parsed = text.and_then(|text| serde_json::from_slice(&text).ok());
        parsed.ok_or_else(|| LabError::NoCheckpoint { path: path.to_owned() })
    }
}

impl Lab {
    /// Saves all machines to the new directory `path`, and `extras` (a name and a directory each) with them; then the
    /// machines go on.
    pub fn checkpoint_save(&self, path: &Path, extras: &[(&str, &Path)]) -> Result<Checkpoint, LabError> {
        let _lock = self.lock()?;
        if path.exists() {
            return Err(LabError::CheckpointExists { path: path.to_owned() });
        }
        fs::create_dir_all(path).map_err(LabError::file("make", path))?;
        let path = path.canonicalize().map_err(LabError::file("find", path))?;

        let state = self.state()?;
        let on: Vec<Machine<'_>> = self.machines()?.into_iter().filter(Machine::is_on).collect();
        let (kind, reason) = match save_running(&on, &path) {
            Ok(()) => (CheckpointKind::Running, None),
            Err(error) => (CheckpointKind::Disks, Some(chain(&error))),
        };
        for machine in &on {
            quit(machine)?;
        }
        for machine in &state.machines {
            self.freeze(machine, &state.tools, &path)?;
        }
        for (name, source) in extras {
            copy_tree(source, &path.join(EXTRAS).join(name))?;
        }
        let checkpoint = Checkpoint {
            kind,
            reason,
            on: on.iter().map(|machine| machine.name().to_owned()).collect(),
            extras: extras.iter().map(|(name, _)| (*name).to_owned()).collect(),
            lab: state,
        };
        let manifest = path.join(MANIFEST);
        let text = serde_json::to_vec_pretty(&checkpoint).map_err(std::io::Error::other);
        text.and_then(|text| fs::write(&manifest, text)).map_err(LabError::file("write", manifest))?;
        self.go_on(&checkpoint, &path)?;
        Ok(checkpoint)
    }

    /// Makes the lab of a checkpoint in `dir`, clearing what was there, and lets its machines go on. Each of `extras`
    /// names what was kept along and the directory to put it to. The tools are the present ones, which have to be
    /// the same QEMU that saved a running checkpoint.
    pub fn checkpoint_restore(
        dir: &Path,
        tools: Tools,
        path: &Path,
        extras: &[(&str, &Path)],
    ) -> Result<Lab, LabError> {
        let checkpoint = Checkpoint::read(path)?;
        let path = path.canonicalize().map_err(LabError::file("find", path))?;
        let lab = Lab::bare(dir, |namespace| LabState {
            namespace: namespace.name().to_owned(),
            tools,
            ..checkpoint.lab.clone()
        })?;
        lab.rebuild_networks()?;
        for machine in &checkpoint.lab.machines {
            lab.thaw(machine, &path)?;
        }
        for (name, destination) in extras {
            copy_tree(&path.join(EXTRAS).join(name), destination)?;
        }
        lab.go_on(&checkpoint, &path)?;
        Ok(lab)
    }

    fn rebuild_networks(&self) -> Result<(), LabError> {
        let state = self.state()?;
        for bridge in &state.bridges {
            network::add_bridge(self.namespace(), &bridge.name)?;
        }
        for machine in &state.machines {
            network::add_tap(self.namespace(), &machine.tap, &machine.bridge)?;
        }
        network::add_manager(self.namespace(), &state.manager.bridge)?;
        if let Some(address) = &state.manager.address {
            network::address(self.namespace(), "replace", address, network::MANAGER_INTERFACE)?;
        }
        for (bridge, subnet) in state.bridges.iter().filter_map(|bridge| Some((&bridge.name, bridge.dhcp?))) {
            self.start_dnsmasq(bridge, subnet)?;
        }
        Ok(())
    }

    /// Moves a machine's disks into the checkpoint and puts overlays in their place.
    fn freeze(&self, machine: &MachineState, tools: &Tools, path: &Path) -> Result<(), LabError> {
        let (from, to) = (self.machine_dir(&machine.spec.name), machine_folder(path, machine));
        fs::create_dir_all(&to).map_err(LabError::file("make", &to))?;
        for file in disks(machine) {
            let (disk, frozen) = (from.join(&file), to.join(&file));
            // Moves across file systems too, and keeps the holes.
            run(Command::new("mv").arg(&disk).arg(&frozen))?;
            disk::overlay(tools, &frozen, &disk)?;
        }
        copy_small(&from, &to)
    }

    fn thaw(&self, machine: &MachineState, path: &Path) -> Result<(), LabError> {
        let (from, to) = (machine_folder(path, machine), self.machine_dir(&machine.spec.name));
        let tools = self.state()?.tools;
        fs::create_dir_all(&to).map_err(LabError::file("make", &to))?;
        for file in disks(machine) {
            disk::overlay(&tools, &from.join(&file), &to.join(&file))?;
        }
        copy_small(&from, &to)
    }

    /// Starts the machines that were on from what the checkpoint holds, all of them before the first goes on.
    fn go_on(&self, checkpoint: &Checkpoint, path: &Path) -> Result<(), LabError> {
        let machines = checkpoint.on.iter().map(|name| self.machine(name)).collect::<Result<Vec<_>, _>>()?;
        if checkpoint.kind == CheckpointKind::Disks {
            return machines.iter().try_for_each(Machine::power_on);
        }
        for machine in &machines {
            machine.start(Start::Restored)?;
            let uri = format!("file:{}", running_state(path, machine.name()).display());
            machine.control(|qmp| qmp.execute("migrate-incoming", json!({ "uri": uri })))?;
        }
        for machine in &machines {
            machine.control(await_migration)?;
        }
        machines
            .iter()
            .try_for_each(|machine| machine.control(|qmp| qmp.execute("cont", json!({}))).map(drop))
    }
}

/// Stops all machines at nearly one moment and writes their running states side by side.
fn save_running(machines: &[Machine<'_>], path: &Path) -> Result<(), LabError> {
    for machine in machines {
        machine.control(|qmp| qmp.execute("stop", json!({})))?;
    }
    for machine in machines {
        let file = running_state(path, machine.name());
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(LabError::file("make", folder))?;
        }
        machine.control(|qmp| {
            // Without a limit; QEMU's own is meant for a network that others use too.
            qmp.execute("migrate-set-parameters", json!({ "max-bandwidth": 0 }))?;
            qmp.execute("migrate", json!({ "uri": format!("file:{}", file.display()) }))
        })?;
    }
    machines.iter().try_for_each(|machine| machine.control(await_migration))
}

fn await_migration(qmp: &mut Qmp) -> Result<(), QmpError> {
    let deadline = Instant::now() + MIGRATION_PATIENCE;
    loop {
        let answer = qmp.execute("query-migrate", json!({}))?;
        let text = |key| answer.get(key).and_then(Value::as_str);
        match text("status") {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => {
                return Err(QmpError::Migration(text("error-desc").unwrap_or("no reason given").to_owned()));
            }
            _ if Instant::now() >= deadline => {
                return Err(QmpError::Migration("it takes too long".to_owned()));
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(|error| error.to_string())
        .collect::<Vec<_>>()
        .join(": ")
}

/// Ends QEMU in an orderly way, its disk images closed.
fn quit(machine: &Machine<'_>) -> Result<(), LabError> {
    machine.control(|qmp| qmp.execute("quit", json!({})))?;
    machine.wait_off(Duration::from_secs(30))
}

fn machine_folder(path: &Path, machine: &MachineState) -> PathBuf {
    path.join("machines").join(&machine.spec.name)
}

fn running_state(path: &Path, machine: &str) -> PathBuf {
    path.join("machines").join(machine).join(RUNNING_STATE)
}

fn disks(machine: &MachineState) -> impl Iterator<Item = String> {
    let plugged = machine.plugged.iter().map(|plugged| &plugged.disk);
    machine.spec.disks.iter().chain(plugged).map(|disk| disk_file(&disk.serial))
}

/// The firmware's variables, and the console so far, so that offsets on it go on being right.
fn copy_small(from: &Path, to: &Path) -> Result<(), LabError> {
    for file in [FIRMWARE_VARIABLES, CONSOLE_LOG] {
        match fs::copy(from.join(file), to.join(file)) {
            // A machine that never ran has said nothing.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(LabError::file("copy", from.join(file))(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The directory's content, into a directory that is made.
fn copy_tree(from: &Path, to: &Path) -> Result<(), LabError> {
    fs::create_dir_all(to).map_err(LabError::file("make", to))?;
    Ok(run(Command::new("cp").arg("-a").arg(from.join(".")).arg(to)).map(drop)?)
}
