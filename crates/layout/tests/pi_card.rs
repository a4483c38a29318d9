//! A Raspberry Pi's card: what the firmware will read, whatever the power does, judged by the tools that everybody uses.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests count as ordinary code"
)]

mod common;

use cairn_layout::boot::{Restart, Version};
use cairn_layout::install::Source;
use cairn_layout::plan::{ESP_BYTES, MIB};
use cairn_layout::{BootEntry, Esp, Firmware, SectorSize, grow_and_add_data};
use common::{SEED, SparseDisk, pi_card, run, whole_uki};

const SECTOR: SectorSize = SectorSize::B512;
const PI: Firmware = Firmware::RaspberryPi;
const NEW: &str = "0.2.0+ffeeddcc";

fn new() -> BootEntry {
    BootEntry::fresh(NEW).unwrap()
}

fn with_esp<T>(disk: &mut SparseDisk, act: impl FnOnce(&mut Esp<'_, SparseDisk>) -> T) -> T {
    act(&mut Esp::open(disk, SECTOR).unwrap())
}

/// What the firmware would start: the kernel's content, found as it finds it.
fn started(disk: &SparseDisk, file: &str) -> String {
    with_esp(&mut disk.clone(), |esp| {
        let config = String::from_utf8(esp.read(file).unwrap().unwrap()).unwrap();
        let value = |key| config.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        let folder = value("os_prefix=");
        let text = |name: &str| esp.read(&format!("{folder}{name}")).unwrap().unwrap();
        let mut text = text;
        assert!(text("bcm2837-rpi-zero-2-w.dtb").starts_with(b"bcm2837-rpi-zero-2-w.dtb"));
        assert_eq!(text(value("initramfs ").split(' ').next().unwrap()).len(), 9000);
        let line = String::from_utf8(text("cmdline.txt")).unwrap();
        let version = value("#version=").split('+').next().unwrap();
        assert!(line.ends_with(&format!(" cairn.pi={version}\n")), "{line} is not of {version}");
        String::from_utf8(text(value("kernel="))).unwrap()
    })
}

fn write_new(disk: &mut SparseDisk) -> Result<(), Box<dyn std::error::Error>> {
    let uki = whole_uki("kernel two");
    let uki = Source { len: uki.len() as u64, reader: &mut uki.as_slice() };
    let mut esp = Esp::open(disk, SECTOR)?;
    PI.write_version(&mut esp, Version { name: NEW, uki, device_trees: &[] }, &mut |_| ())?;
    Ok(())
}

fn recount(disk: &mut SparseDisk, to: &BootEntry) -> Result<(), Box<dyn std::error::Error>> {
    Ok(PI.recount(&mut Esp::open(disk, SECTOR)?, to, to)?)
}

/// The state on the card after a cut at every so many writes.
fn each_cut(
    disk: &SparseDisk,
    every: usize,
    act: impl Fn(&mut SparseDisk),
    mut check: impl FnMut(u64, &mut SparseDisk),
) {
    let mut whole = disk.powered();
    act(&mut whole);
    assert!(whole.writes > 0);
    for cut in (0..=whole.writes).step_by(every) {
        let mut cut_off = disk.cut_after(cut);
        act(&mut cut_off);
        check(cut, &mut cut_off.powered());
    }
}

#[test]
fn a_card_starts_its_version_and_says_what_it_is_for() {
    let mut card = pi_card();
    assert_eq!(started(&card, "config.txt"), "kernel one");
    assert_eq!(started(&card, "tryboot.txt"), "kernel one");
    let entries = with_esp(&mut card, |esp| {
        assert_eq!(Firmware::of(esp).unwrap(), PI);
        PI.entries(esp).unwrap()
    });
    assert_eq!(entries, [BootEntry::fresh(common::VERSION).unwrap().good()]);
}

#[test]
fn writing_a_version_never_takes_the_good_one_away_and_can_be_done_again() {
    each_cut(
        &pi_card(),
        // A prime: file after file is met at another point. All of them take minutes, and were tried.
        23,
        |disk| drop(write_new(disk)),
        |cut, disk| {
            assert_eq!(started(disk, "config.txt"), "kernel one", "cut {cut}");
            let offered = started(disk, "tryboot.txt");
            assert!(offered == "kernel one" || offered == "kernel two", "cut {cut}");
            write_new(disk).unwrap_or_else(|error| panic!("cut {cut}: {error}"));
            assert_eq!(started(disk, "tryboot.txt"), "kernel two", "cut {cut}");
            assert_eq!(started(disk, "config.txt"), "kernel one", "cut {cut}");
        },
    );
}

#[test]
fn a_version_is_tried_once_and_committed_with_one_sector() {
    let mut card = pi_card();
    write_new(&mut card).unwrap();
    let restart = with_esp(&mut card, |esp| PI.try_once(esp, &new()).unwrap());
    assert_eq!(restart, Restart::Argument("0 tryboot"));
    assert_eq!(started(&card, "config.txt"), "kernel one", "whatever happens to the new one");
    assert_eq!(with_esp(&mut card, |esp| PI.entries(esp).unwrap())[1].name(), "cairn_0.2.0-ffeeddcc+2-1.efi");
    let mut committed = false;
    each_cut(
        &card,
        1,
        |disk| drop(recount(disk, &new().good())),
        |cut, disk| {
            let now = started(disk, "config.txt");
            assert_eq!(started(disk, "tryboot.txt"), "kernel two", "cut {cut}");
            assert!(now == "kernel two" || !committed, "cut {cut} goes back");
            committed = now == "kernel two";
            recount(disk, &new().good()).unwrap();
            assert_eq!(started(disk, "config.txt"), "kernel two", "cut {cut}");
            assert_eq!(with_esp(disk, |esp| PI.entries(esp).unwrap()), [new().good()], "cut {cut}");
        },
    );
    assert!(committed);
    // The next one goes where the first one was.
    recount(&mut card, &new().good()).unwrap();
    let uki = whole_uki("kernel three");
    let uki = Source { len: uki.len() as u64, reader: &mut uki.as_slice() };
    let version = Version { name: "0.3.0+00000000", uki, device_trees: &[] };
    with_esp(&mut card, |esp| PI.write_version(esp, version, &mut |_| ())).unwrap();
    assert_eq!(started(&card, "config.txt"), "kernel two");
    assert_eq!(started(&card, "tryboot.txt"), "kernel three");
}

#[test]
fn a_grown_card_still_names_its_boot_partition_in_both_tables() {
    let mut card = pi_card();
    card.size = 8_000_000_000 / 4096 * 4096;
    grow_and_add_data(&mut card, SECTOR, &SEED).unwrap();
    judged(&card);
}

#[test]
fn a_new_card_is_what_fdisk_sgdisk_fsck_and_mtools_take_it_for() {
    judged(&pi_card());
}

#[test]
fn the_same_inputs_give_the_same_card() {
    assert!(pi_card().content() == pi_card().content());
}

fn judged(card: &SparseDisk) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("card");
    card.save(&path);
    let path = path.to_str().unwrap();
    let ok = |program: &str, args: &[&str]| {
        let (success, text) = run(program, args);
        assert!(success, "{program} {args:?}: {text}");
        text
    };
    // The old table, as the boot ROM reads it: FAT32 by sector numbers, first.
    let old = ok("sfdisk", &["--dump", "--label-nested", "dos", path]);
    assert!(old.contains("start=        2048, size=     1048576, type=c"), "{old}");
    assert!(old.contains("start=           1, size=        2047, type=ee"), "{old}");
    let new = ok("sgdisk", &["--verify", "--print", path]);
    assert!(new.contains("No problems found") && new.contains("cairn-verity-b"), "{new}");
    assert!(ok("fdisk", &["-l", path]).contains("Disklabel type: gpt"));
    let esp = dir.path().join("esp");
    card.save_range(&esp, MIB, ESP_BYTES);
    let esp = esp.to_str().unwrap();
    ok("fsck.vfat", &["-n", esp]);
    let files = ok("mdir", &["-i", esp, "-b", "-/", "::"]);
    for file in
        ["bootcode.bin", "start.elf", "config.txt", "cairn-a/linux", "cairn-a/initrd", "cairn/join.json"]
    {
        assert!(files.to_lowercase().lines().any(|line| line == format!("::/{file}")), "{file}: {files}");
    }
}
