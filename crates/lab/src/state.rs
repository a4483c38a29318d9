//! The state directory: what one process writes there another one finds.
//!
//! `lab.json` holds what was made; what runs is seen from the pidfiles and the namespace, never from this file, so
//! that it can't be out of date after a crash.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::accel::Accel;
use crate::network::Subnet;
use crate::spec::{DiskSpec, MachineSpec};
use crate::tools::Tools;

const FILE: &str = "lab.json";

#[derive(Debug, Error)]
pub enum StateError {
    #[error("there is no lab in {}: `cairn lab up` makes one", dir.display())]
    NoLab { dir: PathBuf },
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} can't be understood; `cairn lab down` and `cairn lab up` make the lab anew", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabState {
    pub namespace: String,
    pub accel: Accel,
    pub tools: Tools,
    pub bridges: Vec<BridgeState>,
    pub manager: ManagerState,
    pub machines: Vec<MachineState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeState {
    pub name: String,
    /// The network of the DHCP server on it, if it has one.
    pub dhcp: Option<Subnet>,
}

/// The network interface that the manager uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagerState {
    pub bridge: String,
    /// The address that the lab gave it, with its prefix length; others may have added theirs.
    pub address: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineState {
    pub spec: MachineSpec,
    /// The bridge on which its network interface is now.
    pub bridge: String,
    pub tap: String,
    /// What was plugged in since it was made.
    pub plugged: Vec<PluggedDisk>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluggedDisk {
    pub disk: DiskSpec,
    /// The number of its hot-plug port.
    pub port: usize,
}

impl LabState {
    pub(crate) fn machine(&self, name: &str) -> Option<&MachineState> {
        self.machines.iter().find(|machine| machine.spec.name == name)
    }
}

pub(crate) fn load(dir: &Path) -> Result<LabState, StateError> {
    let path = dir.join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StateError::NoLab { dir: dir.to_owned() });
        }
        Err(source) => return Err(StateError::File { action: "read", path, source }),
    };
    serde_json::from_slice(&text).map_err(|source| StateError::Damaged { path, source })
}

pub(crate) fn store(dir: &Path, state: &LabState) -> Result<(), StateError> {
    let path = dir.join(FILE);
    let new = dir.join("lab.json.new");
    let text = serde_json::to_vec_pretty(state)
        .map_err(|source| StateError::Damaged { path: path.clone(), source })?;
    fs::write(&new, text).map_err(|source| StateError::File {
        action: "write",
        path: new.clone(),
        source,
    })?;
    fs::rename(&new, &path).map_err(|source| StateError::File { action: "replace", path, source })
}

pub(crate) fn remove(dir: &Path) -> Result<(), StateError> {
    let path = dir.join(FILE);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StateError::File { action: "remove", path, source })
        }
        _ => Ok(()),
    }
}

/// Held while the lab is changed, so that two processes don't change it at once. Ends with the process that holds it.
pub(crate) fn lock(path: &Path) -> Result<File, StateError> {
    let failed = |source| StateError::File { action: "lock", path: path.to_owned(), source };
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|errno| failed(errno.into()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::CABLE;

    fn sample() -> LabState {
        LabState {
            namespace: "cairn-12345678".into(),
            accel: Accel::Tcg,
            tools: Tools::at("/t".as_ref()),
            bridges: vec![BridgeState { name: CABLE.into(), dhcp: None }],
            manager: ManagerState { bridge: CABLE.into(), address: Some("10.0.0.1/24".into()) },
            machines: vec![MachineState {
                spec: MachineSpec::netboot("a", 512).with_disk(DiskSpec::over("d", 7, "/x")).with_exec(),
                bridge: CABLE.into(),
                tap: "tap0".into(),
                plugged: vec![PluggedDisk { disk: DiskSpec::blank("p", 9), port: 1 }],
            }],
        }
    }

    #[test]
    fn what_one_process_stores_another_loads() {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path(), &sample()).unwrap();
        assert_eq!(load(dir.path()).unwrap(), sample());
        remove(dir.path()).unwrap();
        remove(dir.path()).unwrap();
        assert!(matches!(load(dir.path()), Err(StateError::NoLab { .. })));
    }

    #[test]
    fn a_damaged_file_is_told_from_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{\"namespace\": 3").unwrap();
        assert!(matches!(load(dir.path()), Err(StateError::Damaged { .. })));
    }
}
