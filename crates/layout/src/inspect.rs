//! What is on a disk: nothing, a Cairn, or something that somebody may miss.
//!
//! A disk is [`Content::Blank`] only if every byte of the probed regions is zero:
//!
//! - the first 5 MiB: partition tables, nearly all superblocks, and LUKS2's second header, which
//!   stands 4 MiB in at most;
//! - the last MiB: backup GPT, mdraid 0.90 and 1.0, firmware RAID, ZFS's labels;
//! - the copies of superblocks that survive a `dd` over the head: ext's first, for block sizes of 1, 2
//!   and 4 KiB, and btrfs's at 64 MiB and 256 GiB;
//! - 64 samples of 64 KiB, spread evenly, for what a wiped head leaves behind.
//!
//! So what lies outside them is missed only where all these are zero: a disk that was wiped, or whose
//! first partition starts late and holds next to nothing. A disk that reads as anything else than
//! zeros (0xFF, say, from erased flash) is not called blank: better one question too many.
//!
//! No bytes on a disk make this panic or read without end, and labels lose their control characters,
//! since they go to a console and a page.

mod probe;
mod signature;
mod table;

use std::fmt;
use std::io::{self, Read, Seek};

use self::probe::Probe;
use crate::gpt::Table;
use crate::plan::{DATA_NUMBER, FIXED_NAMES, RootHash, SectorSize, Slot};

#[derive(Debug, thiserror::Error)]
#[error("reading the disk failed: it may be broken, and is not to be used")]
pub struct InspectError(#[from] io::Error);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Blank,
    Cairn(CairnDisk),
    /// Something known, in words.
    Other(String),
    /// Not zero, and no signature that we know.
    Unknown {
        /// Offset of the first such byte.
        first_at: u64,
    },
}

/// A disk that Cairn laid out: a node's, or a prepared medium that was never started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CairnDisk {
    /// The image in the slot; `None` where it is empty or was only partly written. It says which
    /// image was written, not that its bytes are still right: dm-verity proves that.
    pub slot_a: Option<RootHash>,
    pub slot_b: Option<RootHash>,
    pub data: Data,
}

impl CairnDisk {
    pub fn slot(&self, slot: Slot) -> Option<RootHash> {
        match slot {
            Slot::A => self.slot_a,
            Slot::B => self.slot_b,
        }
    }

    /// The slot that holds this image.
    pub fn slot_of(&self, hash: &RootHash) -> Option<Slot> {
        Slot::BOTH.into_iter().find(|slot| self.slot(*slot).as_ref() == Some(hash))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// No such partition yet: [`crate::grow_and_add_data`] was not run.
    Missing,
    /// Laid out, not yet encrypted.
    Empty,
    Luks {
        bytes: u64,
    },
    /// In words. Not ours to touch.
    Other(String),
}

/// Looks at a whole disk. Reads some 10 MiB, writes nothing.
pub fn inspect(dev: &mut (impl Read + Seek), sector: SectorSize) -> Result<Content, InspectError> {
    let mut probe = Probe::new(dev)?;
    let other_sector = match sector {
        SectorSize::B512 => SectorSize::B4096,
        SectorSize::B4096 => SectorSize::B512,
    };
    if let Some(table) = probe.gpt(sector)? {
        if is_cairn(&table) {
            return Ok(Content::Cairn(cairn_disk(&mut probe, &table)?));
        }
        return Ok(Content::Other(table::describe_gpt(&mut probe, &table)?));
    }
    if let Some(table) = probe.gpt(other_sector)? {
        let words = table::describe_gpt(&mut probe, &table)?;
        return Ok(Content::Other(format!("{words}, made for sectors of {} bytes", other_sector.bytes())));
    }
    let size = probe.size();
    let found = signature::identify(&mut probe, 0, size)?;
    if !found.is_empty() {
        return Ok(Content::Other(signature::words(&found)));
    }
    if let Some(words) = table::describe_remains(&mut probe)? {
        return Ok(Content::Other(words));
    }
    Ok(match probe.first_non_zero()? {
        None => Content::Blank,
        Some(first_at) => Content::Unknown { first_at },
    })
}

fn is_cairn(table: &Table) -> bool {
    FIXED_NAMES.iter().all(|(number, name)| table.entry(*number).is_some_and(|e| e.name == *name))
}

fn cairn_disk<D: Read + Seek>(probe: &mut Probe<'_, D>, table: &Table) -> io::Result<CairnDisk> {
    let slot_a = slot(probe, table, Slot::A)?;
    let slot_b = slot(probe, table, Slot::B)?;
    let data = match table.entry(DATA_NUMBER) {
        None => Data::Missing,
        Some(entry) => match entry.byte_range(table.sector) {
            None => Data::Other("a partition of impossible size".to_owned()),
            Some((start, len)) => data(probe, start, len)?,
        },
    };
    Ok(CairnDisk { slot_a, slot_b, data })
}

/// An image is there if both superblocks are: writing a slot puts them last.
fn slot<D: Read + Seek>(probe: &mut Probe<'_, D>, table: &Table, slot: Slot) -> io::Result<Option<RootHash>> {
    let root = table.entry(slot.root_number());
    let verity = table.entry(slot.verity_number());
    let (Some(root), Some(verity)) = (root, verity) else { return Ok(None) };
    let mut starts_with =
        |entry: &crate::gpt::Entry, at: u64, magic: &[u8]| match entry.byte_range(table.sector) {
            Some((start, _)) => Ok::<_, io::Error>(probe.bytes(start + at, magic.len())? == magic),
            None => Ok(false),
        };
    let whole = starts_with(root, 1024, signature::EROFS)? && starts_with(verity, 0, signature::VERITY)?;
    Ok(whole.then(|| RootHash::from_partition_guids(root.guid, verity.guid)))
}

fn data<D: Read + Seek>(probe: &mut Probe<'_, D>, start: u64, len: u64) -> io::Result<Data> {
    let found = signature::identify(probe, start, len)?;
    if found.iter().any(|s| s.is_luks()) {
        return Ok(Data::Luks { bytes: len });
    }
    if !found.is_empty() {
        return Ok(Data::Other(signature::words(&found)));
    }
    Ok(match probe.non_zero_in(start, len.min(probe::HEAD))? {
        None => Data::Empty,
        Some(_) => Data::Other("unknown data".to_owned()),
    })
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("blank"),
            Self::Cairn(disk) => disk.fmt(f),
            Self::Other(words) => f.write_str(words),
            Self::Unknown { first_at } => write!(f, "unknown data, first at byte {first_at}"),
        }
    }
}

impl fmt::Display for CairnDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = |hash: Option<RootHash>| match hash {
            None => "empty".to_owned(),
            Some(hash) => format!("image {}", hash.to_string().get(..8).unwrap_or_default()),
        };
        write!(f, "Cairn: slot A {}, slot B {}, ", slot(self.slot_a), slot(self.slot_b))?;
        match &self.data {
            Data::Missing => f.write_str("no data partition yet"),
            Data::Empty => f.write_str("data partition empty"),
            Data::Luks { bytes } => write!(f, "encrypted data of {}", table::size_words(*bytes)),
            Data::Other(words) => write!(f, "data partition holds {words}"),
        }
    }
}

impl From<&Content> for cairn_model::inventory::DiskContent {
    fn from(content: &Content) -> Self {
        match content {
            Content::Blank => Self::Blank,
            other => Self::Holds(other.to_string()),
        }
    }
}
