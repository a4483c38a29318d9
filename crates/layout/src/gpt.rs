//! The GUID partition table as bytes (UEFI 2.10, chapter 5): bounded reading, ordered writing.
//!
//! Not the `gpt` crate: it stops the program on a table whose entries are not 128 bytes long and
//! reserves whatever memory a foreign header asks for, where we look at disks of unknown origin with a
//! program that must not die; and it writes the primary's entries before the backup's and never
//! flushes between, where a power cut must leave one whole table.

mod mbr;

pub use mbr::Mbr;

use std::io::{self, Read, Seek};

use uuid::{Uuid, uuid};

use crate::device::{self, Device};
use crate::plan::SectorSize;

// The discoverable partitions specification (UAPI group).
pub const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
pub const ROOT_X86_64: Uuid = uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
pub const VERITY_X86_64: Uuid = uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5");
pub const ROOT_ARM64: Uuid = uuid!("b921b045-1df0-41c3-af44-4c6f280d3fae");
pub const VERITY_ARM64: Uuid = uuid!("df3300ce-d69f-4c92-978c-9bfb0f38d820");
pub const LUKS: Uuid = uuid!("ca7d7ccb-63ed-4c53-861c-1742536059cc");

pub(crate) const SIGNATURE: &[u8; 8] = b"EFI PART";
const HEADER_LEN: usize = 92;
const ENTRY_LEN: usize = 128;
/// What everybody writes, and the least that UEFI demands (16 KiB).
const ENTRIES: usize = 128;
/// More than any partitioner makes; a header that claims more is damaged or hostile.
const MAX_ARRAY_BYTES: u64 = 1024 * 1024;

/// A used entry. Sectors are counted from the start of the disk, `last` belongs to the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub number: u32,
    pub kind: Uuid,
    pub guid: Uuid,
    pub first: u64,
    pub last: u64,
    pub attributes: u64,
    pub name: String,
}

impl Entry {
    /// Start and length in bytes; `None` when they do not fit into numbers or are upside down.
    pub fn byte_range(&self, sector: SectorSize) -> Option<(u64, u64)> {
        let sectors = self.last.checked_sub(self.first)?.checked_add(1)?;
        let start = self.first.checked_mul(sector.bytes())?;
        let len = sectors.checked_mul(sector.bytes())?;
        start.checked_add(len)?;
        Some((start, len))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub sector: SectorSize,
    /// Size of the disk that the table was made for; its backup stands in the last of these sectors.
    pub disk_sectors: u64,
    pub disk_guid: Uuid,
    pub entries: Vec<Entry>,
    pub mbr: Mbr,
}

#[derive(Debug, thiserror::Error)]
pub enum GptError {
    #[error("reading or writing the partition table failed")]
    Io(#[from] io::Error),
    #[error("the disk has no valid partition table (GPT) with sectors of {0} bytes")]
    None(u64),
    #[error("the disk of {0} bytes is too small for a partition table")]
    TooSmall(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    Primary,
    Backup,
}

impl Table {
    pub fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.iter().find(|e| e.number == number)
    }

    pub fn entry_mut(&mut self, number: u32) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|e| e.number == number)
    }

