//! Nothing that somebody may miss is called blank, and no bytes make the reader fall.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests count as ordinary code"
)]

mod common;

use std::io::{Cursor, Read, Seek, SeekFrom};

use cairn_layout::inspect::Data;
use cairn_layout::plan::MIB;
use cairn_layout::{Arch, Content, Layout, SectorSize, grow_and_add_data, inspect, install};
use common::{SEED, SparseDisk, run, with_payload};
use proptest::prelude::*;

const SECTOR: SectorSize = SectorSize::B512;
const GB: u64 = 1_000_000_000;

fn words(disk: &mut (impl Read + Seek)) -> String {
    inspect(disk, SECTOR).unwrap().to_string()
}

/// A disk made by another program, then read by us.
fn made_by(size: u64, program: &str, args: &[&str]) -> std::fs::File {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(size).unwrap();
    let path = file.path().to_str().unwrap();
    let args: Vec<&str> = args.iter().map(|a| if *a == "DISK" { path } else { a }).collect();
    let (success, text) = run(program, &args);
    assert!(success, "{text}");
    std::fs::File::open(file.path()).unwrap()
}

#[test]
fn a_zeroed_disk_is_blank_whatever_its_size() {
    for size in [0, 1, 511, 512, 4096, MIB, 8 * MIB + 17, 500 * GB, 30_000 * GB] {
        assert_eq!(inspect(&mut SparseDisk::new(size), SECTOR).unwrap(), Content::Blank, "{size}");
    }
}

#[test]
fn one_byte_in_a_probed_region_makes_a_disk_not_blank() {
    let size = 500 * GB;
    for at in [0, 440, 5 * MIB - 1, size - 1, size - MIB, 64 * MIB + 64, 128 * MIB + 56, size / 64 * 37 + 5] {
        let mut disk = SparseDisk::new(size);
        disk.put(at, &[1]);
        assert_eq!(inspect(&mut disk, SECTOR).unwrap(), Content::Unknown { first_at: at }, "{at}");
    }
    let mut erased_flash = Cursor::new(vec![0xFF; 16 * MIB as usize]);
    assert_eq!(words(&mut erased_flash), "unknown data, first at byte 0");
}

#[test]
fn what_mkfs_made_is_named_with_its_label() {
    let size = 64 * MIB;
    let mut ext4 = made_by(size, "mkfs.ext4", &["-q", "-L", "photos", "DISK"]);
    assert_eq!(words(&mut ext4), "ext4 file system `photos`");
    let mut ext2 = made_by(size, "mkfs.ext2", &["-q", "DISK"]);
    assert_eq!(words(&mut ext2), "ext2 file system");
    let mut fat = made_by(size, "mkfs.vfat", &["-F", "32", "-n", "USB", "DISK"]);
    assert_eq!(words(&mut fat), "FAT32 file system `USB`");
    let mut fat = made_by(size, "mkfs.vfat", &["-F", "16", "DISK"]);
    assert_eq!(words(&mut fat), "FAT16 file system");
    let mut swap = made_by(size, "mkswap", &["-L", "s", "DISK"]);
    assert_eq!(words(&mut swap), "swap space `s`");
}

#[test]
fn a_file_system_whose_head_was_wiped_is_not_blank() {
    let mut file = made_by(256 * MIB, "mkfs.ext4", &["-q", "-L", "photos", "DISK"]);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes[..8 * MIB as usize].fill(0);
    assert!(matches!(inspect(&mut Cursor::new(bytes), SECTOR), Ok(Content::Unknown { .. })));
}

#[test]
fn well_known_marks_are_named() {
    let size = 512 * MIB;
    for (at, magic, expected) in [
        (0, b"LUKS\xba\xbe\0\x02".as_slice(), "LUKS encrypted data"),
        (0x40_0000, b"SKUL\xba\xbe", "LUKS encrypted data"),
        (512, b"LABELONE................LVM2 001", "LVM physical volume"),
        (4096, b"\xfc\x4e\x2b\xa9", "member of a Linux RAID (mdraid)"),
        (size - 65_536, b"\xfc\x4e\x2b\xa9", "member of a Linux RAID (mdraid)"),
        (size - 8192, b"\xfc\x4e\x2b\xa9", "member of a Linux RAID (mdraid)"),
        (size - 1024, b"Intel Raid ISM Cfg Sig. 1.", "member of an Intel firmware RAID"),
        (128 * 1024, &0x00ba_b10c_u64.to_le_bytes(), "member of a ZFS pool"),
        (size - 128 * 1024 + 1024, &0x00ba_b10c_u64.to_be_bytes(), "member of a ZFS pool"),
        (0x10040, b"_BHRfS_M", "btrfs file system"),
        (0, b"XFSB", "XFS file system"),
        (3, b"NTFS    ", "NTFS file system"),
        (3, b"EXFAT   ", "exFAT file system"),
        (3, b"-FVE-FS-", "BitLocker encrypted data"),
        (0x8001, b"CD001", "ISO 9660 file system"),
        (32, b"NXSB", "APFS container"),
        (0, b"bluestore block device\n", "Ceph BlueStore device"),
        (512, b"EFI PART", "a damaged partition table (GPT)"),
        (size - 4096, b"EFI PART", "a damaged partition table (GPT)"),
    ] {
        let mut disk = SparseDisk::new(size);
        disk.put(at, magic);
        assert_eq!(words(&mut disk), expected);
    }
}

