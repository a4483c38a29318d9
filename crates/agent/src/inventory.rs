//! What this machine is made of, read from sysfs and procfs.

mod kept;

pub use kept::Kept;

use crate::boot;
use cairn_layout::{SectorSize, SyncedFile};
use cairn_model::inventory::{Cpu, Disk, DiskContent, Firmware, Interface, Inventory, Product};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Looks at everything. Reads some megabytes of each disk, so don't call it every second.
pub fn take(started_from: Option<&Path>) -> Inventory {
    let firmware =
        if boot::is_uefi() { Firmware::Uefi { secure_boot: boot::secure_boot() } } else { Firmware::Other };
    Inventory {
        firmware,
        architecture: std::env::consts::ARCH.to_owned(),
        product: Product {
            vendor: read("/sys/class/dmi/id/sys_vendor"),
            name: read("/sys/class/dmi/id/product_name"),
            serial: read("/sys/class/dmi/id/product_serial"),
        },
        cpu: cpu(&read("/proc/cpuinfo")),
        memory_mib: crate::memory::total() / (1024 * 1024),
        disks: disks(started_from),
        interfaces: interfaces(),
    }
}

/// Whether disks are encrypted with AES here, or with Adiantum.
pub fn cpu_has_aes() -> bool {
    cpu(&read("/proc/cpuinfo")).aes
}

/// `/proc/cpuinfo` of x86 (`flags`) and arm64 (`Features`).
fn cpu(text: &str) -> Cpu {
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let cores =
        text.lines().filter(|line| line.split(':').next().map(str::trim) == Some("processor")).count();
    let flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
    Cpu {
        model: field("model name").unwrap_or_default(),
        cores: u32::try_from(cores).unwrap_or(u32::MAX),
        aes: flags.split_whitespace().any(|flag| flag == "aes"),
    }
}

/// Block devices that are not disks: memory, mappings, arrays, optical drives, floppies.
const NOT_DISKS: [&str; 8] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"];

fn disks(started_from: Option<&Path>) -> Vec<Disk> {
    let ids = stable_ids();
    let Ok(entries) = std::fs::read_dir("/sys/block") else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names.retain(|name| !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)));
    names.iter().filter_map(|name| disk(name, &ids, started_from)).collect()
}

fn disk(name: &str, ids: &BTreeMap<String, String>, started_from: Option<&Path>) -> Option<Disk> {
    let sys = Path::new("/sys/block").join(name);
    // Always in units of 512 bytes, whatever the sectors are (sysfs-block documentation).
    let size_bytes = read(sys.join("size")).parse::<u64>().ok()?.checked_mul(512).filter(|size| *size > 0)?;
    let path = Path::new("/dev").join(name);
    let first = |files: [&str; 2]| {
        files.iter().map(|f| read(sys.join(f))).find(|t| !t.is_empty()).unwrap_or_default()
    };
    Some(Disk {
        id: ids.get(name).cloned().unwrap_or_else(|| name.to_owned()),
        kernel_name: name.to_owned(),
        model: first(["device/model", "device/name"]),
        serial: first(["device/serial", "serial"]),
        size_bytes,
        rotational: read(sys.join("queue/rotational")) == "1",
        removable: read(sys.join("removable")) == "1",
        started_from: started_from == Some(path.as_path()),
        content: content(&path),
    })
}

/// What is on a disk; one that can't be read is not blank.
pub fn content(path: &Path) -> DiskContent {
    let look = || -> Result<cairn_layout::Content, String> {
        let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
        cairn_layout::inspect(&mut SyncedFile(file), sector_size(path)).map_err(|e| e.to_string())
    };
    match look() {
        Ok(cairn_layout::Content::Blank) => DiskContent::Blank,
        Ok(other) => DiskContent::Holds(other.to_string()),
        Err(error) => DiskContent::Holds(format!("nobody knows what: {error}")),
    }
}

/// The disk's logical sectors.
pub fn sector_size(disk: &Path) -> SectorSize {
    let name = disk.file_name().unwrap_or_default();
    let text = read(Path::new("/sys/block").join(name).join("queue/logical_block_size"));
    text.parse::<u64>().ok().and_then(|bytes| SectorSize::try_from(bytes).ok()).unwrap_or(SectorSize::B512)
}

/// Kernel names to the names below `/dev/disk/by-id`; of several, the one that says most to a person.
fn stable_ids() -> BTreeMap<String, String> {
    let mut best: BTreeMap<String, String> = BTreeMap::new();
    let Ok(links) = std::fs::read_dir("/dev/disk/by-id") else { return best };
    let mut links: Vec<PathBuf> = links.flatten().map(|entry| entry.path()).collect();
    links.sort();
    for link in links {
        let Some(id) = link.file_name().map(|n| n.to_string_lossy().into_owned()) else { continue };
        let Some(name) =
            link.canonicalize().ok().and_then(|p| Some(p.file_name()?.to_string_lossy().into_owned()))
        else {
            continue;
        };
        let better = best.get(&name).is_none_or(|known| rank(&id) < rank(known));
        if better {
            best.insert(name, id);
        }
    }
    best
}

/// Model and serial first; numbers that nobody reads last.
fn rank(id: &str) -> usize {
    let order = ["nvme-", "ata-", "virtio-", "usb-", "mmc-", "scsi-"];
    let opaque = id.starts_with("wwn-") || id.starts_with("nvme-eui.") || id.starts_with("nvme-nvme.");
    let place = order.iter().position(|prefix| id.starts_with(prefix)).unwrap_or(order.len());
    if opaque { usize::MAX } else { place }
}

/// Network cards, those with a cable first: the light of a socket without one is seen as well.
pub fn cards() -> Vec<String> {
    let mut interfaces = interfaces();
    interfaces.sort_by_key(|interface| !interface.link);
    interfaces.into_iter().map(|interface| interface.name).collect()
}

fn interfaces() -> Vec<Interface> {
    let Ok(entries) = std::fs::read_dir("/sys/class/net") else { return Vec::new() };
    let addresses = if_addrs::get_if_addrs().unwrap_or_default();
    let mut found: Vec<Interface> = entries
        .flatten()
        .filter(|entry| entry.path().join("device").exists())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            Interface {
                mac: read(entry.path().join("address")).to_lowercase(),
                link: read(entry.path().join("carrier")) == "1",
                addresses: addresses.iter().filter(|a| a.name == name).map(if_addrs::Interface::ip).collect(),
                name,
            }
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_of_a_pc_and_of_a_pi_are_understood() {
        let pc = cpu(
            "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu aes sse\n\nprocessor\t: 1\nmodel name\t: Some CPU\n",
        );
        assert_eq!(pc, Cpu { model: "Some CPU".into(), cores: 2, aes: true });
        let pi = cpu("processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n");
        assert_eq!(pi, Cpu { model: String::new(), cores: 1, aes: false });
    }

    #[test]
    fn a_name_with_model_and_serial_is_preferred_to_a_number() {
        assert!(rank("ata-WDC_WD10_123") < rank("wwn-0x50014ee2"));
        assert!(rank("nvme-Samsung_990_S1") < rank("nvme-eui.0025385"));
    }

    #[test]
    fn a_disk_that_is_not_there_is_not_blank() {
        assert!(!content(Path::new("/dev/no-such-disk")).is_blank());
    }
}
