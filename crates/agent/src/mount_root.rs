//! Puts the opened volume below the read-only root, before the initrd hands over.

use crate::volume::MAPPED_DEVICE;
use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount, mount_bind};
use std::path::Path;

const ROOT: &str = "/sysroot";

/// What is machine-specific below `/etc`: from the volume's `lib/cairn` onto the image's own file.
const ETC: [&str; 2] = ["machine-id", "hostname"];
/// A folder in which k3s keeps its configuration.
const RANCHER: &str = "rancher";

/// # Errors
/// When the volume is not open, damaged, or the image lacks a mount point.
pub fn run() -> Result<()> {
    let root = Path::new(ROOT);
    let var = root.join("var");
    mount(MAPPED_DEVICE, &var, "ext4", MountFlags::NOATIME, None)
        .context("the data volume could not be mounted; is its file system damaged?")?;
    let state = var.join("lib/cairn");
    for name in ETC {
        bind(&state.join(name), &root.join("etc").join(name))?;
    }
    let rancher = state.join(RANCHER);
    std::fs::create_dir_all(&rancher).context("the node's folder on the data volume can't be written to")?;
    bind(&rancher, &root.join("etc").join(RANCHER))?;
    let hostname = std::fs::read_to_string(state.join("hostname")).unwrap_or_default();
    rustix::system::sethostname(hostname.trim().as_bytes()).context("the host name could not be set")?;
    Ok(())
}

fn bind(source: &Path, target: &Path) -> Result<()> {
    mount_bind(source, target)
        .with_context(|| format!("{} could not be put over {}", source.display(), target.display()))
}