    pub fn entry_named(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == name)
    }

    fn array_sectors(&self) -> u64 {
        ((ENTRIES * ENTRY_LEN) as u64).div_ceil(self.sector.bytes())
    }

    /// Writes the backup, then the primary, with a flush between, and the array before its header.
    /// Cut anywhere, one of the two is whole: until the backup is flushed the old primary, from then
    /// on the new backup.
    pub fn write(&self, dev: &mut impl Device) -> Result<(), GptError> {
        self.write_copy(dev, Copy::Backup)?;
        self.write_copy(dev, Copy::Primary)
    }

    pub(crate) fn write_copy(&self, dev: &mut impl Device, which: Copy) -> Result<(), GptError> {
        let sector = self.sector.bytes();
        let last = self.disk_sectors.checked_sub(1).filter(|last| *last > 2 * self.array_sectors() + 2);
        let last = last.ok_or(GptError::TooSmall(self.disk_sectors.saturating_mul(sector)))?;
        let (own, other, array_at) = match which {
            Copy::Primary => (1, last, 2),
            Copy::Backup => (last, 1, last - self.array_sectors()),
        };
        let mut array = self.encode_array();
        let crc = crc32fast::hash(&array);
        pad(&mut array, sector);
        device::write_at(dev, array_at * sector, &array)?;
        dev.flush()?;
        let mut header = self.encode_header(own, other, array_at, crc);
        pad(&mut header, sector);
        device::write_at(dev, own * sector, &header)?;
        dev.flush()?;
        if which == Copy::Primary {
            device::write_at(dev, 0, &self.encode_mbr())?;
            dev.flush()?;
        }
        Ok(())
    }

    fn encode_header(&self, own: u64, other: u64, array_at: u64, array_crc: u32) -> Vec<u8> {
        let last = own.max(other);
        let encode = |crc: u32| {
            let mut h = Vec::with_capacity(HEADER_LEN);
            h.extend_from_slice(SIGNATURE);
            h.extend_from_slice(&0x0001_0000_u32.to_le_bytes());
            h.extend_from_slice(&(HEADER_LEN as u32).to_le_bytes());
            h.extend_from_slice(&crc.to_le_bytes());
            h.extend_from_slice(&[0; 4]);
            h.extend_from_slice(&own.to_le_bytes());
            h.extend_from_slice(&other.to_le_bytes());
            h.extend_from_slice(&(2 + self.array_sectors()).to_le_bytes());
            h.extend_from_slice(&(last - self.array_sectors() - 1).to_le_bytes());
            h.extend_from_slice(&self.disk_guid.to_bytes_le());
            h.extend_from_slice(&array_at.to_le_bytes());
            h.extend_from_slice(&(ENTRIES as u32).to_le_bytes());
            h.extend_from_slice(&(ENTRY_LEN as u32).to_le_bytes());
            h.extend_from_slice(&array_crc.to_le_bytes());
            h
        };
        encode(crc32fast::hash(&encode(0)))
    }

    fn encode_array(&self) -> Vec<u8> {
        let mut array = Vec::with_capacity(ENTRIES * ENTRY_LEN);
        for number in (1..).take(ENTRIES) {
            if let Some(e) = self.entry(number) {
                array.extend_from_slice(&e.kind.to_bytes_le());
                array.extend_from_slice(&e.guid.to_bytes_le());
                array.extend_from_slice(&e.first.to_le_bytes());
                array.extend_from_slice(&e.last.to_le_bytes());
                array.extend_from_slice(&e.attributes.to_le_bytes());
                e.name.encode_utf16().take(36).for_each(|unit| array.extend_from_slice(&unit.to_le_bytes()));
            }
            array.resize(number as usize * ENTRY_LEN, 0);
        }
        array
    }

    /// The primary where it is whole, else the backup at the end of the device.
    pub fn read(dev: &mut (impl Read + Seek), sector: SectorSize) -> Result<(Self, Copy), GptError> {
        for which in [Copy::Primary, Copy::Backup] {
            if let Some(table) = Self::read_copy(dev, sector, which)? {
                return Ok((table, which));
            }
        }
        Err(GptError::None(sector.bytes()))
    }

    /// `None` where no valid table is: wrong signature, checksum, place or size.
    pub(crate) fn read_copy(
        dev: &mut (impl Read + Seek),
        sector: SectorSize,
        which: Copy,
    ) -> Result<Option<Self>, GptError> {
        let size = device::size(dev)?;
        let sectors = size / sector.bytes();
        if sectors < 6 {
            return Ok(None);
        }
        let at = match which {
            Copy::Primary => 1,
            Copy::Backup => sectors - 1,
        };
        let mut bytes = [0; HEADER_LEN];
        device::read_at(dev, at * sector.bytes(), &mut bytes)?;
        let Some(header) = Header::decode(&bytes).filter(|h| h.own == at) else { return Ok(None) };
        let array_bytes = u64::from(header.entries) * u64::from(header.entry_len);
        let array_at = header.array_at.checked_mul(sector.bytes());
        let array_at = array_at.filter(|at| at.checked_add(array_bytes).is_some_and(|end| end <= size));
        let Some(array_at) = array_at.filter(|_| array_bytes <= MAX_ARRAY_BYTES) else { return Ok(None) };
        let mut array = vec![0; usize::try_from(array_bytes).unwrap_or(0)];
        device::read_at(dev, array_at, &mut array)?;
        if crc32fast::hash(&array) != header.array_crc {
            return Ok(None);
        }
        let entries = (1..).zip(array.chunks_exact(header.entry_len as usize));
        Ok(Some(Self {
            sector,
            disk_sectors: header.own.max(header.other).saturating_add(1),
            disk_guid: header.disk_guid,
            entries: entries.filter_map(|(number, bytes)| decode_entry(number, bytes)).collect(),
            mbr: Mbr::read(dev)?,
        }))
    }
}

struct Header {
    own: u64,
    other: u64,
    disk_guid: Uuid,
    array_at: u64,
    entries: u32,
    entry_len: u32,
    array_crc: u32,
}

