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
        use_all(&mut disk);
    }
}

/// Clusters that are none, in the entries of all folders: 1 is below the first, the others behind the last.
#[test]
fn names_that_begin_outside_the_file_system_are_followed_nowhere() {
    const CLUSTER_BYTES: [usize; 4] = [20, 21, 26, 27];
    let whole = formatted();
    let folders = whole
        .blocks
        .iter()
        .filter(|(_, bytes)| bytes.windows(8).any(|w| w == b"CAIRN   " || w == b".       "));
    let folders: Vec<u64> = folders.map(|(block, _)| *block).collect();
    assert!(folders.len() > 2, "{folders:?}");
    for folder in folders {
        for slot in (0..512).step_by(32) {
            for (at, byte) in CLUSTER_BYTES.into_iter().flat_map(|at| [1, 0x20, 0xFF].map(|byte| (at, byte)))
            {
                let mut disk = whole.clone();
                disk.blocks.get_mut(&folder).unwrap()[slot + at] = byte;
                use_all(&mut disk);
            }
        }
    }
}

fn use_all(disk: &mut SparseDisk) {
    let size = disk.size;
    if let Ok(mut esp) = Esp::open_range(disk, 0, size) {
        let _ = esp.read("cairn/identity.json");
        let _ = esp.entries();
        let entry = BootEntry::fresh("1.0").unwrap();
        let _ = esp.rename_entry(&entry, &entry.good());
        let _ = esp.write("cairn/identity.json", b"new");
        let _ = esp.remove_entry(&entry.good());
    }
}
