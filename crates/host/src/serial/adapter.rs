//! Which serial adapters there are, and why one can't be opened.

use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// udev's links, which are named by maker, model and serial number and stay the same in another socket.
const BY_ID: &str = "serial/by-id";
/// Kernel names of USB adapters: with a converter chip, or a board that is its own (USB CDC ACM).
const PREFIXES: [&str; 2] = ["ttyUSB", "ttyACM"];
/// More than any machine has.
const MOST: usize = 64;

/// One serial adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Adapter {
    /// By which it is asked for: udev's name where there is one, else the kernel's.
    pub name: String,
    /// The device itself, such as `/dev/ttyUSB0`.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub device: PathBuf,
    /// Why it can't be opened, and what to do.
    pub problem: Option<String>,
}

/// Those below `folder` (`/dev`), each once.
pub fn list(folder: &Path) -> Vec<Adapter> {
    let mut found: BTreeMap<PathBuf, String> = BTreeMap::new();
    let by_kernel = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    // The kernel's names first, so that udev's replace them.
    for (folder, any) in [(folder.to_path_buf(), false), (folder.join(BY_ID), true)] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Ok(device) = entry.path().canonicalize() else { continue };
            let is_device = fs::metadata(&device).is_ok_and(|it| it.file_type().is_char_device());
            if is_device && (any || by_kernel(&name)) {
                found.insert(device, name);
            }
        }
    }
    let devices: BTreeSet<PathBuf> = found.keys().cloned().collect();
    let users = if devices.is_empty() { BTreeMap::new() } else { users(&devices) };
    let mut all: Vec<Adapter> = found
        .into_iter()
        .take(MOST)
        .map(|(device, name)| Adapter { problem: problem(&device, users.get(&device)), name, device })
        .collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn problem(device: &Path, user: Option<&(u32, String)>) -> Option<String> {
    if let Some((pid, name)) = user {
        return Some(format!("it is in use by {name} (process {pid}); end that first"));
    }
    let refused = access(device, Access::READ_OK | Access::WRITE_OK).err()?;
    Some(match refused {
        rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => format!(
            "this user may not open {}: add it to the group that owns the device (usually `dialout`) and log in again, or give the container `--device {}`",
            device.display(),
            device.display()
        ),
        other => format!("{} does not answer ({other}): pull it out and plug it in again", device.display()),
    })
}

/// Other processes that have one of these devices open, as far as they may be seen.
fn users(devices: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, (u32, String)> {
    let mut found = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        for descriptor in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            if devices.contains(&target) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                found.insert(target, (pid, name.trim().to_owned()));
            }
        }
    }
    found
}
