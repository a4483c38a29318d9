//! The system as it lies on an installer stick, checked against what was written there beside it.

use crate::boot::{self, BootDisk, BootError};
use crate::initrd::download::Download;
use crate::initrd::enrol::root_hash;
use crate::state::{IMAGE_FILE, JOIN_FILE, KEYS_FILE};
use cairn_layout::esp::EspError;
use cairn_layout::gpt::{GptError, Table};
use cairn_layout::{Arch, Esp, SectorSize, Slot, SyncedFile};
use cairn_model::static_address::FILE as ADDRESS_FILE;
use cairn_model::wifi::FILE as WIFI_FILE;
use cairn_wire::message::ImageSource;
use std::io::{self, Cursor, Seek, SeekFrom};

#[derive(Debug, thiserror::Error)]
pub enum StickError {
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error("the installer stick can't be read")]
    Read(#[from] io::Error),
    #[error("the installer stick's partition table can't be read")]
    Gpt(#[from] GptError),
    #[error("the installer stick's boot partition can't be read")]
    Esp(#[from] EspError),
    #[error("the installer stick has no {0}; prepare it again")]
    Missing(&'static str),
    #[error(
        "the system on the installer stick is not the one that this machine was started with; prepare it again"
    )]
    OtherSystem,
    #[error("what the installer stick says of its system is damaged; prepare it again")]
    Damaged(#[from] serde_json::Error),
}

/// All that goes onto a node's disk, on its way.
pub struct System {
    pub version: String,
    pub root_hash: String,
    pub boot_loader: Download,
    pub uki: Download,
    pub root: Download,
    pub verity: Download,
    /// Bytes of UKI, root and verity tree.
    pub lengths: [u64; 3],
}

impl System {
    /// From the manager.
    pub fn served(source: &ImageSource) -> Self {
        let [boot_loader, uki, root, verity] =
            [&source.boot_loader, &source.uki, &source.root, &source.verity].map(Download::new);
        Self::new(source, [boot_loader, uki, root, verity])
    }

    fn new(source: &ImageSource, [boot_loader, uki, root, verity]: [Download; 4]) -> Self {
        Self {
            version: source.version.clone(),
            root_hash: source.root_hash.clone(),
            boot_loader,
            uki,
            root,
            verity,
            lengths: [&source.uki, &source.root, &source.verity].map(|file| file.size),
        }
    }

    /// From the stick that the machine was started from.
    ///
    /// # Errors
    /// When it can't be read, is no installer stick, or holds another system than the one that runs.
    pub fn on_stick(stick: &BootDisk) -> Result<Self, StickError> {
        let system = read(|| Ok(stick.open()?), stick.sector(), own_arch()?)?;
        system.that_runs(root_hash(&boot::command_line()))
    }

    /// Its root is verified by what is written beside it on the stick, so that has to be what the machine was
    /// started with.
    fn that_runs(self, running: Option<&str>) -> Result<Self, StickError> {
        if running == Some(self.root_hash.as_str()) { Ok(self) } else { Err(StickError::OtherSystem) }
    }
}

fn own_arch() -> Result<Arch, StickError> {
    std::env::consts::ARCH.parse().map_err(|_| StickError::Missing("system for this machine"))
}

fn read(
    open: impl Fn() -> Result<SyncedFile, StickError>,
    sector: SectorSize,
    arch: Arch,
) -> Result<System, StickError> {
    let mut device = open()?;
    let (table, _) = Table::read(&mut device, sector)?;
    let mut esp = Esp::open(&mut device, sector)?;
    let source: ImageSource =
        serde_json::from_slice(&esp.read(IMAGE_FILE)?.ok_or(StickError::Missing(IMAGE_FILE))?)?;
    let loader = esp.read(arch.removable_loader())?.ok_or(StickError::Missing("boot loader"))?;
    // its counter says how often it was started
    let entry = esp.entries()?.into_iter().find(|entry| entry.is_version(&source.version));
    let uki = esp.read_entry(&entry.ok_or(StickError::Missing("boot entry"))?)?;
    let partition = |number| -> Result<SyncedFile, StickError> {
        let entry = table.entry(number).ok_or(StickError::Missing("system partition"))?;
        let (start, _) = entry.byte_range(sector).ok_or(StickError::Missing("system partition"))?;
        let mut device = open()?;
        device.seek(SeekFrom::Start(start))?;
        Ok(device)
    };
    let files = [
        Download::local(&source.boot_loader, Cursor::new(loader)),
        Download::local(&source.uki, Cursor::new(uki)),
        Download::local(&source.root, partition(Slot::A.root_number())?),
        Download::local(&source.verity, partition(Slot::A.verity_number())?),
    ];
    Ok(System::new(&source, files))
}

/// The stick has done its work: firmware finds nothing to start on it and goes on to the inner disk.
///
/// # Errors
/// When it can't be written to; it should be taken out then.
pub fn retire(stick: &BootDisk) -> Result<(), StickError> {
    for file in retired(own_arch()?) {
        stick.remove(file)?;
    }
    Ok(())
}

/// In the order in which it goes. A power cut in between must leave a stick that is not started any more: one
/// without its keys but with a join key would ask again, as another machine with a key that was used.
fn retired(arch: Arch) -> [&'static str; 6] {
    [arch.removable_loader(), JOIN_FILE, KEYS_FILE, IMAGE_FILE, WIFI_FILE, ADDRESS_FILE]
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_layout::install::{Root, Source, medium_bytes};
    use cairn_layout::{Layout, Loader, Payload, Seed, install};
    use cairn_wire::message::ImageFile;
    use sha2::{Digest, Sha256};
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    const ARCH: Arch = Arch::X86_64;
    const SECTOR: SectorSize = SectorSize::B512;

    fn file(name: &str, body: &[u8]) -> ImageFile {
        let (size, sha256) = (u64::try_from(body.len()).unwrap(), hex::encode(Sha256::digest(body)));
        ImageFile { url: format!("installer stick:/{name}"), size, sha256 }
    }

    /// Writes a stick as the manager does, and gives its file.
    fn stick(path: &Path, bodies: [&[u8]; 4]) {
        let [loader, mut uki, mut root, mut verity] = bodies;
        let source = ImageSource {
            version: "0.1.0+abcd1234".into(),
            root_hash: "ab".repeat(32),
            boot_loader: file("systemd-bootx64.efi", loader),
            uki: file("cairn.efi", uki),
            root: file("root.erofs", root),
            verity: file("root.verity", verity),
        };
        let json = serde_json::to_vec(&source).unwrap();
        let device = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        device.set_len(medium_bytes(SECTOR, ARCH)).unwrap();
        let payload = Payload {
            version: &source.version,
            loader: Loader::SystemdBoot(loader),
            uki: Source { reader: &mut uki, len: source.uki.size },
            root: Root {
                hash: source.root_hash.parse().unwrap(),
                root: Source { reader: &mut root, len: source.root.size },
                verity: Source { reader: &mut verity, len: source.verity.size },
            },
            files: &[(IMAGE_FILE, &json)],
        };
        let layout = Layout::medium(SECTOR, ARCH);
        install(&mut SyncedFile(device), &layout, &Seed([7; 16]), payload, &mut |_| {}).unwrap();
    }

    fn open(path: &Path) -> Result<SyncedFile, StickError> {
        Ok(SyncedFile(File::options().read(true).write(true).open(path)?))
    }

    fn whole(mut download: Download) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        download.read_to_end(&mut bytes)?;
        download.finish()?;
        Ok(bytes)
    }

    #[test]
    fn what_was_written_to_the_stick_is_read_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stick");
        let bodies: [&[u8]; 4] = [&[1; 5000], &[2; 300_000], &[3; 70_000], &[4; 9000]];
        stick(&path, bodies);
        let system = read(|| open(&path), SECTOR, ARCH).unwrap();
        let system = system.that_runs(Some(&"ab".repeat(32))).unwrap();
        assert_eq!(system.lengths, [300_000, 70_000, 9000]);
        let read = [system.boot_loader, system.uki, system.root, system.verity].map(|d| whole(d).unwrap());
        assert!(read == bodies.map(<[u8]>::to_vec));
    }

    #[test]
    fn a_stick_with_another_system_than_the_one_that_runs_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stick");
        stick(&path, [&[1; 5000], &[2; 300_000], &[3; 70_000], &[4; 9000]]);
        for running in [None, Some(""), Some("ab"), Some(&*"ac".repeat(32))] {
            let system = read(|| open(&path), SECTOR, ARCH).unwrap();
            assert!(matches!(system.that_runs(running), Err(StickError::OtherSystem)), "{running:?}");
        }
    }

    #[test]
    fn a_stick_that_is_retired_by_half_is_not_started_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stick");
        stick(&path, [&[1; 5000], &[2; 300_000], &[3; 70_000], &[4; 9000]]);
        let disk = BootDisk::at(path);
        disk.write(JOIN_FILE, b"{}").unwrap();
        disk.write(KEYS_FILE, b"{}").unwrap();
        disk.write(WIFI_FILE, b"{}").unwrap();
        disk.write(ADDRESS_FILE, b"{}").unwrap();
        let there = |file: &str| disk.read(file).unwrap().is_some();
        let order = retired(ARCH);
        assert!(order.iter().all(|file| there(file)));
        for file in order {
            disk.remove(file).unwrap();
            assert!(!there(ARCH.removable_loader()), "{file} went before the boot loader");
            assert!(there(KEYS_FILE) || !there(JOIN_FILE), "a join key without its keys is left");
        }
        assert!(!order.iter().any(|file| there(file)));
        // what was interrupted is done again, and finds nothing
        retire(&disk).unwrap();
    }

    #[test]
    fn a_stick_that_lost_a_byte_is_refused_before_the_node_starts_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stick");
        stick(&path, [&[1; 5000], &[2; 300_000], &[3; 70_000], &[4; 9000]]);
        let (table, _) = Table::read(&mut open(&path).unwrap(), SECTOR).unwrap();
        let (root, _) = table.entry(Slot::A.root_number()).unwrap().byte_range(SECTOR).unwrap();
        File::options().write(true).open(&path).unwrap().write_all_at(b"x", root + 50_000).unwrap();
        let system = read(|| open(&path), SECTOR, ARCH).unwrap();
        assert!(whole(system.root).unwrap_err().to_string().contains("root.erofs arrived damaged"));
        assert!(whole(system.uki).is_ok());
    }
}
