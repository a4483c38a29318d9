//! What we write is judged by the tools that everybody uses: sfdisk, sgdisk, fsck.vfat, mtools.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests count as ordinary code"
)]

mod common;

use std::path::Path;

use cairn_layout::plan::{ESP_BYTES, MIB};
use cairn_layout::{Arch, Layout, SectorSize, grow_and_add_data, install};
use common::{SEED, SparseDisk, run, with_payload};

fn ok(program: &str, args: &[&str]) -> String {
    let (success, text) = run(program, args);
    assert!(success, "{program} {args:?}: {text}");
    text
}

fn medium(sector: SectorSize) -> SparseDisk {
    let layout = Layout::medium(sector, Arch::X86_64);
    let mut disk = SparseDisk::new(layout.disk_bytes);
    with_payload(|p| install(&mut disk, &layout, &SEED, p, &mut |_| ())).unwrap();
    disk
}

fn esp(disk: &SparseDisk, dir: &Path) -> String {
    let path = dir.join("esp");
    disk.save_range(&path, MIB, ESP_BYTES);
    path.to_str().unwrap().to_owned()
}

fn json(disk: &str) -> serde_json::Value {
    let text = ok("sfdisk", &["--json", disk]);
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["partitiontable"].clone()
}

/// fdisk's own check (`v`), which takes a sector size for image files where Debian 12's sfdisk does not.
fn fdisk_finds_nothing(disk: &Path, sector: SectorSize) {
    let script = disk.with_extension("script");
    std::fs::write(&script, "v\nq\n").unwrap();
    let command = format!("fdisk -b {} {} < {}", sector.bytes(), disk.display(), script.display());
    let verdict = ok("sh", &["-c", &command]);
    assert!(verdict.contains("No errors detected"), "{verdict}");
    assert!(!verdict.contains("mismatch") && !verdict.contains("corrupt"), "{verdict}");
}

#[test]
fn sfdisk_reads_the_table_that_was_planned() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    medium(SectorSize::B512).save(&path);
    let disk = path.to_str().unwrap();
    let verdict = ok("sfdisk", &["--verify", disk]);
    assert!(verdict.contains("No errors detected"), "{verdict}");
    let table = json(disk);
    assert_eq!(table["label"], "gpt");
    let parts = table["partitions"].as_array().unwrap();
    let layout = Layout::medium(SectorSize::B512, Arch::X86_64);
    assert_eq!(parts.len(), 5);
    for (found, planned) in parts.iter().zip(&layout.partitions) {
        assert_eq!(found["name"], planned.name);
        assert_eq!(found["start"].as_u64().unwrap() * 512, planned.start);
        assert_eq!(found["size"].as_u64().unwrap() * 512, planned.len);
        assert_eq!(found["type"], planned.kind.to_string().to_uppercase());
    }
    // The halves of the root hash, as systemd-veritysetup-generator writes them.
    assert_eq!(parts[1]["uuid"], "00112233-4455-6677-8899-AABBCCDDEEFF");
    assert_eq!(parts[2]["uuid"], "01234567-89AB-CDEF-0123-456789ABCDEF");
}

#[test]
fn fdisk_finds_no_problem_on_a_disk_with_large_sectors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let mut disk = medium(SectorSize::B4096);
    disk.save(&path);
    fdisk_finds_nothing(&path, SectorSize::B4096);
    disk.size = 8_000_000_000 / 4096 * 4096;
    grow_and_add_data(&mut disk, SectorSize::B4096, &SEED).unwrap();
    disk.save(&path);
    fdisk_finds_nothing(&path, SectorSize::B4096);
    let listed = ok("fdisk", &["-b", "4096", "-l", "-o", "Start,Name", path.to_str().unwrap()]);
    for p in &Layout::plan(disk.size, SectorSize::B4096, Arch::X86_64).unwrap().partitions {
        let line = format!("{} {}", p.start / 4096, p.name);
        assert!(listed.lines().any(|l| l.trim() == line), "{line} in {listed}");
    }
}

#[test]
fn type_guids_are_those_that_sfdisk_knows() {
    let types = ok("sfdisk", &["--list-types", "--label", "gpt"]);
    let named = |guid: uuid::Uuid| {
        let guid = guid.to_string().to_uppercase();
        types.lines().find(|l| l.starts_with(&guid)).map(|l| l[36..].trim().to_owned())
    };
    use cairn_layout::gpt;
    assert_eq!(named(gpt::ESP).as_deref(), Some("EFI System"));
    assert_eq!(named(gpt::ROOT_X86_64).as_deref(), Some("Linux root (x86-64)"));
    assert_eq!(named(gpt::VERITY_X86_64).as_deref(), Some("Linux root verity (x86-64)"));
    assert_eq!(named(gpt::ROOT_ARM64).as_deref(), Some("Linux root (ARM-64)"));
    assert_eq!(named(gpt::VERITY_ARM64).as_deref(), Some("Linux root verity (ARM-64)"));
}

