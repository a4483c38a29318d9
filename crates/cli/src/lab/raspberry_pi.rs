//! A card for one of the lab's Raspberry Pis, and the part of the board's firmware: QEMU has none.

use super::media;
use super::paths::Paths;
use crate::client::Client;
use anyhow::{Context, Result, bail};
use cairn_lab::{DiskSpec, MachineSpec, RaspberryPi};
use cairn_layout::{Esp, SectorSize};
use cairn_manager::api::{MediumBoard, MediumKind, MediumRequest};
use cairn_model::cluster::Name;
use std::fs::File;
use std::path::{Path, PathBuf};

/// QEMU takes powers of two only.
const CARD: u64 = 8 << 30;
/// Of the board that QEMU has; the Zero 2 W's firmware takes another one.
const DEVICE_TREE: &str = "bcm2837-rpi-3-b.dtb";

/// # Errors
/// When the manager prepares no such card, or its firmware would find nothing to start on it.
pub fn machine(
    client: &Client,
    paths: &Paths,
    node: &Name,
    medium: MediumRequest,
    words: Option<&str>,
    overlay: Option<&Path>,
) -> Result<MachineSpec> {
    let request = MediumRequest { kind: MediumKind::Sd, board: MediumBoard::PiZero2W, ..medium };
    let image = media::prepare(client, paths, node, &request)?;
    let mut board = read(&image, &paths.boot_files(node.as_str()))
        .with_context(|| format!("a Raspberry Pi does not start from {}", image.display()))?;
    if let Some(words) = words {
        board.command_line = format!("{} {words}", board.command_line.trim());
    }
    if let Some(overlay) = overlay {
        board.initrd = overlaid(&board.initrd, overlay)?;
    }
    let card = DiskSpec::copy_of(&format!("{node}-card"), CARD, image);
    Ok(MachineSpec::raspberry_pi(node.as_str(), board, card))
}

/// Takes out of the card what its `config.txt` names. That file is read when the machine is made, not at each start:
/// nothing changes it yet.
fn read(image: &Path, to: &Path) -> Result<RaspberryPi> {
    let mut card = File::options().read(true).write(true).open(image)?;
    let mut boot = Esp::open(&mut card, SectorSize::B512)?;
    let config = String::from_utf8(boot.read("config.txt")?.context("it has no config.txt")?)?;
    let Some(folder) = setting(&config, "os_prefix=") else { bail!("its config.txt names no folder") };
    std::fs::create_dir_all(to)?;
    let mut save = |name: &str| -> Result<_> {
        let path = to.join(name);
        std::fs::write(&path, boot.read_large(&format!("{folder}{name}"))?)?;
        Ok(path)
    };
    let mut named =
        |key: &str| save(setting(&config, key).with_context(|| format!("no {key} in its config.txt"))?);
    let (kernel, command_line) = (named("kernel=")?, named("cmdline=")?);
    Ok(RaspberryPi {
        kernel,
        initrd: named("initramfs ")?,
        device_tree: save(DEVICE_TREE)?,
        command_line: std::fs::read_to_string(command_line)?,
    })
}

/// Both archives in one file beside the first: the kernel unpacks one after the other (its `buffer-format.rst`).
fn overlaid(initrd: &Path, overlay: &Path) -> Result<PathBuf> {
    let added = std::fs::read(overlay).with_context(|| format!("{} can't be read", overlay.display()))?;
    let both = initrd.with_extension("overlaid");
    std::fs::write(&both, [std::fs::read(initrd)?, added].concat())?;
    Ok(both)
}

/// The first word behind a key.
fn setting<'a>(config: &'a str, key: &str) -> Option<&'a str> {
    config.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next())
}
