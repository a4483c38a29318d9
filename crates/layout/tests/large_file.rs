//! A file that is read as a small one is never cut short without a word.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests count as ordinary code"
)]

mod common;

use cairn_layout::esp::EspError;
use cairn_layout::{BootEntry, Esp, SectorSize};
use common::SparseDisk;

const SIZE: u64 = 300 * 1024 * 1024;

#[test]
fn a_large_file_is_read_whole_or_refused() {
    let mut disk = SparseDisk::new(SIZE);
    let mut esp = Esp::format(&mut disk, 0, SIZE, SectorSize::B512, 7).unwrap();
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| (at / 7) as u8).collect();
    let entry = BootEntry::fresh(common::VERSION).unwrap();
    esp.write_entry(&entry, &mut bytes.as_slice(), bytes.len() as u64, &mut |_| ()).unwrap();
    let path = format!("EFI/Linux/{}", entry.name());
    assert!(matches!(esp.read(&path), Err(EspError::TooLarge(told)) if told == path));
    assert!(esp.read_large(&path).unwrap() == bytes);
}
