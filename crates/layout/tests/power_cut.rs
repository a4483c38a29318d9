//! The power goes at every single write, and the next run makes it good.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests count as ordinary code"
)]

mod common;

use std::io::{Read, Seek, SeekFrom};

use cairn_layout::plan::{ESP_BYTES, MIB};
use cairn_layout::{
    Arch, BootEntry, Content, Esp, Layout, SectorSize, grow_and_add_data, inspect, install, write_slot,
};
use common::{SEED, SparseDisk, run, with_payload};

const SECTOR: SectorSize = SectorSize::B512;

/// A card of 8 GB with a prepared medium's image on it.
fn card(sector: SectorSize) -> SparseDisk {
    let layout = Layout::medium(sector, Arch::X86_64);
    let mut disk = SparseDisk::new(layout.disk_bytes);
    with_payload(|p| install(&mut disk, &layout, &SEED, p, &mut |_| ())).unwrap();
    disk.size = 8_000_000_000 / 4096 * 4096;
    disk.powered().without_zeros()
}

/// Every count of sectors that can be written before the power goes, and the whole run at the end.
fn each_cut(mut disk: SparseDisk, act: impl Fn(&mut SparseDisk), mut check: impl FnMut(u64, &SparseDisk)) {
    let start = disk.powered();
    act(&mut disk);
    let writes = disk.writes;
    assert!(writes > 0);
    for cut in 0..=writes {
        let mut cut_off = start.cut_after(cut);
        act(&mut cut_off);
        check(cut, &cut_off.powered());
    }
}

#[test]
fn growing_after_a_cut_at_any_write_ends_in_the_same_bytes() {
    for sector in [SectorSize::B512, SectorSize::B4096] {
        let mut card = card(sector);
        // Somebody's old data on the card, where the data partition will start.
        card.put(Layout::medium(sector, Arch::X86_64).disk_bytes, &[0x55; 4096]);
        let mut whole = card.powered();
        grow_and_add_data(&mut whole, sector, &SEED).unwrap();
        let whole = whole.content();
        each_cut(
            card,
            |disk| drop(grow_and_add_data(disk, sector, &SEED)),
            |cut, disk| {
                let ours = || matches!(inspect(&mut disk.clone(), sector), Ok(Content::Cairn(_)));
                assert!(!cut.is_multiple_of(8) || ours(), "cut {cut}");
                let mut again = disk.clone();
                grow_and_add_data(&mut again, sector, &SEED).unwrap();
                assert!(again.content() == whole, "cut after {cut} writes");
            },
        );
    }
}

#[test]
fn growing_again_never_touches_what_was_encrypted_meanwhile() {
    let mut card = card(SECTOR);
    let data = grow_and_add_data(&mut card, SECTOR, &SEED).unwrap();
    card.put(data.start, b"LUKS\xba\xbe\0\x02 precious");
    let before = card.content();
    assert_eq!(grow_and_add_data(&mut card, SECTOR, &SEED).unwrap(), data);
    assert!(card.content() == before);
    // Even with the primary table lost: the backup names the data partition.
    card.put(512, &[0; 1024]);
    assert_eq!(grow_and_add_data(&mut card, SECTOR, &SEED).unwrap(), data);
    assert!(card.content() == before);
}

#[test]
fn growing_makes_the_table_that_a_disk_of_that_size_is_planned_with() {
    let mut card = card(SECTOR);
    let data = grow_and_add_data(&mut card, SECTOR, &SEED).unwrap();
    let planned = Layout::plan(card.size, SECTOR, Arch::X86_64).unwrap();
    assert_eq!(planned.partitions.last(), Some(&data));
}

#[test]
fn a_small_file_is_old_or_new_at_any_cut_and_can_be_written_again() {
    const PATH: &str = "cairn/identity.json";
    let mut card = card(SECTOR);
    let (old, new) = (vec![b'o'; 5000], vec![b'n'; 9000]);
    Esp::open(&mut card, SECTOR).unwrap().write(PATH, &old).unwrap();
    let mut newest = false;
    each_cut(
        card.powered(),
        |disk| drop(Esp::open(disk, SECTOR).and_then(|mut esp| esp.write(PATH, &new))),
        |cut, disk| {
            let mut disk = disk.clone();
            let mut esp = Esp::open(&mut disk, SECTOR).unwrap();
            let found = esp.read(PATH).unwrap().unwrap();
            assert!(found == old || found == new, "cut {cut}: {} bytes", found.len());
            assert!(!newest || found == new, "cut {cut} goes back");
            newest = found == new;
            esp.write("cairn/other.json", &[b'x'; 9000]).unwrap();
            assert!(esp.read(PATH).unwrap().unwrap() == found, "cut {cut}: another file took its place");
            esp.write(PATH, b"third").unwrap();
            assert_eq!(esp.read(PATH).unwrap().unwrap(), b"third");
            fsck(&disk, cut);
        },
    );
    assert!(newest);
}

