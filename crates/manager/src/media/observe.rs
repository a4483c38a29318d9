//! The disks of the manager's machine, as sysfs and procfs tell of them.

use super::disk::{Disk, Kind, Part, Uses, mounts, number, swaps};
use std::path::{Path, PathBuf};

/// Block devices that are no disks to be written: memory, mappings, arrays, optical drives, floppies.
const NOT_DISKS: [&str; 8] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"];

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// All disks, fit or not. `root` is `/`.
pub fn disks(root: &Path) -> Vec<Disk> {
    let mut names = names(&root.join("sys/block"));
    names.retain(|name| !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)));
    names.iter().filter_map(|name| disk(root, name)).collect()
}

/// One block device, of whatever kind.
pub fn disk(root: &Path, name: &str) -> Option<Disk> {
    let sys = root.join("sys/block").join(name);
    let whole = part(&sys, name)?;
    let inner = names(&sys).into_iter().filter(|inner| sys.join(inner).join("partition").exists());
    let parts = inner.filter_map(|inner| part(&sys.join(&inner), &inner));
    Some(Disk {
        id: id(root, name),
        vendor: read(sys.join("device/vendor")),
        model: Some(read(sys.join("device/model")))
            .filter(|model| !model.is_empty())
            .unwrap_or_else(|| read(sys.join("device/name"))),
        kind: kind(&sys),
        // in units of 512 bytes, whatever the sectors are (sysfs-block)
        size: read(sys.join("size")).parse::<u64>().ok()?.checked_mul(512)?,
        sector: read(sys.join("queue/logical_block_size")).parse().unwrap_or(512),
        read_only: read(sys.join("ro")) != "0",
        parts: std::iter::once(whole).chain(parts).collect(),
    })
}

/// The kernel's name, and the number of this appearance (Linux 5.15).
pub fn id(root: &Path, name: &str) -> String {
    let number = read(root.join("sys/block").join(name).join("diskseq"));
    if number.is_empty() { name.to_owned() } else { format!("{name}@{number}") }
}

fn kind(sys: &Path) -> Kind {
    match read(sys.join("device/type")).as_str() {
        "SD" => Kind::Card,
        "MMC" => Kind::Soldered,
        _ if read(sys.join("removable")) == "1" => Kind::Removable,
        _ => Kind::Fixed,
    }
}

fn part(sys: &Path, name: &str) -> Option<Part> {
    let number = number(&read(sys.join("dev")))?;
    Some(Part { name: name.to_owned(), number, holders: names(&sys.join("holders")) })
}

/// What this machine has mounted or swaps to.
pub fn uses(root: &Path) -> Uses {
    Uses {
        mounts: mounts(&read(root.join("proc/self/mountinfo"))),
        swaps: swaps(&read(root.join("proc/swaps"))),
    }
}

/// Where the disk's device is.
pub fn device(root: &Path, disk: &Disk) -> PathBuf {
    let name = disk.parts.first().map(|part| part.name.as_str()).unwrap_or_default();
    root.join("dev").join(name)
}

#[cfg(test)]
mod tests {
    use super::super::disk::{Refusal, judge};
    use super::*;

    fn put(root: &Path, files: &[(&str, &str)]) {
        for (path, content) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }

    #[test]
    fn sticks_cards_and_what_stands_on_them_are_found() {
        let root = tempfile::tempdir().unwrap();
        put(
            root.path(),
            &[
                ("sys/block/sda/dev", "8:0\n"),
                ("sys/block/sda/size", "31457280\n"),
                ("sys/block/sda/removable", "1\n"),
                ("sys/block/sda/ro", "0\n"),
                ("sys/block/sda/diskseq", "14\n"),
                ("sys/block/sda/queue/logical_block_size", "512\n"),
                ("sys/block/sda/device/vendor", "SanDisk \n"),
                ("sys/block/sda/device/model", "Ultra\n"),
                // a SCSI disk's type is a number
                ("sys/block/sda/device/type", "0\n"),
                ("sys/block/sda/sda1/dev", "8:1\n"),
                ("sys/block/sda/sda1/partition", "1\n"),
                ("sys/block/sda/sda1/holders/dm-3/dev", "253:3\n"),
                ("sys/block/mmcblk0/dev", "179:0\n"),
                ("sys/block/mmcblk0/size", "62333952\n"),
                ("sys/block/mmcblk0/removable", "0\n"),
                ("sys/block/mmcblk0/ro", "0\n"),
                ("sys/block/mmcblk0/device/type", "SD\n"),
                ("sys/block/mmcblk0/device/name", "SC32G\n"),
                ("sys/block/loop0/dev", "7:0\n"),
                ("sys/block/loop0/size", "62333952\n"),
                ("proc/self/mountinfo", "27 1 179:0 / /boot rw - vfat /dev/mmcblk0 rw\n"),
                ("proc/swaps", "Filename\n"),
            ],
        );
        let found = disks(root.path());
        let ids: Vec<_> =
            found.iter().map(|disk| (disk.id.as_str(), disk.kind, disk.model.as_str())).collect();
        assert_eq!(ids, [("mmcblk0", Kind::Card, "SC32G"), ("sda@14", Kind::Removable, "Ultra")]);
        let uses = uses(root.path());
        assert!(matches!(judge(&found[0], &uses), Err(Refusal::Mounted { .. })));
        assert!(matches!(judge(&found[1], &uses), Err(Refusal::Held { part, .. }) if part == "sda1"));
        std::fs::remove_dir_all(root.path().join("sys/block/sda/sda1/holders/dm-3")).unwrap();
        assert!(judge(&disks(root.path())[1], &uses).is_ok());
    }

    #[test]
    fn the_disk_that_this_machine_runs_from_is_never_offered() {
        let root = Path::new("/");
        let uses = uses(root);
        assert!(!uses.mounts.is_empty());
        for disk in disks(root) {
            let runs = disk.parts.iter().any(|p| uses.mounts.iter().any(|m| m.number == p.number));
            assert!(!runs || judge(&disk, &uses).is_err(), "{}", disk.id);
        }
    }
}
