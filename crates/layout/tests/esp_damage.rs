//! A damaged boot partition is an error or a wrong answer, never a fall or a standstill.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests count as ordinary code"
)]

mod common;

use cairn_layout::{BootEntry, Esp, SectorSize};
use common::SparseDisk;
use proptest::prelude::*;

fn formatted() -> SparseDisk {
    let size = 300 * 1024 * 1024;
    let mut disk = SparseDisk::new(size);
    let mut esp = Esp::format(&mut disk, 0, size, SectorSize::B512, 7).unwrap();
    let entry = BootEntry::fresh("1.0").unwrap();
    esp.write_entry(&entry, &mut [1; 9000].as_slice(), 9000, &mut |_| ()).unwrap();
    esp.write("cairn/identity.json", &[b'i'; 9000]).unwrap();
    disk.powered().without_zeros()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn reading_and_writing_a_damaged_boot_partition_comes_to_an_end(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), 0..512_usize, any::<u8>()), 1..30),
    ) {
        let mut disk = formatted();
        let blocks: Vec<u64> = disk.blocks.keys().copied().collect();
        for (block, at, byte) in damage {
            disk.blocks.get_mut(block.get(&blocks)).unwrap()[at] = byte;
        }
        let size = disk.size;
        if let Ok(mut esp) = Esp::open_range(&mut disk, 0, size) {
            let _ = esp.read("cairn/identity.json");
            let _ = esp.entries();
            let entry = BootEntry::fresh("1.0").unwrap();
            let _ = esp.rename_entry(&entry, &entry.good());
            let _ = esp.write("cairn/identity.json", b"new");
            let _ = esp.remove_entry(&entry.good());
        }
    }
}
