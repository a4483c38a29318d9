//! systemd-boot counts a boot by having the firmware rename the entry, which firmware does only to a
//! file that it finds in order.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests count as ordinary code"
)]

mod common;

use std::fs::File;
use std::path::Path;

use cairn_layout::{BootEntry, Esp, SectorSize};
use common::{SparseDisk, run};
use fatfs::{Date, Dir, FileSystem, FsOptions, ReadWriteSeek, Time};

const SIZE: u64 = 300 * 1024 * 1024;

fn formatted() -> SparseDisk {
    let mut disk = SparseDisk::new(SIZE);
    let mut esp = Esp::format(&mut disk, 0, SIZE, SectorSize::B512, 7).unwrap();
    let uki = common::uki();
    let entry = BootEntry::fresh(common::VERSION).unwrap();
    esp.write_entry(&entry, &mut uki.as_slice(), uki.len() as u64, &mut |_| ()).unwrap();
    esp.write("EFI/BOOT/BOOTX64.EFI", b"MZ").unwrap();
    esp.write("cairn/join.json", b"{}").unwrap();
    esp.write("cairn/join.json", b"{\"join\":true}").unwrap();
    disk
}

/// What EDK2's FAT driver wants of a date before it changes anything of a file (`FatIsValidTime`).
fn is_date(date: Date) -> bool {
    let days = match date.month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u16::from(date.year.is_multiple_of(4)),
        _ => 31,
    };
    (1..=12).contains(&date.month) && (1..=days).contains(&date.day)
}

fn is_time(time: Time) -> bool {
    time.hour <= 23 && time.min <= 59 && time.sec <= 59
}

/// Every file and folder with an invalid date.
fn undated<T: ReadWriteSeek>(dir: &Dir<'_, T>, path: &str, found: &mut Vec<String>) {
    for entry in dir.iter() {
        let entry = entry.unwrap();
        let name = format!("{path}/{}", entry.file_name());
        let stamps = [entry.created(), entry.modified()];
        if !is_date(entry.accessed()) || !stamps.iter().all(|s| is_date(s.date) && is_time(s.time)) {
            found.push(name.clone());
        }
        if entry.is_dir() && ![".", ".."].contains(&entry.file_name().as_str()) {
            undated(&entry.to_dir(), &name, found);
        }
    }
}

fn all_undated(disk: &SparseDisk) -> Vec<String> {
    let fs = FileSystem::new(disk.powered(), FsOptions::new()).unwrap();
    let mut found = Vec::new();
    undated(&fs.root_dir(), "", &mut found);
    found
}

fn is_clean(esp: &Path) {
    let (clean, verdict) = run("fsck.vfat", &["-n", "-v", esp.to_str().unwrap()]);
    assert!(clean, "{verdict}");
    for complaint in ["wrong", "ninitialized", "Reclaim", "differ", "dirty", "Auto", "Orphan"] {
        assert!(!verdict.contains(complaint), "{complaint}: {verdict}");
    }
}

#[test]
fn every_file_and_folder_has_a_date_that_firmware_accepts() {
    let mut disk = formatted();
    assert_eq!(all_undated(&disk), [""; 0]);
    let fresh = BootEntry::fresh(common::VERSION).unwrap();
    let mut esp = Esp::open_range(&mut disk, 0, SIZE).unwrap();
    esp.rename_entry(&fresh, &fresh.attempted()).unwrap();
    esp.rename_entry(&fresh.attempted(), &fresh.good()).unwrap();
    assert_eq!(all_undated(&disk), [""; 0]);
}

#[test]
fn a_rename_of_ours_mends_a_date_that_firmware_would_refuse() {
    let mut disk = formatted();
    let fresh = BootEntry::fresh(common::VERSION).unwrap();
    let short = disk.blocks.values_mut().find_map(|block| {
        let slots = block.as_chunks_mut::<32>().0;
        slots.iter_mut().find(|slot| slot.starts_with(b"CAIRN_") && slot[11] != 0x0F)
    });
    short.unwrap()[14..26].copy_from_slice(&[0; 12]);
    assert_eq!(all_undated(&disk), [format!("/EFI/Linux/{}", fresh.name())]);
    let mut esp = Esp::open_range(&mut disk, 0, SIZE).unwrap();
    esp.rename_entry(&fresh, &fresh.attempted()).unwrap();
    assert_eq!(all_undated(&disk), [""; 0]);
}

#[test]
fn an_attempt_counted_by_another_driver_is_taken_back_ten_times_in_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("esp");
    formatted().save(&path);
    let fresh = BootEntry::fresh(common::VERSION).unwrap();
    let (from, to) = (format!("::/EFI/Linux/{}", fresh.name()), fresh.attempted().name());
    for _ in 0..10 {
        let (renamed, text) = run("mren", &["-i", path.to_str().unwrap(), &from, &to]);
        assert!(renamed, "{text}");
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        let mut esp = Esp::open_range(&mut file, 0, SIZE).unwrap();
        assert_eq!(esp.entries().unwrap(), [fresh.attempted()]);
        esp.rename_entry(&fresh.attempted(), &fresh.attempted().restored()).unwrap();
        assert_eq!(esp.entries().unwrap(), std::slice::from_ref(&fresh));
        is_clean(&path);
    }
}
