//! The first sector of a disk with a GPT: the old table, which says that there is a newer one.
//!
//! A Raspberry Pi reads its boot partition by the old table: its boot ROM is documented to know GPT on hard drives only,
//! and what it loads next did not always read it (docs/decisions/0019-raspberry-pi-boot.md). So a card for one names the
//! boot partition in both tables ("hybrid"). The entry that stands for the GPT then covers no more than the GPT itself,
//! and comes second, since the Pi takes the first one.

use super::{Table, pad};
use crate::device;
use crate::plan::{ESP_NUMBER, SectorSize};
use std::io::{self, Read, Seek};

/// FAT32, to be found by sector numbers.
const FAT32_LBA: u8 = 0x0C;
const GPT: u8 = 0xEE;
const ENTRIES_AT: usize = 446;
const ENTRY: usize = 16;

/// What the old table says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mbr {
    /// That the disk is in use, and no more (UEFI 2.10, 5.2.3).
    #[default]
    Protective,
    /// The boot partition too.
    Hybrid,
}

impl Mbr {
    /// What stands on a disk now: one that is grown or gets another image keeps it.
    pub(super) fn read(dev: &mut (impl Read + Seek)) -> io::Result<Self> {
        let mut sector = [0; 512];
        device::read_at(dev, 0, &mut sector)?;
        let kind = |number: usize| sector.get(ENTRIES_AT + number * ENTRY + 4).copied();
        Ok(if kind(0) == Some(FAT32_LBA) && kind(1) == Some(GPT) { Self::Hybrid } else { Self::Protective })
    }
}

impl Table {
    pub(super) fn encode_mbr(&self) -> Vec<u8> {
        let mut mbr = vec![0; ENTRIES_AT];
        let boot = self.entry(ESP_NUMBER).filter(|_| self.mbr == Mbr::Hybrid);
        match boot.and_then(|e| Some((u32::try_from(e.first).ok()?, u32::try_from(e.last).ok()?))) {
            Some((first, last)) => {
                // Beginnings and ends that no CHS reaches.
                mbr.extend_from_slice(&[0, 0xFE, 0xFF, 0xFF, FAT32_LBA, 0xFE, 0xFF, 0xFF]);
                mbr.extend_from_slice(&first.to_le_bytes());
                mbr.extend_from_slice(&last.saturating_sub(first).saturating_add(1).to_le_bytes());
                mbr.extend_from_slice(&gpt(first.saturating_sub(1)));
            }
            None => mbr.extend_from_slice(&gpt(u32::try_from(self.disk_sectors - 1).unwrap_or(u32::MAX))),
        }
        mbr.resize(510, 0);
        mbr.extend_from_slice(&[0x55, 0xAA]);
        pad(&mut mbr, self.sector.bytes());
        mbr
    }

    pub(crate) fn mbr_is_current(&self, dev: &mut (impl Read + Seek)) -> io::Result<bool> {
        let wanted = self.encode_mbr();
        let mut found = vec![0; wanted.len()];
        device::read_at(dev, 0, &mut found)?;
        Ok(found == wanted)
    }

    /// The same table, with the boot partition in the old one too.
    ///
    /// Only where sectors have 512 bytes, as on all cards: the old table's numbers mean these.
    #[must_use]
    pub(crate) fn hybrid(mut self) -> Self {
        if self.sector == SectorSize::B512 {
            self.mbr = Mbr::Hybrid;
        }
        self
    }
}

/// Not bootable; from sector 1 on (CHS 0/0/2); an end that no CHS reaches.
fn gpt(sectors: u32) -> [u8; ENTRY] {
    let mut entry = [0, 0, 2, 0, GPT, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0, 0, 0, 0];
    entry.iter_mut().skip(12).zip(sectors.to_le_bytes()).for_each(|(to, from)| *to = from);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpt::Copy;
    use crate::plan::{Arch, Layout, Seed};
    use std::io::Cursor;

    #[test]
    fn a_hybrid_table_is_read_back_and_names_the_boot_partition_first() {
        let layout = Layout::medium(SectorSize::B512, Arch::Arm64);
        let table = Table { disk_sectors: 256, ..layout.table(&Seed([3; 16])) }.hybrid();
        let mut disk = Cursor::new(vec![0; 256 * 512]);
        table.write(&mut disk).unwrap();
        assert_eq!(Table::read(&mut disk, SectorSize::B512).unwrap(), (table.clone(), Copy::Primary));
        assert!(table.mbr_is_current(&mut disk).unwrap());
        let entries = disk.get_ref().get(ENTRIES_AT..ENTRIES_AT + 2 * ENTRY).unwrap();
        let numbers = |at: usize| u32::from_le_bytes(entries.get(at..at + 4).unwrap().try_into().unwrap());
        assert_eq!((entries[4], numbers(8), numbers(12)), (FAT32_LBA, 2048, 512 * 2048));
        assert_eq!((entries[20], numbers(24), numbers(28)), (GPT, 1, 2047));
    }

    #[test]
    fn a_disk_with_large_sectors_keeps_the_protective_table() {
        let table = Layout::medium(SectorSize::B4096, Arch::Arm64).table(&Seed([3; 16])).hybrid();
        assert_eq!(table.mbr, Mbr::Protective);
    }
}