#[test]
fn sgdisk_finds_no_problem_before_and_after_growing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let mut disk = medium(SectorSize::B512);
    disk.save(&path);
    let verdict = ok("sgdisk", &["-v", path.to_str().unwrap()]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    disk.size = 8_000_000_000;
    grow_and_add_data(&mut disk, SectorSize::B512, &SEED).unwrap();
    disk.save(&path);
    let verdict = ok("sgdisk", &["-v", path.to_str().unwrap()]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    let parts = json(path.to_str().unwrap())["partitions"].as_array().unwrap().clone();
    assert_eq!(parts.len(), 6);
    assert_eq!(parts[5]["name"], "cairn-data");
    assert_eq!(parts[5]["type"], "CA7D7CCB-63ED-4C53-861C-1742536059CC");
}

#[test]
fn fsck_and_mtools_read_the_boot_partition() {
    let dir = tempfile::tempdir().unwrap();
    for sector in [SectorSize::B512, SectorSize::B4096] {
        let esp = esp(&medium(sector), dir.path());
        let verdict = ok("fsck.vfat", &["-n", "-v", &esp]);
        assert!(verdict.contains("32 bit entries"), "{verdict}");
        for complaint in ["wrong", "ninitialized", "Reclaim", "differ", "dirty", "Auto"] {
            assert!(!verdict.contains(complaint), "{complaint}: {verdict}");
        }
        let names = ok("mdir", &["-i", &esp, "-b", "-/", "::"]);
        for file in [
            "EFI/BOOT/BOOTX64.EFI",
            "EFI/Linux/cairn_0.1.0-00112233+3.efi",
            "loader/loader.conf",
            "cairn/join.json",
        ] {
            assert!(names.contains(&format!("::/{file}")), "{file} in {names}");
        }
        assert!(!names.contains(".part") && !names.contains(".new"), "{names}");
        let uki = dir.path().join("uki");
        let from = "::/EFI/Linux/cairn_0.1.0-00112233+3.efi";
        ok("mcopy", &["-n", "-o", "-i", &esp, from, uki.to_str().unwrap()]);
        assert!(std::fs::read(&uki).unwrap() == common::uki());
        assert_eq!(ok("mtype", &["-i", &esp, "::/cairn/join.json"]), "{\"join\":true}");
    }
}

#[test]
fn fsck_finds_nothing_after_files_and_entries_came_and_went() {
    use cairn_layout::{BootEntry, Esp};
    let dir = tempfile::tempdir().unwrap();
    let mut disk = medium(SectorSize::B512);
    let mut esp_ = Esp::open(&mut disk, SectorSize::B512).unwrap();
    let old = BootEntry::fresh(common::VERSION).unwrap();
    let new = BootEntry::fresh("0.2.0+ffeeddcc").unwrap();
    let uki = common::uki();
    esp_.write_entry(&new, &mut uki.as_slice(), uki.len() as u64, &mut |_| ()).unwrap();
    esp_.rename_entry(&new, &new.attempted()).unwrap();
    esp_.rename_entry(&new.attempted(), &new.good()).unwrap();
    esp_.remove_entry(&old).unwrap();
    esp_.write("cairn/identity.json", &vec![b'x'; 10_000]).unwrap();
    esp_.write("cairn/identity.json", b"{}").unwrap();
    esp_.remove("cairn/join.json").unwrap();
    assert_eq!(esp_.entries().unwrap(), [new.good()]);
    let esp = esp(&disk, dir.path());
    let verdict = ok("fsck.vfat", &["-n", "-v", &esp]);
    for complaint in ["wrong", "Reclaim", "differ", "dirty", "Auto", "Orphan"] {
        assert!(!verdict.contains(complaint), "{complaint}: {verdict}");
    }
    let uki_copy = dir.path().join("uki");
    ok("mcopy", &["-n", "-i", &esp, "::/EFI/Linux/cairn_0.2.0-ffeeddcc.efi", uki_copy.to_str().unwrap()]);
    assert!(std::fs::read(&uki_copy).unwrap() == uki);
}
