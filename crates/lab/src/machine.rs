//! One machine: its power, its cables, its console, and the way in.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::arguments::{self, Start};
use crate::console::{self, ConsoleMatch};
use crate::error::LabError;
use crate::exec::{self, ExecError, ExecLimits, ExecOutput};
use crate::lab::{Lab, known_bridge};
use crate::process::{Identity, Place, ProcessSpec, tail};
use crate::qmp::{Qmp, QmpError};
use crate::spec::{DiskBus, DiskSpec, WriteLimit};
use crate::state::{self, MachineState, PluggedDisk};
use crate::{disk, network};

/// A cable in a hand takes longer from one socket to another; a machine under load would not notice a shorter time.
const BETWEEN_SOCKETS: Duration = Duration::from_secs(2);

/// A machine of a lab. On means that its QEMU runs.
#[derive(Debug, Clone)]
pub struct Machine<'a> {
    lab: &'a Lab,
    name: String,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(lab: &'a Lab, name: &str) -> Machine<'a> {
        Machine { lab, name: name.to_owned() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its disks, its console's log and its sockets are.
    pub fn dir(&self) -> PathBuf {
        self.lab.machine_dir(&self.name)
    }

    pub fn state(&self) -> Result<MachineState, LabError> {
        let state = self.lab.state()?;
        let known =
            || state.machines.iter().map(|machine| machine.spec.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = state.machine(&self.name).cloned();
        found.ok_or_else(|| LabError::NoSuchMachine { name: self.name.clone(), known: known() })
    }

    pub fn is_on(&self) -> bool {
        self.place().running().is_some()
    }

    /// The QEMU process, while the machine is on.
    pub fn process(&self) -> Option<Identity> {
        self.place().running()
    }

    /// Presses the power button of a machine that is off; of one that is on, does nothing.
    pub fn power_on(&self) -> Result<(), LabError> {
        // Two who press at once must not start it twice.
        let _lock = state::lock(&self.dir().join("power.lock"))?;
        if self.is_on() { Ok(()) } else { self.start(Start::Cold) }
    }

    pub(crate) fn start(&self, start: Start) -> Result<(), LabError> {
        let state = self.lab.state()?;
        let machine = self.state()?;
        let arguments = arguments::arguments(&machine, &state.tools, state.accel, start);
        let program = state.tools.emulator(machine.spec.architecture).as_os_str().to_owned();
        let command = std::iter::once(program).chain(arguments.into_iter().map(Into::into));
        let spec = ProcessSpec { directory: Some(self.dir()), ..ProcessSpec::new(&self.name, command) };
        for socket in [arguments::QMP_SOCKET, arguments::CONSOLE_SOCKET, arguments::EXEC_SOCKET] {
            // A socket of the last run would look like a machine that does not answer.
            let _ = std::fs::remove_file(self.dir().join(socket));
        }
        let identity = self.place().start(self.lab.namespace(), spec)?;
        self.await_control(identity)
    }

    fn await_control(&self, identity: Identity) -> Result<(), LabError> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let last_look = !identity.alive() || Instant::now() >= deadline;
            match Qmp::connect(&self.dir(), arguments::QMP_SOCKET) {
                Ok(_) => return Ok(()),
                Err(_) if last_look => {
                    let log = tail(&self.place().log, 5);
                    return Err(LabError::NotStarted { machine: self.name.clone(), log });
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Asks the machine to shut down, as a short press of its power button does, and waits until it is off. A system
    /// in which nobody minds the button stays on.
    pub fn power_off(&self, patience: Duration) -> Result<(), LabError> {
        if !self.is_on() {
            return Ok(());
        }
        self.control(|qmp| qmp.execute("system_powerdown", json!({})))?;
        self.wait_off(patience)
    }

    /// Pulls the plug: what the machine had not flushed is lost, as on a real one.
    pub fn cut(&self) -> Result<(), LabError> {
        Ok(self.place().stop(Duration::ZERO)?)
    }

    /// Presses the reset button.
    pub fn reset(&self) -> Result<(), LabError> {
        self.control(|qmp| qmp.execute("system_reset", json!({}))).map(drop)
    }

    /// Waits until it is off, by whatever cause.
    pub fn wait_off(&self, patience: Duration) -> Result<(), LabError> {
        match self.place().running() {
            Some(identity) if !identity.wait_gone(patience) => {
                Err(LabError::StillOn { machine: self.name.clone(), waited: patience })
            }
            _ => Ok(()),
        }
    }

    /// Puts its network cable in or pulls it out; the machine notices, and asks for an address again when it is back.
    pub fn set_link(&self, up: bool) -> Result<(), LabError> {
        self.control(|qmp| qmp.execute("set_link", json!({ "name": arguments::NIC, "up": up }))).map(drop)
    }

    /// Pulls its network cable and plugs it in at another bridge.
    pub fn move_to(&self, bridge: &str) -> Result<(), LabError> {
        let _lock = self.lab.lock()?;
        let mut state = self.lab.state()?;
        known_bridge(&state, bridge)?;
        let on = self.is_on();
        if on {
            self.set_link(false)?;
            std::thread::sleep(BETWEEN_SOCKETS);
        }
        for machine in state.machines.iter_mut().filter(|machine| machine.spec.name == self.name) {
            network::move_port(self.lab.namespace(), &machine.tap, bridge)?;
            machine.bridge = bridge.to_owned();
        }
        state::store(self.lab.dir(), &state)?;
        if on { self.set_link(true) } else { Ok(()) }
    }

    /// Plugs a new disk into the running machine, where it stays, off or on, until it is pulled.
    pub fn plug_disk(&self, spec: &DiskSpec) -> Result<(), LabError> {
        let _lock = self.lab.lock()?;
        let mut state = self.lab.state()?;
        let tools = state.tools.clone();
        let machine = self.state()?;
        let mut present =
            machine.spec.disks.iter().chain(machine.plugged.iter().map(|plugged| &plugged.disk));
        if present.any(|disk| disk.serial == spec.serial) {
            return Err(LabError::Duplicate { what: "disk", name: spec.serial.clone() });
        }
        let taken: Vec<usize> = machine.plugged.iter().map(|plugged| plugged.port).collect();
        let free = (0..arguments::HOT_PORTS).find(|port| !taken.contains(port));
        let Some(port) = free else {
            return Err(LabError::NoPort { machine: self.name.clone(), ports: arguments::HOT_PORTS });
        };
        let (node, id) = (arguments::node(&spec.serial), arguments::device_id(&spec.serial));
        let file = arguments::disk_file(&spec.serial);
        disk::create(&tools, spec, &self.dir().join(&file))?;
        self.control(|qmp| {
            let backend = json!({ "driver": "qcow2", "node-name": &node, "discard": "unmap",
                "file": { "driver": "file", "filename": file } });
            qmp.execute("blockdev-add", backend)?;
            let device = json!({ "driver": "virtio-blk-pci", "id": id, "bus": format!("hot{port}"), "drive": &node,
                "serial": &spec.serial });
            qmp.execute("device_add", device)
        })?;
        let disk = DiskSpec { bus: DiskBus::Virtio, ..spec.clone() };
        for machine in state.machines.iter_mut().filter(|machine| machine.spec.name == self.name) {
            machine.plugged.push(PluggedDisk { disk: disk.clone(), port });
        }
        Ok(state::store(self.lab.dir(), &state)?)
    }

    /// Pulls a disk that was plugged in, or a USB stick, out of the running machine, and throws it away.
    pub fn pull_disk(&self, serial: &str) -> Result<(), LabError> {
        let _lock = self.lab.lock()?;
        let mut state = self.lab.state()?;
        let is_stick = |disk: &DiskSpec| disk.serial == serial && disk.bus == DiskBus::Usb;
        let MachineState { spec, plugged, .. } = self.state()?;
        if !spec.disks.iter().any(is_stick) && !plugged.iter().any(|plugged| plugged.disk.serial == serial) {
            return Err(LabError::NoSuchDisk { machine: self.name.clone(), serial: serial.to_owned() });
        }
        let (node, id) = (arguments::node(serial), arguments::device_id(serial));
        self.control(|qmp| {
            qmp.execute("device_del", json!({ "id": id }))?;
            qmp.wait_event("DEVICE_DELETED", Duration::from_secs(30), |data| {
                data.get("device").and_then(|device| device.as_str()) == Some(id.as_str())
            })?;
            qmp.execute("blockdev-del", json!({ "node-name": node }))
        })?;
        for machine in state.machines.iter_mut().filter(|machine| machine.spec.name == self.name) {
            machine.plugged.retain(|plugged| plugged.disk.serial != serial);
            machine.spec.disks.retain(|disk| !is_stick(disk));
        }
        state::store(self.lab.dir(), &state)?;
        let file = self.dir().join(arguments::disk_file(serial));
        std::fs::remove_file(&file).map_err(LabError::file("remove", file))
    }

    /// Makes a disk as slow at writing as this, until QEMU ends. A write that is over it waits inside QEMU.
    pub fn limit_writes(&self, serial: &str, limit: WriteLimit) -> Result<(), LabError> {
        let MachineState { spec, plugged, .. } = self.state()?;
        let mut disks = spec.disks.iter().chain(plugged.iter().map(|plugged| &plugged.disk));
        let Some(disk) = disks.find(|disk| disk.serial == serial) else {
            return Err(LabError::NoSuchDisk { machine: self.name.clone(), serial: serial.to_owned() });
        };
        let WriteLimit { writes, bytes } = limit;
        let arguments = json!({ "id": arguments::backend_id(disk), "iops": 0, "iops_rd": 0, "iops_wr": writes,
            "bps": 0, "bps_rd": 0, "bps_wr": bytes });
        self.control(|qmp| qmp.execute("block_set_io_throttle", arguments)).map(drop)
    }

    /// Writes what is on a disk, byte by byte and sparse, to `raw`. A running machine stands still meanwhile.
    pub fn disk_to_raw(&self, serial: &str, raw: &Path) -> Result<(), LabError> {
        let file = self.dir().join(arguments::disk_file(serial));
        if !file.exists() {
            return Err(LabError::NoSuchDisk { machine: self.name.clone(), serial: serial.to_owned() });
        }
        let tools = self.lab.state()?.tools;
        if !self.is_on() {
            return Ok(disk::to_raw(&tools, &file, raw)?);
        }
        // Stopping flushes everything that QEMU still holds.
        self.control(|qmp| qmp.execute("stop", json!({})))?;
        let written = disk::to_raw(&tools, &file, raw);
        self.control(|qmp| qmp.execute("cont", json!({})))?;
        Ok(written?)
    }

    /// Puts what [`Self::disk_to_raw`] wrote, and somebody changed since, back into a machine that is off.
    pub fn disk_from_raw(&self, serial: &str, raw: &Path) -> Result<(), LabError> {
        let _lock = state::lock(&self.dir().join("power.lock"))?;
        if self.is_on() {
            return Err(LabError::StillOn { machine: self.name.clone(), waited: Duration::ZERO });
        }
        let file = self.dir().join(arguments::disk_file(serial));
        Ok(disk::from_raw(&self.lab.state()?.tools, raw, &file)?)
    }

    /// How much the console has said so far: the offset from which to look for what comes next.
    pub fn console_length(&self) -> u64 {
        console::length(&self.dir())
    }

    /// The file to which everything that the console says is appended.
    pub fn console_log(&self) -> PathBuf {
        self.dir().join(arguments::CONSOLE_LOG)
    }

    pub fn console_since(&self, offset: u64) -> Result<Vec<u8>, LabError> {
        console::since(&self.dir(), offset)
    }

    /// Waits until the console shows, from `offset` on, what the regular expression `pattern` matches.
    pub fn wait_for_console(
        &self,
        offset: u64,
        pattern: &str,
        patience: Duration,
    ) -> Result<ConsoleMatch, LabError> {
        console::wait_for(&self.name, &self.dir(), offset, pattern, patience)
    }

    /// Types on the console.
    pub fn console_send(&self, bytes: &[u8]) -> Result<(), LabError> {
        self.require_on()?;
        let path = self.dir().join(arguments::CONSOLE_SOCKET);
        console::send(&self.dir(), bytes).map_err(LabError::file("type on", path))
    }

    /// Joins this process's terminal with the console, until Ctrl-] or until the machine goes off.
    pub fn console_attach(&self) -> Result<(), LabError> {
        self.require_on()?;
        let path = self.dir().join(arguments::CONSOLE_SOCKET);
        console::attach(&self.dir()).map_err(LabError::file("attach to", path))
    }

    /// Runs a command inside, as root, and waits for its end. Only a machine that was made with `exec` has this way
    /// in; it answers early in the boot of the installed system, and never in an initrd. What switches the machine off
    /// cuts this way too: use `systemctl --no-block poweroff`.
    pub fn exec(&self, argv: &[&str], limits: ExecLimits) -> Result<ExecOutput, LabError> {
        if !self.state()?.spec.exec {
            return Err(ExecError::NotInjected { machine: self.name.clone() }.into());
        }
        self.exec_uninvited(argv, limits)
    }

    /// As [`exec`](Machine::exec), but tries even where nothing was injected: to show that nobody answers there.
    pub fn exec_uninvited(&self, argv: &[&str], limits: ExecLimits) -> Result<ExecOutput, LabError> {
        self.require_on()?;
        // The port serves one at a time.
        let _lock = state::lock(&self.dir().join("exec.lock"))?;
        Ok(exec::exec(&self.name, &self.dir(), arguments::EXEC_SOCKET, argv, limits)?)
    }

    /// Speaks QMP with the running machine.
    pub fn control<T>(&self, talk: impl FnOnce(&mut Qmp) -> Result<T, QmpError>) -> Result<T, LabError> {
        self.require_on()?;
        Qmp::connect(&self.dir(), arguments::QMP_SOCKET)
            .and_then(|mut qmp| talk(&mut qmp))
            .map_err(|source| LabError::Qmp { machine: self.name.clone(), source })
    }

    pub(crate) fn require_on(&self) -> Result<(), LabError> {
        if self.is_on() { Ok(()) } else { Err(LabError::Off { machine: self.name.clone() }) }
    }

    pub(crate) fn place(&self) -> Place {
        let dir = self.dir();
        Place { name: self.name.clone(), pidfile: dir.join("pid"), log: dir.join("qemu.log") }
    }
}