#[test]
fn renaming_a_boot_entry_leaves_no_moment_without_it() {
    let card = card(SECTOR);
    let entry = BootEntry::fresh(common::VERSION).unwrap();
    let tried = entry.attempted();
    let uki = common::uki();
    each_cut(
        card,
        |disk| drop(Esp::open(disk, SECTOR).and_then(|mut esp| esp.rename_entry(&entry, &tried))),
        |cut, disk| {
            let mut disk = disk.clone();
            let mut esp = Esp::open(&mut disk, SECTOR).unwrap();
            let entries = esp.entries().unwrap();
            assert!(
                entries == [entry.clone()] || entries == std::slice::from_ref(&tried),
                "cut {cut}: {entries:?}"
            );
            let path = format!("EFI/Linux/{}", entries[0].name());
            assert!(esp.read(&path).unwrap().unwrap() == uki, "cut {cut}");
            esp.rename_entry(&entry, &tried).or_else(|_| esp.rename_entry(&entries[0], &tried)).unwrap();
            assert_eq!(esp.entries().unwrap(), std::slice::from_ref(&tried), "cut {cut}");
            let path = format!("EFI/Linux/{}", tried.name());
            assert!(esp.read(&path).unwrap().unwrap() == uki, "cut {cut}");
            fsck(&disk, cut);
        },
    );
}

#[test]
fn a_new_boot_entry_is_whole_or_absent_and_the_old_one_stays() {
    let card = card(SECTOR);
    let old = BootEntry::fresh(common::VERSION).unwrap();
    let new = BootEntry::fresh("0.2.0+ffeeddcc").unwrap();
    let uki = vec![b'u'; 20_000];
    let write = |disk: &mut SparseDisk| {
        let mut esp = Esp::open(disk, SECTOR)?;
        esp.write_entry(&new, &mut uki.as_slice(), uki.len() as u64, &mut |_| ())
    };
    each_cut(
        card,
        |disk| drop(write(disk)),
        |cut, disk| {
            let mut disk = disk.clone();
            let mut esp = Esp::open(&mut disk, SECTOR).unwrap();
            let entries = esp.entries().unwrap();
            assert!(entries.contains(&old), "cut {cut}: {entries:?}");
            if entries.contains(&new) {
                let path = format!("EFI/Linux/{}", new.name());
                assert!(esp.read(&path).unwrap().unwrap() == uki, "cut {cut}");
            }
            write(&mut disk).unwrap();
            let mut esp = Esp::open(&mut disk, SECTOR).unwrap();
            assert_eq!(esp.entries().unwrap(), [old.clone(), new.clone()], "cut {cut}");
            esp.remove_entry(&new).unwrap();
            fsck(&disk, cut);
        },
    );
}

#[test]
fn a_slot_is_an_image_only_when_all_of_it_was_written() {
    let root_b = Layout::medium(SECTOR, Arch::X86_64).partition(4).unwrap().start;
    each_cut(
        card(SECTOR),
        |disk| {
            drop(with_payload(|p| write_slot(disk, SECTOR, cairn_layout::Slot::B, p.root, &mut |_| ())));
        },
        |cut, disk| {
            let Content::Cairn(found) = inspect(&mut disk.clone(), SECTOR).unwrap() else {
                panic!("cut {cut}")
            };
            assert_eq!(found.slot_a, Some(common::hash()), "cut {cut}");
            if found.slot_b == Some(common::hash()) {
                let mut bytes = vec![0; common::root_image().len()];
                let mut disk = disk.clone();
                disk.seek(SeekFrom::Start(root_b)).unwrap();
                disk.read_exact(&mut bytes).unwrap();
                assert!(bytes == common::root_image(), "cut {cut}");
            }
        },
    );
}

/// After a cut and one more operation space may be lost, but nothing may be crossed or broken.
fn fsck(disk: &SparseDisk, cut: u64) {
    if !cut.is_multiple_of(9) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("esp");
    disk.save_range(&path, MIB, ESP_BYTES);
    let (_, verdict) = run("fsck.vfat", &["-n", "-v", path.to_str().unwrap()]);
    for complaint in
        ["share", "Bad", "does point", "Truncating", "Expected", "beyond", "Dirty bit", "uninitialized"]
    {
        assert!(!verdict.contains(complaint), "cut {cut}: {complaint}: {verdict}");
    }
}
