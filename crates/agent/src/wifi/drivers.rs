//! Where an initrd takes Wi-Fi from: the root that lies beside it. Drivers, firmware and `wpa_supplicant` are in
//! the root only, so that no machine with a cable carries them in memory at each start. The root is verified by
//! the hash that the kernel was started with, and is mounted before anything is unlocked.

use super::sysroot;
use crate::command::{self, CommandError};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is laid over the initrd's own, from the root: the kernel and udev look there, and nowhere else.
const BORROWED: [&str; 2] = ["/usr/lib/modules", "/usr/lib/firmware"];
/// What tells that the root is mounted.
const SIGN: &str = "usr/sbin/wpa_supplicant";
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum DriversError {
    #[error("{0} can't be taken from the root")]
    Mount(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// Waits for the root, and lets udev find drivers for what had none.
///
/// # Errors
/// When the root can't be reached.
pub fn borrow() -> Result<(), DriversError> {
    let root = sysroot();
    while !root.join(SIGN).exists() {
        std::thread::sleep(POLL);
    }
    for path in BORROWED {
        let from = root.join(path.trim_start_matches('/'));
        let mounted =
            std::fs::create_dir_all(path).and_then(|()| mount_bind(&from, path).map_err(io::Error::from));
        mounted.map_err(|error| DriversError::Mount(from, error))?;
    }
    // the list of modules is another one now
    command::run("udevadm", &["control", "--reload"], b"")?;
    let buses = ["pci", "usb", "sdio"].map(|bus| format!("--subsystem-match={bus}"));
    let [pci, usb, sdio] = &buses;
    command::run("udevadm", &["trigger", "--action=add", pci, usb, sdio], b"")?;
    Ok(())
}

/// The root takes its own along. Nothing is borrowed in most machines, so that nothing is said.
pub fn give_back() {
    for path in BORROWED {
        if is_mounted(path) {
            let _ = unmount(path, UnmountFlags::DETACH);
        }
    }
}

fn is_mounted(path: &str) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(4).is_some_and(|target| Path::new(target) == Path::new(path)))
}
