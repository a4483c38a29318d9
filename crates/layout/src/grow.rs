//! A prepared medium's first boot: the table moves to the real end of the card, and the data
//! partition takes the rest.
//!
//! What stands on the disk after a power cut, and what the next run does:
//!
//! 1. backup at the real end (new table): the old primary rules, all is done again;
//! 2. the head of the data partition is cleared (it also holds the image's own backup): likewise;
//! 3. primary and MBR: where the primary is torn, the backup holds the new table and only
//!    the primary is written again; where it is whole, there is nothing left to do.
//!
//! So the data partition is cleared only while no valid primary names it, never once it may have been
//! encrypted.

use crate::device::{self, Device};
use crate::gpt::{Copy, Entry, GptError, Table};
use crate::install::wipe_data_head;
use crate::plan::{self, DATA_NUMBER, LayoutError, Partition, SectorSize, Seed};

#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    #[error("growing the partition table to the end of the disk failed")]
    Gpt(#[from] GptError),
    #[error("clearing the new data partition failed")]
    Io(#[from] std::io::Error),
    #[error("there is no room for the data partition")]
    Layout(#[from] LayoutError),
    #[error(
        "this is no Cairn disk: partition {number} is `{found}` instead of `{wanted}`; nothing was changed"
    )]
    Foreign { number: u32, found: String, wanted: &'static str },
    #[error(
        "the data partition ends beyond the disk: was the medium copied onto a smaller one? nothing was changed"
    )]
    Shrunk,
}

/// Extends the table of a prepared medium to the end of the device and adds `cairn-data`. Does
/// nothing where that is done already. Gives the data partition; the kernel has to be told of it.
pub fn grow_and_add_data(
    dev: &mut impl Device,
    sector: SectorSize,
    seed: &Seed,
) -> Result<Partition, GrowError> {
    let (mut table, source) = Table::read(dev, sector)?;
    check_ours(&table)?;
    let size = device::size(dev)?;
    table.disk_sectors = size / sector.bytes();
    let data = match table.entry(DATA_NUMBER) {
        Some(entry) => {
            let (start, len) = entry.byte_range(sector).ok_or(GrowError::Shrunk)?;
            if start + len > size - plan::ALIGNMENT.min(size) {
                return Err(GrowError::Shrunk);
            }
            Partition { start, len, ..plan::data_partition(size)? }
        }
        None => plan::data_partition(size)?,
    };
    if table.entry(DATA_NUMBER).is_some() {
        return restore(dev, &table, source).map(|()| data);
    }
    table.entries.push(Entry {
        number: DATA_NUMBER,
        kind: data.kind,
        guid: seed.guid(data.name),
        first: data.start / sector.bytes(),
        last: (data.start + data.len) / sector.bytes() - 1,
        attributes: 0,
        name: data.name.to_owned(),
    });
    table.write_copy(dev, Copy::Backup)?;
    wipe_data_head(dev, &data)?;
    table.write_copy(dev, Copy::Primary)?;
    Ok(data)
}

/// The data partition is there: only what a power cut left unwritten is written.
fn restore(dev: &mut impl Device, table: &Table, source: Copy) -> Result<(), GrowError> {
    let whole = |found: Option<Table>| found.as_ref() == Some(table);
    if !whole(Table::read_copy(dev, table.sector, Copy::Backup)?) {
        table.write_copy(dev, Copy::Backup)?;
    }
    if source == Copy::Backup
        || !whole(Table::read_copy(dev, table.sector, Copy::Primary)?)
        || !table.mbr_is_current(dev)?
    {
        table.write_copy(dev, Copy::Primary)?;
    }
    Ok(())
}

fn check_ours(table: &Table) -> Result<(), GrowError> {
    for (number, wanted) in plan::FIXED_NAMES {
        let found = table.entry(number).map_or("", |e| e.name.as_str());
        if found != wanted {
            return Err(GrowError::Foreign { number, found: found.to_owned(), wanted });
        }
    }
    match table.entry(DATA_NUMBER) {
        Some(e) if e.name != plan::DATA_NAME => {
            Err(GrowError::Foreign { number: DATA_NUMBER, found: e.name.clone(), wanted: plan::DATA_NAME })
        }
        _ => Ok(()),
    }
}