impl Header {
    fn decode(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let mut checked = *bytes;
        checked.get_mut(16..20)?.fill(0);
        let whole = bytes.starts_with(SIGNATURE)
            // Longer headers are allowed and unheard of; what we do not check we do not call valid.
            && le32(bytes, 12)? as usize == HEADER_LEN
            && le32(bytes, 16)? == crc32fast::hash(&checked);
        let entry_len = le32(bytes, 84)?;
        let fits = entry_len >= ENTRY_LEN as u32 && entry_len.is_multiple_of(ENTRY_LEN as u32);
        (whole && fits).then_some(())?;
        Some(Self {
            own: le64(bytes, 24)?,
            other: le64(bytes, 32)?,
            disk_guid: guid(bytes, 56)?,
            array_at: le64(bytes, 72)?,
            entries: le32(bytes, 80)?,
            entry_len,
            array_crc: le32(bytes, 88)?,
        })
    }
}

fn decode_entry(number: u32, bytes: &[u8]) -> Option<Entry> {
    let kind = guid(bytes, 0).filter(|kind| !kind.is_nil())?;
    let units = bytes.get(56..128)?.chunks_exact(2);
    let units = units.filter_map(|pair| pair.try_into().ok().map(u16::from_le_bytes));
    Some(Entry {
        number,
        kind,
        guid: guid(bytes, 16)?,
        first: le64(bytes, 32)?,
        last: le64(bytes, 40)?,
        attributes: le64(bytes, 48)?,
        name: char::decode_utf16(units.take_while(|u| *u != 0)).map(|c| c.unwrap_or('\u{FFFD}')).collect(),
    })
}

fn pad(bytes: &mut Vec<u8>, sector: u64) {
    let sector = sector as usize;
    bytes.resize(bytes.len().div_ceil(sector) * sector, 0);
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

pub(crate) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

fn guid(bytes: &[u8], at: usize) -> Option<Uuid> {
    bytes.get(at..)?.first_chunk().copied().map(Uuid::from_bytes_le)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Arch, Layout, Seed};
    use proptest::prelude::*;
    use std::io::Cursor;

    fn table(sector: SectorSize, disk_sectors: u64) -> Table {
        let layout = Layout::plan(8_000_000_000, sector, Arch::X86_64).unwrap();
        Table { disk_sectors, ..layout.table(&Seed([3; 16])) }
    }

    fn disk(sector: SectorSize) -> (Table, Cursor<Vec<u8>>) {
        let table = table(sector, 256);
        let mut disk = Cursor::new(vec![0; 256 * sector.bytes() as usize]);
        table.write(&mut disk).unwrap();
        (table, disk)
    }

    #[test]
    fn either_copy_gives_the_table_that_was_written() {
        for sector in [SectorSize::B512, SectorSize::B4096] {
            let (table, mut disk) = disk(sector);
            assert_eq!(Table::read(&mut disk, sector).unwrap(), (table.clone(), Copy::Primary));
            disk.get_mut()[sector.bytes() as usize] ^= 1;
            assert_eq!(Table::read(&mut disk, sector).unwrap(), (table, Copy::Backup));
        }
    }

    #[test]
    fn a_disk_without_room_for_two_tables_is_refused() {
        let error = table(SectorSize::B512, 60).write(&mut Cursor::new(vec![0; 30_720])).unwrap_err();
        assert_eq!(error.to_string(), "the disk of 30720 bytes is too small for a partition table");
    }

    proptest! {
        #[test]
        fn any_single_changed_byte_of_the_primary_is_noticed(at in 512_usize..34 * 512, bit in 0..8) {
            let (table, mut disk) = disk(SectorSize::B512);
            disk.get_mut()[at] ^= 1_u8 << bit;
            let (found, copy) = Table::read(&mut disk, SectorSize::B512).unwrap();
            prop_assert_eq!(found, table);
            // What follows the header in its sector belongs to nobody.
            prop_assert_eq!(copy == Copy::Primary, (512 + HEADER_LEN..1024).contains(&at));
        }

        #[test]
        fn any_header_with_a_right_checksum_is_read_or_refused(mut header in proptest::array::uniform32(any::<u8>()).prop_map(|a| [a, a, a].concat())) {
            header.truncate(HEADER_LEN);
            header[..8].copy_from_slice(SIGNATURE);
            header[12..16].copy_from_slice(&(HEADER_LEN as u32).to_le_bytes());
            header[16..20].fill(0);
            header[24..32].copy_from_slice(&1_u64.to_le_bytes());
            let crc = crc32fast::hash(&header);
            header[16..20].copy_from_slice(&crc.to_le_bytes());
            let mut disk = Cursor::new(vec![0; 64 * 512]);
            disk.get_mut()[512..512 + HEADER_LEN].copy_from_slice(&header);
            prop_assert!(!matches!(Table::read(&mut disk, SectorSize::B512), Err(GptError::Io(_))));
        }

        #[test]
        fn any_entry_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(entry) = decode_entry(1, &bytes) {
                entry.byte_range(SectorSize::B4096);
            }
        }
    }
}
