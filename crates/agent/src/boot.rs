//! How this machine boots: which disk it was started from, what lies on its boot partition, and the
//! boot counter. What UEFI and a Raspberry Pi do differently on the disk is [`cairn_layout::boot`]; here is how each says
//! what was started.

use crate::inventory::sector_size;
use cairn_layout::boot::pi::STARTED_AS;
use cairn_layout::{BootEntry, Esp, Firmware, SectorSize, SyncedFile};
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Variables of the boot loader interface (systemd.io/BOOT_LOADER_INTERFACE).
const LOADER_GUID: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// The verity-checked root, once it is set up.
const ROOT_DEVICE: &str = "/dev/mapper/root";
const VARIABLES: &str = "/sys/firmware/efi/efivars";

#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error("the boot disk {0} can't be opened")]
    Open(PathBuf, #[source] io::Error),
    #[error("the boot partition of {0} can't be used")]
    Esp(PathBuf, #[source] cairn_layout::esp::EspError),
    #[error("the versions on the boot partition of {0} can't be changed")]
    Versions(PathBuf, #[source] cairn_layout::boot::BootError),
}

/// The disk that the machine was started from.
#[derive(Clone, Debug)]
pub struct BootDisk {
    /// Such as `/dev/vda`.
    pub path: PathBuf,
    sector: SectorSize,
}

impl BootDisk {
    /// `None` for a machine that was started from the network. Waits for a disk that the firmware
    /// knows and the kernel does not know yet: a USB stick takes its time.
    pub fn find() -> Option<Self> {
        let words = "waiting for the disk that this machine was started from";
        let device = if started_as(&command_line()).is_some() {
            // A Raspberry Pi's boot ROM knows no other disk than the card in its slot.
            wait_until(card_partition, words)
        } else {
            let partition = loader_variable("LoaderDevicePartUUID")?.to_lowercase();
            let link = Path::new("/dev/disk/by-partuuid").join(partition);
            wait_for(&link, words);
            link.canonicalize().ok()?
        };
        // Nobody writes to this disk before its root is in use. After each write udev asks the kernel to
        // read the partition table anew; with no partition in use that succeeds, all partitions vanish for
        // a moment, and systemd gives up setting the root up.
        wait_for(Path::new(ROOT_DEVICE), "waiting for the system on this disk");
        let name = device.file_name()?;
        let parent =
            Path::new("/sys/class/block").join(name).canonicalize().ok()?.parent()?.file_name()?.to_owned();
        Some(Self::at(Path::new("/dev").join(parent)))
    }

    pub fn at(path: PathBuf) -> Self {
        let sector = sector_size(&path);
        Self { path, sector }
    }

    pub fn sector(&self) -> SectorSize {
        self.sector
    }

    /// The whole disk, for writing.
    ///
    /// # Errors
    /// When it is gone.
    pub fn open(&self) -> Result<SyncedFile, BootError> {
        let open = |path: &PathBuf| OpenOptions::new().read(true).write(true).open(path);
        open(&self.path).map(SyncedFile).map_err(|e| BootError::Open(self.path.clone(), e))
    }

    fn with_esp<T>(
        &self,
        work: impl FnOnce(&mut Esp<'_, SyncedFile>) -> Result<T, cairn_layout::esp::EspError>,
    ) -> Result<T, BootError> {
        let mut disk = self.open()?;
        let mut esp = Esp::open(&mut disk, self.sector).map_err(|e| BootError::Esp(self.path.clone(), e))?;
        work(&mut esp).map_err(|e| BootError::Esp(self.path.clone(), e))
    }

    /// # Errors
    /// When the boot partition can't be read.
    pub fn read(&self, file: &str) -> Result<Option<Vec<u8>>, BootError> {
        self.with_esp(|esp| esp.read(file))
    }

    /// # Errors
    /// When the boot partition can't be written to.
    pub fn write(&self, file: &str, content: &[u8]) -> Result<(), BootError> {
        self.with_esp(|esp| esp.write(file, content))
    }

    /// # Errors
    /// When the boot partition can't be written to.
    pub fn remove(&self, file: &str) -> Result<(), BootError> {
        self.with_esp(|esp| esp.remove(file))
    }

    /// Gives the running version's boot entry another counter.
    ///
    /// # Errors
    /// When the boot partition can't be written to.
    fn recount(&self, change: impl Fn(&BootEntry) -> BootEntry) -> Result<(), BootError> {
        let Some(running) = running_entry() else { return Ok(()) };
        let failed = |e| BootError::Versions(self.path.clone(), e);
        let mut disk = self.open()?;
        let mut esp = Esp::open(&mut disk, self.sector).map_err(|e| BootError::Esp(self.path.clone(), e))?;
        let firmware = Firmware::of(&mut esp).map_err(failed)?;
        for entry in firmware.entries(&mut esp).map_err(failed)? {
            let changed = change(&entry);
            if entry.stem == running.stem && changed != entry {
                firmware.recount(&mut esp, &entry, &changed).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Waiting for a key is no failed boot: takes back the attempt that the boot loader counted.
    ///
    /// # Errors
    /// When the boot partition can't be written to.
    pub fn restore_attempt(&self) -> Result<(), BootError> {
        self.recount(BootEntry::restored)
    }

    /// The key has come: from here on a crash counts.
    ///
    /// # Errors
    /// When the boot partition can't be written to.
    pub fn count_attempt(&self) -> Result<(), BootError> {
        self.recount(BootEntry::attempted)
    }

    /// This version works: it is not counted any more.
    ///
    /// # Errors
    /// When the boot partition can't be written to.
    pub fn bless(&self) -> Result<(), BootError> {
        self.recount(BootEntry::good)
    }
}

fn wait_for(path: &Path, words: &str) {
    wait_until(|| path.exists().then_some(()), words);
}

fn wait_until<T>(look: impl Fn() -> Option<T>, words: &str) -> T {
    let mut said = false;
    loop {
        if let Some(found) = look() {
            return found;
        }
        if !said {
            tracing::info!("{words}");
            said = true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The boot partition of the card in a Raspberry Pi.
fn card_partition() -> Option<PathBuf> {
    std::fs::read_dir("/sys/class/block").ok()?.flatten().find_map(|entry| {
        let uevent = std::fs::read_to_string(entry.path().join("uevent")).ok()?;
        is_card_partition(&uevent).then(|| Path::new("/dev").join(entry.file_name()))
    })
}

/// `uevent` of a block device, see Documentation/ABI/stable/sysfs-block.
fn is_card_partition(uevent: &str) -> bool {
    let has = |line: &str| uevent.lines().any(|l| l == line);
    uevent.lines().any(|l| l.starts_with("DEVNAME=mmcblk")) && has("PARTNAME=cairn-esp")
}

/// The version that a Raspberry Pi's card says it was started as.
fn started_as(command_line: &str) -> Option<BootEntry> {
    let stem = command_line.split_whitespace().find_map(|word| word.strip_prefix(STARTED_AS))?;
    BootEntry::parse(&format!("{stem}.efi"))
}

/// Secure Boot as the firmware says it, off where it says nothing.
pub fn secure_boot() -> bool {
    // UEFI specification 2.10, section 3.3: one byte behind efivarfs's four of attributes.
    let path = format!("{VARIABLES}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
    std::fs::read(path).is_ok_and(|bytes| bytes.get(4) == Some(&1))
}

/// What the kernel was started with.
pub fn command_line() -> String {
    std::fs::read_to_string("/proc/cmdline").unwrap_or_default()
}

pub fn is_uefi() -> bool {
    Path::new("/sys/firmware/efi").exists()
}

fn loader_variable(name: &str) -> Option<String> {
    decode_variable(&std::fs::read(format!("{VARIABLES}/{name}-{LOADER_GUID}")).ok()?)
}

/// Four bytes of attributes, then UTF-16LE with a final NUL.
fn decode_variable(bytes: &[u8]) -> Option<String> {
    let units: Vec<u16> = bytes
        .get(4..)?
        .chunks_exact(2)
        .filter_map(|pair| <[u8; 2]>::try_from(pair).ok().map(u16::from_le_bytes))
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16(&units).ok().filter(|text| !text.is_empty())
}

/// The entry that was counted for this start. systemd-boot names none when the entry had no counter.
fn running_entry() -> Option<BootEntry> {
    if let Some(entry) = started_as(&command_line()) {
        return Some(entry);
    }
    let path = loader_variable("LoaderBootCountPath")?;
    BootEntry::parse(path.rsplit(['\\', '/']).next()?)
}

/// The partition of this number on a disk, once the kernel knows it.
pub fn partition(disk: &Path, number: u32) -> Option<PathBuf> {
    let folder = Path::new("/sys/block").join(disk.file_name()?);
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let text = std::fs::read_to_string(entry.path().join("partition")).ok()?;
        (text.trim().parse() == Ok(number)).then(|| Path::new("/dev").join(entry.file_name()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raspberry_pi_says_on_its_command_line_what_was_started() {
        let entry = started_as("ro console=ttyS1,115200 cairn.pi=cairn_0.1.0-abcd\n").unwrap();
        assert!(entry.is_version("0.1.0+abcd") && entry.is_good());
        assert_eq!(started_as("ro roothash=ab"), None);
    }

    #[test]
    fn the_boot_partition_of_a_raspberry_pi_is_on_the_card_and_not_on_a_stick() {
        let uevent = |name, part| format!("DEVNAME={name}\nDEVTYPE=partition\nPARTN=1\nPARTNAME={part}\n");
        assert!(is_card_partition(&uevent("mmcblk0p1", "cairn-esp")));
        assert!(!is_card_partition(&uevent("mmcblk0p2", "cairn-root-a")));
        assert!(!is_card_partition(&uevent("sda1", "cairn-esp")));
    }

    #[test]
    fn a_loader_variable_is_text_behind_attributes() {
        let mut bytes = vec![6, 0, 0, 0];
        bytes.extend("ABC\0".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(decode_variable(&bytes).as_deref(), Some("ABC"));
        assert_eq!(decode_variable(&bytes[..4]), None);
        assert_eq!(decode_variable(&[6, 0]), None);
        assert_eq!(decode_variable(&[6, 0, 0, 0, 0x41]), None);
    }
}
