//! The lab as a whole: made, opened again by another process, moved about, taken down.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::accel::Accel;
use crate::error::LabError;
use crate::machine::Machine;
use crate::namespace::Namespace;
use crate::network::{self, Subnet};
use crate::process::{Identity, Place, ProcessSpec};
use crate::spec::{CABLE, LabSpec, MachineSpec, check_name};
use crate::state::{self, BridgeState, LabState, MachineState, ManagerState};
use crate::tools::Tools;
use crate::{disk, teardown};

const PROCESSES: &str = "processes";
const MACHINES: &str = "machines";

/// A lab on disk. Holds nothing open: many of them may stand for the same lab, in many processes.
#[derive(Debug, Clone)]
pub struct Lab {
    dir: PathBuf,
    namespace: Namespace,
}

impl Lab {
    /// Makes a lab with its machines switched off. Clears what an earlier one in this directory left, even a live one.
    pub fn create(dir: &Path, tools: Tools, spec: &LabSpec) -> Result<Lab, LabError> {
        let accel = spec.accel.unwrap_or_else(|| Accel::detect(&tools));
        let lab = Lab::bare(dir, |namespace| LabState {
            namespace: namespace.name().to_owned(),
            accel,
            tools,
            bridges: Vec::new(),
            manager: ManagerState { bridge: CABLE.to_owned(), address: None },
            machines: Vec::new(),
        })?;
        lab.add_bridge(CABLE)?;
        network::add_manager(&lab.namespace, CABLE)?;
        spec.machines.iter().try_for_each(|machine| lab.add_machine(machine))?;
        Ok(lab)
    }

    /// An empty namespace and a state to go with it.
    pub(crate) fn bare(dir: &Path, state: impl FnOnce(&Namespace) -> LabState) -> Result<Lab, LabError> {
        fs::create_dir_all(dir).map_err(LabError::file("make", dir))?;
        let dir = dir.canonicalize().map_err(LabError::file("find", dir))?;
        let lab = Lab { namespace: Namespace::of(&dir), dir };
        let _lock = lab.lock()?;
        teardown::clear(&lab)?;
        for folder in [PROCESSES, MACHINES] {
            let path = lab.dir.join(folder);
            fs::create_dir_all(&path).map_err(LabError::file("make", path))?;
        }
        // First the state, then what it stands for: whatever happens in between, there is something to clear by.
        state::store(&lab.dir, &state(&lab.namespace))?;
        lab.namespace.create()?;
        Ok(lab)
    }

    /// Opens the lab that another process made.
    pub fn open(dir: &Path) -> Result<Lab, LabError> {
        let dir = dir.canonicalize().map_err(|_| state::StateError::NoLab { dir: dir.to_owned() })?;
        state::load(&dir)?;
        Ok(Lab { namespace: Namespace::of(&dir), dir })
    }

    /// Clears whatever lab is in this directory or was left by it, also with its state lost. Nothing to clear is no
    /// error. The directory's other files stay.
    pub fn clear(dir: &Path) -> Result<(), LabError> {
        let Ok(dir) = dir.canonicalize() else { return Ok(()) };
        let lab = Lab { namespace: Namespace::of(&dir), dir };
        {
            let _lock = lab.lock()?;
            teardown::clear(&lab)?;
        }
        teardown::forget_lock(&lab)
    }

    /// Takes everything down: machines, processes, networks, and the lab's files in its directory.
    pub fn destroy(&self) -> Result<(), LabError> {
        Lab::clear(&self.dir)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub fn state(&self) -> Result<LabState, LabError> {
        Ok(state::load(&self.dir)?)
    }

    pub fn add_machine(&self, spec: &MachineSpec) -> Result<(), LabError> {
        spec.check()?;
        let _lock = self.lock()?;
        let mut state = self.state()?;
        if state.machine(&spec.name).is_some() {
            return Err(LabError::Duplicate { what: "machine", name: spec.name.clone() });
        }
        known_bridge(&state, &spec.bridge)?;
        let dir = self.machine_dir(&spec.name);
        fs::create_dir_all(&dir).map_err(LabError::file("make", &dir))?;
        let variables = dir.join(crate::arguments::FIRMWARE_VARIABLES);
        let template = spec.secure_boot.as_deref().unwrap_or(state.tools.variables(spec.architecture));
        fs::copy(template, &variables).map_err(LabError::file("write", variables))?;
        for disk in &spec.disks {
            disk::create(&state.tools, disk, &dir.join(crate::arguments::disk_file(&disk.serial)))?;
        }
        let tap = format!("tap{}", state.machines.len());
        network::add_tap(&self.namespace, &tap, &spec.bridge)?;
        let bridge = spec.bridge.clone();
        state.machines.push(MachineState { spec: spec.clone(), bridge, tap, plugged: Vec::new() });
        Ok(state::store(&self.dir, &state)?)
    }

    pub fn machine(&self, name: &str) -> Result<Machine<'_>, LabError> {
        let state = self.state()?;
        if state.machine(name).is_none() {
            let known = state.machines.iter().map(|machine| machine.spec.name.as_str()).collect::<Vec<_>>();
            return Err(LabError::NoSuchMachine { name: name.to_owned(), known: known.join(", ") });
        }
        Ok(Machine::new(self, name))
    }

