#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_lab::{Lab, LabSpec, MachineSpec, Tools};

pub fn tools() -> Tools {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Tools::discover(&root).unwrap()
}

/// No spec of these tests needs a search for KVM; what they start is done in seconds either way.
pub fn spec(machines: Vec<MachineSpec>) -> LabSpec {
    LabSpec { accel: Some(cairn_lab::Accel::Tcg), machines }
}

#[allow(dead_code)]
pub fn namespaces() -> String {
    let output = Command::new("ip").args(["netns", "list"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A directory for labs, each in a folder of it or itself; a test that fails leaves none of them behind.
pub struct Scratch(tempfile::TempDir);

#[allow(dead_code)]
impl Scratch {
    pub fn new() -> Scratch {
        Scratch(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let below = std::fs::read_dir(self.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        for dir in below.filter(|path| path.is_dir()).chain([PathBuf::from(self.path())]) {
            if let Err(error) = Lab::clear(&dir) {
                eprintln!("{error}");
            }
        }
    }
}
