//! Writing a node's disk: table, root slot, boot partition.
//!
//! In an order that a power cut can't turn into something else: the table first (so that an
//! interrupted installation is recognised as Cairn's own), the slots next, each made recognisable by
//! its first block at the very end, and the boot loader last (so that firmware finds nothing to start
//! before all is there).

use std::io::{self, Read};

use crate::boot::{self, BootError, Loader, Version};
use crate::boot_entry::VersionError;
use crate::device::{self, Device};
use crate::esp::{Esp, EspError};
use crate::gpt::{GptError, Table};
use crate::plan::{Arch, DATA_NUMBER, ESP_NUMBER, Layout, MIB, Partition, RootHash, SectorSize, Seed, Slot};

/// Copied at a time: large enough for flash, small enough for a machine of 512 MB.
const CHUNK: usize = MIB as usize;

/// The first block of a slot, which holds the superblocks of EROFS (at 1024) and dm-verity (at 0):
/// without it the slot is empty.
pub(crate) const HEAD: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("writing the partition table failed")]
    Gpt(#[from] GptError),
    #[error("writing the boot partition failed")]
    Esp(#[from] EspError),
    #[error("the version does not fit into the boot entry's name")]
    Version(#[from] VersionError),
    #[error("writing the first version failed")]
    Boot(#[from] BootError),
    #[error("{0} failed")]
    Io(&'static str, #[source] io::Error),
    #[error("the disk has {have} bytes, but the layout was planned for {planned}")]
    Size { have: u64, planned: u64 },
    #[error("the {what} image has {len} bytes, more than the {room} of its partition `{partition}`")]
    TooLarge { what: &'static str, len: u64, room: u64, partition: String },
    #[error("the {what} image ended after {got} of {len} bytes: transfer it again")]
    Short { what: &'static str, got: u64, len: u64 },
    #[error("partition {0} is missing: this is no Cairn disk")]
    Missing(u32),
}

/// Something to copy, with its length in bytes.
pub struct Source<'a> {
    pub reader: &'a mut dyn Read,
    pub len: u64,
}

/// A root image with its verity tree.
pub struct Root<'a> {
    pub hash: RootHash,
    pub root: Source<'a>,
    pub verity: Source<'a>,
}

/// All that goes onto a node's disk.
pub struct Payload<'a> {
    /// As the manifest says it, such as `0.1.0+abcd1234`.
    pub version: &'a str,
    pub loader: Loader<'a>,
    pub uki: Source<'a>,
    pub root: Root<'a>,
    /// More files for the boot partition, such as `cairn/join.json`.
    pub files: &'a [(&'a str, &'a [u8])],
}

/// Bytes of images copied so far, of all. (Tables and small files are not counted.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

/// Makes the device a node's disk. **Whatever is on it is lost**; see [`crate::inspect`] first.
pub fn install(
    dev: &mut impl Device,
    layout: &Layout,
    seed: &Seed,
    payload: Payload<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), InstallError> {
    let Payload { version, loader, uki, root, files } = payload;
    let have = device::size(dev).map_err(|e| InstallError::Io("asking for the disk's size", e))?;
    if have != layout.disk_bytes {
        return Err(InstallError::Size { have, planned: layout.disk_bytes });
    }
    let table = match loader {
        Loader::SystemdBoot(_) => layout.table(seed),
        Loader::RaspberryPi(_) => layout.table(seed).hybrid(),
    };
    table.write(dev)?;
    clear(dev, layout).map_err(|e| InstallError::Io("clearing what was on the disk", e))?;

    let total = root.root.len + root.verity.len + uki.len;
    let mut done = 0;
    let mut step = |n: u64| {
        done += n;
        progress(Progress { done, total });
    };
    write_slot_counted(dev, table, Slot::A, root, &mut step)?;

    let esp = layout.partition(ESP_NUMBER).ok_or(InstallError::Missing(ESP_NUMBER))?;
    let mut esp = Esp::format(dev, esp.start, esp.len, layout.sector, seed.volume_id())?;
    for (path, bytes) in files {
        esp.write(path, bytes)?;
    }
    boot::install(
        &mut esp,
        layout.arch,
        loader,
        Version { name: version, uki, device_trees: &[] },
        &mut step,
    )?;
    dev.flush().map_err(|e| InstallError::Io("waiting for the disk", e))
}

/// Writes an image into a slot and gives its partitions the GUIDs by which it is found. The slot
/// must not be the running one. Progress counts the two images.
pub fn write_slot(
    dev: &mut impl Device,
    sector: SectorSize,
    slot: Slot,
    root: Root<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), InstallError> {
    let (mut table, _) = Table::read(dev, sector)?;
    // A medium that has not grown yet has its backup elsewhere, where no reader would look for it.
    let size = device::size(dev).map_err(|e| InstallError::Io("asking for the disk's size", e))?;
    table.disk_sectors = size / sector.bytes();
    let total = root.root.len + root.verity.len;
    let mut done = 0;
    write_slot_counted(dev, table, slot, root, &mut |n| {
        done += n;
        progress(Progress { done, total });
    })
}

fn write_slot_counted(
    dev: &mut impl Device,
    mut table: Table,
    slot: Slot,
    root: Root<'_>,
    step: &mut dyn FnMut(u64),
) -> Result<(), InstallError> {
    let (root_guid, verity_guid) = root.hash.partition_guids();
    copy(dev, &table, slot.root_number(), "root", root.root, step)?;
    copy(dev, &table, slot.verity_number(), "verity", root.verity, step)?;
    for (number, guid) in [(slot.root_number(), root_guid), (slot.verity_number(), verity_guid)] {
        table.entry_mut(number).ok_or(InstallError::Missing(number))?.guid = guid;
    }
    Ok(table.write(dev)?)
}

/// The first block goes last: until then the slot has no superblock, and counts as empty.
fn copy(
    dev: &mut impl Device,
    table: &Table,
    number: u32,
    what: &'static str,
    source: Source<'_>,
    step: &mut dyn FnMut(u64),
) -> Result<(), InstallError> {
    let entry = table.entry(number).ok_or(InstallError::Missing(number))?;
    let (start, room) = entry.byte_range(table.sector).ok_or(InstallError::Missing(number))?;
    let Source { reader, len } = source;
    if len > room {
        return Err(InstallError::TooLarge { what, len, room, partition: entry.name.clone() });
    }
    let io = |e| InstallError::Io("copying an image", e);
    device::zero(dev, start, HEAD as u64).map_err(io)?;
    dev.flush().map_err(io)?;

    let head = read_up_to(reader, HEAD.min(usize::try_from(len).unwrap_or(HEAD))).map_err(io)?;
    let mut got = head.len() as u64;
    while got < len && got >= HEAD as u64 {
        let wanted = usize::try_from(len - got).unwrap_or(CHUNK).min(CHUNK);
        let chunk = read_up_to(reader, wanted).map_err(io)?;
        if chunk.is_empty() {
            break;
        }
        device::write_at(dev, start + got, &chunk).map_err(io)?;
        got += chunk.len() as u64;
        step(chunk.len() as u64);
    }
    if got < len {
        return Err(InstallError::Short { what, got, len });
    }
    dev.flush().map_err(io)?;
    device::write_at(dev, start, &head).map_err(io)?;
    dev.flush().map_err(io)?;
    step(head.len() as u64);
    Ok(())
}

/// Fills a buffer as far as the reader goes: a network stream gives less than asked at a time.
fn read_up_to(reader: &mut dyn Read, wanted: usize) -> io::Result<Vec<u8>> {
    let mut buf = Vec::with_capacity(wanted);
    reader.take(wanted as u64).read_to_end(&mut buf)?;
    Ok(buf)
}

/// Removes the signatures of an earlier life at the places where partitions start, so that nothing
/// takes the new disk for the old one.
fn clear(dev: &mut impl Device, layout: &Layout) -> io::Result<()> {
    for partition in &layout.partitions {
        match partition.number {
            DATA_NUMBER => wipe_data_head(dev, partition)?,
            _ => device::zero(dev, partition.start, MIB)?,
        }
    }
    dev.flush()
}

/// The first 8 MiB: both LUKS2 headers wherever they may stand (the second up to 4 MiB in), and what
/// file systems keep in front.
pub(crate) fn wipe_data_head(dev: &mut impl Device, data: &Partition) -> io::Result<()> {
    device::zero(dev, data.start, (8 * MIB).min(data.len))?;
    dev.flush()
}

/// Bytes of a prepared medium's image file: make it this long (sparse) before [`install`].
pub fn medium_bytes(sector: SectorSize, arch: Arch) -> u64 {
    Layout::medium(sector, arch).disk_bytes
}