    pub fn machines(&self) -> Result<Vec<Machine<'_>>, LabError> {
        let state = self.state()?;
        Ok(state.machines.iter().map(|machine| Machine::new(self, &machine.spec.name)).collect())
    }

    pub fn add_bridge(&self, name: &str) -> Result<(), LabError> {
        check_name("bridge", name, 15)?;
        let _lock = self.lock()?;
        let mut state = self.state()?;
        if state.bridges.iter().any(|bridge| bridge.name == name) {
            return Err(LabError::Duplicate { what: "bridge", name: name.to_owned() });
        }
        network::add_bridge(&self.namespace, name)?;
        state.bridges.push(BridgeState { name: name.to_owned(), dhcp: None });
        Ok(state::store(&self.dir, &state)?)
    }

    /// Puts a home router on a bridge: it has the subnet's first address and hands out others.
    pub fn start_dnsmasq(&self, bridge: &str, subnet: Subnet) -> Result<(), LabError> {
        let address = format!("{}/{}", subnet.router, subnet.prefix);
        {
            let _lock = self.lock()?;
            let mut state = self.state()?;
            known_bridge(&state, bridge)?;
            network::address(&self.namespace, "replace", &address, bridge)?;
            for entry in state.bridges.iter_mut().filter(|entry| entry.name == bridge) {
                entry.dhcp = Some(subnet);
            }
            state::store(&self.dir, &state)?;
        }
        let leases = self.dir.join(PROCESSES).join(format!("{}.leases", network::dnsmasq_name(bridge)));
        self.spawn(network::dnsmasq(bridge, &subnet, &leases)).map(drop)
    }

    pub fn stop_dnsmasq(&self, bridge: &str) -> Result<(), LabError> {
        self.stop(&network::dnsmasq_name(bridge), Duration::from_secs(5))?;
        let _lock = self.lock()?;
        let mut state = self.state()?;
        for entry in state.bridges.iter_mut().filter(|entry| entry.name == bridge) {
            if let Some(subnet) = entry.dhcp.take() {
                let address = format!("{}/{}", subnet.router, subnet.prefix);
                network::address(&self.namespace, "delete", &address, bridge)?;
            }
        }
        Ok(state::store(&self.dir, &state)?)
    }

    /// Plugs the manager's cable in at another bridge and changes the address (`10.0.0.2/24`) that the lab gave its
    /// interface. Addresses that the manager itself added stay.
    pub fn move_manager(&self, bridge: &str, address: Option<&str>) -> Result<(), LabError> {
        let _lock = self.lock()?;
        let mut state = self.state()?;
        known_bridge(&state, bridge)?;
        network::move_manager(&self.namespace, bridge)?;
        if let Some(old) = state.manager.address.take() {
            network::address(&self.namespace, "delete", &old, network::MANAGER_INTERFACE)?;
        }
        if let Some(new) = address {
            network::address(&self.namespace, "replace", new, network::MANAGER_INTERFACE)?;
        }
        state.manager = ManagerState { bridge: bridge.to_owned(), address: address.map(str::to_owned) };
        Ok(state::store(&self.dir, &state)?)
    }

    /// A command that runs inside the namespace, for one who waits for it.
    pub fn command(&self, program: &str) -> Command {
        self.namespace.command(program)
    }

    /// Starts a program inside the namespace that goes on after the caller has ended.
    pub fn spawn(&self, spec: ProcessSpec) -> Result<Identity, LabError> {
        check_name("process", &spec.name, 40)?;
        Ok(self.place(&spec.name).start(&self.namespace, spec)?)
    }

    /// The program of this name, if it runs.
    pub fn process(&self, name: &str) -> Option<Identity> {
        self.place(name).running()
    }

    /// What the program prints.
    pub fn process_log(&self, name: &str) -> PathBuf {
        self.place(name).log
    }

    /// Asks the program to end and kills it when the grace is over; with no grace kills it at once. Does nothing when
    /// it does not run.
    pub fn stop(&self, name: &str, grace: Duration) -> Result<(), LabError> {
        Ok(self.place(name).stop(grace)?)
    }

    pub(crate) fn place(&self, name: &str) -> Place {
        let dir = self.dir.join(PROCESSES);
        let file = |ending: &str| dir.join(format!("{name}.{ending}"));
        Place { name: name.to_owned(), pidfile: file("pid"), log: file("log") }
    }

    pub(crate) fn machine_dir(&self, name: &str) -> PathBuf {
        self.dir.join(MACHINES).join(name)
    }

    pub(crate) fn folders(&self) -> [PathBuf; 2] {
        [self.dir.join(MACHINES), self.dir.join(PROCESSES)]
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(crate) fn lock(&self) -> Result<File, LabError> {
        Ok(state::lock(&self.lock_file())?)
    }
}

pub(crate) fn known_bridge(state: &LabState, name: &str) -> Result<(), LabError> {
    if state.bridges.iter().any(|bridge| bridge.name == name) {
        return Ok(());
    }
    let known = state.bridges.iter().map(|bridge| bridge.name.as_str()).collect::<Vec<_>>().join(", ");
    Err(LabError::NoSuchBridge { name: name.to_owned(), known })
}
