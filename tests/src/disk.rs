//! Looking into a machine's disk from outside, as a thief would: its raw image, partitions, boot files.

use crate::world::{World, path};
use anyhow::{Context, Result};
use regex::bytes::Regex;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const SECTOR: u64 = 512;
const CHUNK: usize = 4 << 20;
/// LUKS2 keeps its headers and key slots in the first 16 MiB.
const HEADER: u64 = 32 << 20;

/// A copy of a disk, removed when dropped.
pub struct Raw {
    pub path: PathBuf,
    serial: String,
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Copies the first disk of a machine.
pub fn copy(world: &World, machine: &str) -> Result<Raw> {
    let lab = world.lab()?;
    let machine = lab.machine(machine)?;
    let serial = machine.state()?.spec.disks.first().context("the machine has no disk")?.serial.clone();
    let raw = Raw { path: world.scratch.join(format!("{serial}.raw")), serial };
    machine.disk_to_raw(&raw.serial, &raw.path)?;
    Ok(raw)
}

impl Raw {
    /// Puts a copy that was changed back into its machine, which is off.
    pub fn put_back(&self, world: &World, machine: &str) -> Result<()> {
        Ok(world.lab()?.machine(machine)?.disk_from_raw(&self.serial, &self.path)?)
    }
}

/// Start and length of a partition in bytes, as util-linux reads the table.
fn partition(world: &World, raw: &Raw, number: u32) -> Result<(u64, u64)> {
    let mut command = Command::new("partx");
    command.args(["--raw", "--noheadings", "--output", "START,SECTORS", "--nr", &number.to_string()]);
    let text = world.demand(command.arg(&raw.path))?;
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(start), Some(length)) => Ok((start * SECTOR, length * SECTOR)),
        _ => anyhow::bail!("no partition {number} in {}: {text}", raw.path.display()),
    }
}

/// The data partition as a file of its own, with its LUKS header and a hole behind it.
pub fn data_partition(world: &World, raw: &Raw) -> Result<Raw> {
    let (start, length) = partition(world, raw, 6)?;
    let part = Raw { path: raw.path.with_extension("luks"), serial: raw.serial.clone() };
    let mut from = File::open(&raw.path)?;
    from.seek(SeekFrom::Start(start))?;
    let mut to = File::create(&part.path)?;
    std::io::copy(&mut from.take(HEADER), &mut to)?;
    to.flush()?;
    to.set_len(length)?;
    Ok(part)
}

/// The names of the boot entries on the ESP, with their boot counters.
pub fn boot_entries(world: &World, raw: &Raw) -> Result<Vec<String>> {
    let text = world.demand(mtools(world, raw, "mdir")?.args(["-b", "::/EFI/Linux"]))?;
    Ok(text.lines().filter_map(|line| line.rsplit('/').next()).map(str::to_owned).collect())
}

/// A text file on the boot partition.
pub fn boot_file(world: &World, raw: &Raw, name: &str) -> Result<String> {
    world.demand(mtools(world, raw, "mtype")?.arg(format!("::/{name}")))
}

/// Copies a file of the boot partition over another one.
pub fn copy_boot_file(world: &World, raw: &Raw, name: &str, to: &Path) -> Result<()> {
    world.demand(mtools(world, raw, "mcopy")?.arg("-o").arg(format!("::/{name}")).arg(to)).map(drop)
}

fn mtools(world: &World, raw: &Raw, program: &str) -> Result<Command> {
    let (start, _) = partition(world, raw, 1)?;
    let mut command = Command::new(program);
    command.env("MTOOLS_SKIP_CHECK", "1").args(["-i", &format!("{}@@{start}", path(&raw.path)?)]);
    Ok(command)
}

/// Whether the text is anywhere in the file. Holes, of which a sparse disk image mostly consists, are not read.
pub fn contains(file: &Path, needle: &str) -> Result<bool> {
    search(file, needle, CHUNK)
}

fn search(file: &Path, needle: &str, chunk: usize) -> Result<bool> {
    let pattern = Regex::new(&regex::escape(needle))?;
    let file = File::open(file)?;
    let mut buffer = vec![0; chunk];
    let mut at = 0;
    loop {
        at = match rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data,
            // Nothing but a hole up to the end.
            Err(rustix::io::Errno::NXIO) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let count = file.read_at(&mut buffer, at)?;
        if pattern.is_match(buffer.get(..count).unwrap_or_default()) {
            return Ok(true);
        }
        // What lies across the edge is looked at again.
        let step = count.saturating_sub(needle.len()).max(1);
        at = at.saturating_add(u64::try_from(step)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_also_across_the_edge_of_what_is_read_at_once() {
        let path = std::env::temp_dir().join(format!("cairn-scenarios-{}", std::process::id()));
        let mut bytes = vec![0_u8; 20_000];
        bytes[4096 - 3..4096 + 3].copy_from_slice(b"marker");
        std::fs::write(&path, &bytes).unwrap();
        assert!(search(&path, "marker", 4096).unwrap());
        assert!(!search(&path, "markes", 4096).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}