#[test]
fn foreign_partition_tables_are_told_in_words() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(200 * GB / 512 * 512).unwrap();
    let path = file.path().to_str().unwrap();
    let args = [
        "-n",
        "1:2048:+100M",
        "-c",
        "1:EFI system partition",
        "-n",
        "2:0:+16M",
        "-n",
        "3:0:0",
        "-c",
        "3:Windows\u{202e}",
        path,
    ];
    let (success, text) = run("sgdisk", &args);
    assert!(success, "{text}");
    let mut disk = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let start = (2048 + 116 * 2048) * 512;
    disk.seek(SeekFrom::Start(start + 3)).unwrap();
    std::io::Write::write_all(&mut disk, b"NTFS    ").unwrap();
    assert_eq!(
        words(&mut disk),
        "GPT with 3 partitions: unknown content in `EFI system partition`, 104.8 MB; unknown content, 16.7 MB; \
         NTFS file system in `Windows`, 199.8 GB"
    );
    assert!(
        words(&mut {
            let mut mbr = SparseDisk::new(4 * GB);
            let mut record = [0; 18];
            (record[4], record[9], record[13]) = (0x83, 8, 16);
            record[16..].copy_from_slice(&[0x55, 0xAA]);
            mbr.put(494, &record);
            mbr
        })
        .starts_with("MBR with 1 partition: unknown content in `type 83`, 2.0 MB")
    );
}

#[test]
fn a_cairn_disk_tells_its_slots_and_its_data() {
    let layout = Layout::medium(SECTOR, Arch::X86_64);
    let mut disk = SparseDisk::new(layout.disk_bytes);
    let mut seen = Vec::new();
    with_payload(|p| install(&mut disk, &layout, &SEED, p, &mut |p| seen.push(p))).unwrap();
    assert!(seen.is_sorted_by_key(|p| p.done) && seen.iter().all(|p| p.total == 150_000));
    assert_eq!(seen.last().map(|p| p.done), Some(150_000));
    assert_eq!(words(&mut disk), "Cairn: slot A image 00112233, slot B empty, no data partition yet");
    disk.size = 8 * GB;
    let data = grow_and_add_data(&mut disk, SECTOR, &SEED).unwrap();
    assert_eq!(words(&mut disk), "Cairn: slot A image 00112233, slot B empty, data partition empty");
    disk.put(data.start, b"LUKS\xba\xbe\0\x02");
    assert_eq!(words(&mut disk), "Cairn: slot A image 00112233, slot B empty, encrypted data of 5.8 GB");
    let Content::Cairn(found) = inspect(&mut disk, SECTOR).unwrap() else { panic!() };
    assert_eq!(found.slot_of(&common::hash()), Some(cairn_layout::Slot::A));
    assert_eq!(found.data, Data::Luks { bytes: data.len });
}

#[test]
fn installing_twice_gives_the_same_bytes_and_over_an_old_disk_too() {
    let layout = Layout::plan(8 * GB, SECTOR, Arch::X86_64).unwrap();
    let put =
        |disk: &mut SparseDisk| with_payload(|p| install(disk, &layout, &SEED, p, &mut |_| ())).unwrap();
    let (mut one, mut two) = (SparseDisk::new(8 * GB), SparseDisk::new(8 * GB));
    put(&mut one);
    put(&mut two);
    assert!(one.content() == two.content());
    put(&mut two);
    let differing = one.content().into_iter().filter(|(n, b)| two.blocks.get(n) != Some(b)).count();
    assert_eq!(differing, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_disk_with_a_byte_that_is_not_zero_in_front_or_at_the_end_is_never_blank(
        at in 0..6 * MIB, byte in 1..=255_u8, size in 6 * MIB..GB,
    ) {
        // The first 5 MiB and the last one.
        let at = if at < 5 * MIB { at } else { size - 1 - (at - 5 * MIB) };
        let mut disk = SparseDisk::new(size);
        disk.put(at, &[byte]);
        prop_assert_ne!(inspect(&mut disk, SECTOR).unwrap(), Content::Blank);
    }

    #[test]
    fn any_bytes_are_inspected_without_a_fall(
        patches in proptest::collection::vec((0..300_u64, proptest::collection::vec(any::<u8>(), 1..600)), 0..12),
        size in 0..4 * MIB, large in any::<bool>(),
    ) {
        let mut disk = SparseDisk::new(size);
        for (block, bytes) in patches {
            let at = block * 256;
            let room = size.saturating_sub(at).min(bytes.len() as u64) as usize;
            if room > 0 {
                disk.put(at, &bytes[..room]);
            }
        }
        let sector = if large { SectorSize::B4096 } else { SectorSize::B512 };
        inspect(&mut disk, sector).unwrap().to_string();
    }

    #[test]
    fn a_damaged_cairn_disk_is_inspected_without_a_fall_and_is_not_blank(
        patches in proptest::collection::vec((0..2_u64 * MIB, any::<u8>()), 1..40),
    ) {
        let layout = Layout::plan(8 * GB, SECTOR, Arch::X86_64).unwrap();
        let mut disk = SparseDisk::new(8 * GB);
        layout.table(&SEED).write(&mut disk).unwrap();
        for (at, byte) in patches {
            disk.put(at % 20_000, &[byte]);
        }
        prop_assert_ne!(inspect(&mut disk, SECTOR).unwrap(), Content::Blank);
    }
}
