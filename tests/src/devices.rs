//! Devices that a machine which tests has not, played by what every machine has: a stick by a loop device, a serial
//! adapter by a pseudo-terminal. That the stick is one is written by hand, where sysfs would say it; its device node,
//! and what is written and read through it, are the kernel's.

use crate::world::{World, path};
use anyhow::{Context, Result, ensure};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Debian's group of disks, to which a node of a stick belongs.
pub const GROUP: u32 = 6;
const SECTOR: u64 = 512;

/// Unplugged when dropped.
pub struct Stick {
    /// A loop device's number, with the rights that Debian gives a stick.
    pub node: PathBuf,
    /// What is to be seen as `/sys/block`.
    pub sys: PathBuf,
    file: PathBuf,
    device: String,
}

impl Stick {
    /// `name` is the kernel's, such as `sdz`; the size is in bytes.
    pub fn plug(world: &World, name: &str, size: u64) -> Result<Self> {
        let folder = world.scratch.join("stick");
        let _ = fs::remove_dir_all(&folder);
        let (node, sys, file) = (folder.join(name), folder.join("sys"), folder.join("content"));
        fs::create_dir_all(&folder)?;
        File::create(&file)?.set_len(size)?;
        let device = world.demand(Command::new("losetup").args(["--find", "--show"]).arg(&file))?;
        let stick = Self { node, sys, file, device };
        let kernel = stick.device.trim_start_matches("/dev/");
        let number = fs::read_to_string(format!("/sys/block/{kernel}/dev"))?.trim().to_owned();
        let (major, minor) = number.split_once(':').context("a loop device without a number")?;
        world.demand(Command::new("mknod").arg(&stick.node).args(["b", major, minor]))?;
        fs::set_permissions(&stick.node, fs::Permissions::from_mode(0o660))?;
        chown(&stick.node, None, Some(GROUP))?;
        let sectors = (size / SECTOR).to_string();
        for (place, text) in [
            ("dev", number.as_str()),
            ("size", &sectors),
            ("removable", "1"),
            ("ro", "0"),
            ("diskseq", "7"),
            ("queue/logical_block_size", "512"),
            ("device/vendor", "Played"),
            ("device/model", "Stick"),
        ] {
            let place = stick.sys.join(name).join(place);
            fs::create_dir_all(place.parent().context("no folder")?)?;
            fs::write(place, format!("{text}\n"))?;
        }
        Ok(stick)
    }

    /// SHA-256 of the image on it, whose partition table says where it ends (UEFI 2.10, table 5.5: its second
    /// header is in the last sector, and the first one says which that is).
    pub fn sum(&self, world: &World) -> Result<String> {
        let mut last = [0; 8];
        File::open(&self.file)?.read_exact_at(&mut last, SECTOR + 32)?;
        let length = u64::from_le_bytes(last).saturating_add(1).saturating_mul(SECTOR);
        ensure!(length <= fs::metadata(&self.file)?.len(), "no medium is on the stick");
        let sum = "head -c \"$1\" \"$2\" | sha256sum";
        let mut command = Command::new("sh");
        let text = world.demand(command.args(["-ec", sum, "-", &length.to_string(), path(&self.file)?]))?;
        text.split_whitespace().next().map(str::to_owned).context("no sum")
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

/// The machine's end of a serial cable.
pub struct Serial {
    far: File,
    device: PathBuf,
}

impl Serial {
    pub fn plug() -> Result<Self> {
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&far)?;
        unlockpt(&far)?;
        rustix::io::ioctl_fionbio(&far, true)?;
        let device = PathBuf::from(ptsname(&far, Vec::new())?.into_string()?);
        fs::set_permissions(&device, fs::Permissions::from_mode(0o660))?;
        chown(&device, None, Some(GROUP))?;
        Ok(Self { far: far.into(), device })
    }

    /// The adapter's end.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// The machine says something.
    pub fn says(&mut self, words: &str) -> Result<()> {
        Ok(self.far.write_all(words.as_bytes())?)
    }

    /// Waits until somebody has typed this.
    pub fn hears(&mut self, world: &World, words: &str) -> Result<()> {
        let mut heard = Vec::new();
        world.until(&format!("'{words}' to be typed"), Duration::from_secs(30), || {
            let mut chunk = [0; 256];
            while let Ok(count @ 1..) = self.far.read(&mut chunk) {
                heard.extend_from_slice(chunk.get(..count).unwrap_or_default());
            }
            let text = String::from_utf8_lossy(&heard);
            ensure!(text.contains(words), "what was typed is '{text}'");
            Ok(())
        })
    }
}
