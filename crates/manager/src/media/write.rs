//! Writing an image to a disk, and reading it back.
//!
//! Everything goes past the page cache (`O_DIRECT`): progress is what the disk has taken, and what is
//! compared comes from the disk. (Dropping the cache with `fadvise` is a wish that the kernel may ignore.)
//! Zeros are written only where the disk has none yet: reading is faster, and flash is not worn for nothing.

use super::disk::{Disk, Refusal, Uses, judge};
use super::observe;
use super::sparse::is_zero;
use rustix::fs::{Mode, OFlags, fstat, major, minor, open};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Written at a time.
const BLOCK: usize = 1 << 20;
/// `O_DIRECT` wants memory at multiples of the sector; this is one of every sector's.
const ALIGNED: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("there is no disk '{0}' now; look at the list again")]
    Gone(String),
    #[error("disk '{0}' is not written")]
    Refused(String, #[source] Refusal),
    #[error("the kernel says that {} is in use; close what uses it", .0.display())]
    Busy(PathBuf),
    #[error(
        "{} can't be opened; the manager needs the right to write to it, and its container `--device {}` with the group that owns it", .0.display(), .0.display()
    )]
    Open(PathBuf, #[source] io::Error),
    #[error("the medium's image can't be read")]
    Image(#[source] io::Error),
    #[error("writing failed after {at} bytes; use another stick or card")]
    Write {
        at: u64,
        #[source]
        source: io::Error,
    },
    #[error("reading back failed after {at} bytes; use another stick or card")]
    Read {
        at: u64,
        #[source]
        source: io::Error,
    },
    #[error(
        "what was read back is not what was written, between bytes {from} and {to}; it is broken or has less room than it says: use another"
    )]
    Differs { from: u64, to: u64 },
}

/// A disk that was found fit and is nobody else's while this lives.
#[derive(Debug)]
pub struct Target {
    file: File,
    path: PathBuf,
}

/// Looks again, decides again, and opens it so that the kernel refuses what is in use.
///
/// # Errors
/// The reason against it.
pub fn claim(root: &Path, id: &str) -> Result<Target, WriteError> {
    let disk = observe::disks(root).into_iter().find(|disk| disk.id == id);
    claim_disk(root, &disk.ok_or_else(|| WriteError::Gone(id.to_owned()))?, &observe::uses(root))
}

fn claim_disk(root: &Path, disk: &Disk, uses: &Uses) -> Result<Target, WriteError> {
    judge(disk, uses).map_err(|refusal| WriteError::Refused(disk.id.clone(), refusal))?;
    let path = observe::device(root, disk);
    let flags = OFlags::RDWR | OFlags::EXCL | OFlags::DIRECT | OFlags::CLOEXEC;
    let file = match open(&path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::BUSY) => return Err(WriteError::Busy(path)),
        Err(error) => return Err(WriteError::Open(path, error.into())),
    };
    // the name may be another disk's by now
    let stat = fstat(&file).map_err(|error| WriteError::Open(path.clone(), error.into()))?;
    let number = (major(stat.st_rdev), minor(stat.st_rdev));
    let whole = disk.parts.first().filter(|whole| whole.number == number);
    match whole.map(|whole| observe::id(root, &whole.name)) {
        Some(id) if id == disk.id => Ok(Target { file, path }),
        _ => Err(WriteError::Gone(disk.id.clone())),
    }
}

/// Memory for `O_DIRECT`.
struct Block(Vec<u8>);

impl Block {
    fn new() -> Self {
        Self(vec![0; BLOCK + ALIGNED])
    }

    fn bytes(&mut self, count: usize) -> &mut [u8] {
        let start = self.0.as_ptr().align_offset(ALIGNED);
        self.0.get_mut(start..).and_then(|bytes| bytes.get_mut(..count)).unwrap_or_default()
    }
}

/// Every block of an image: its place, how far one is after it, and what is in it.
fn blocks(
    image: &File,
    length: u64,
    mut each: impl FnMut(u64, u64, &mut [u8]) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let (mut block, mut at) = (Block::new(), 0);
    while at < length {
        let count = usize::try_from(length - at).unwrap_or(BLOCK).min(BLOCK);
        let end = at + u64::try_from(count).unwrap_or(u64::MAX);
        let bytes = block.bytes(count);
        image.read_exact_at(bytes, at).map_err(WriteError::Image)?;
        each(at, end, bytes)?;
        at = end;
    }
    Ok(())
}

impl Target {
    /// Returns when the disk says that it has everything. `progress` is told the bytes so far.
    ///
    /// # Errors
    /// Where it failed.
    pub fn write(&self, image: &File, length: u64, mut progress: impl FnMut(u64)) -> Result<(), WriteError> {
        let mut there = Block::new();
        blocks(image, length, |at, end, bytes| {
            let failed = |source| WriteError::Write { at, source };
            let zero_already = is_zero(bytes) && {
                let there = there.bytes(bytes.len());
                self.file.read_exact_at(there, at).map_err(failed)?;
                is_zero(there)
            };
            if !zero_already {
                self.file.write_all_at(bytes, at).map_err(failed)?;
            }
            progress(end);
            Ok(())
        })?;
        self.file.sync_all().map_err(|source| WriteError::Write { at: length, source })
    }

    /// Reads it back and compares every byte.
    ///
    /// # Errors
    /// Where it could not be read, or differs.
    pub fn verify(&self, image: &File, length: u64, mut progress: impl FnMut(u64)) -> Result<(), WriteError> {
        let mut there = Block::new();
        blocks(image, length, |at, end, bytes| {
            let there = there.bytes(bytes.len());
            self.file.read_exact_at(there, at).map_err(|source| WriteError::Read { at, source })?;
            if there != bytes {
                return Err(WriteError::Differs { from: at, to: end });
            }
            progress(end);
            Ok(())
        })
    }

    /// Lets go of it, and has the kernel read the new partition table, so that nobody takes the old one
    /// for what is on it. Where that does not work it is read when the disk is plugged in again.
    pub fn release(self) {
        let Self { file, path } = self;
        drop(file);
        match Command::new("blockdev").arg("--rereadpt").arg(&path).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => tracing::info!(
                disk = %path.display(),
                answer = %String::from_utf8_lossy(&output.stderr).trim(),
                "the new partition table was not read again"
            ),
            Err(error) => tracing::info!(disk = %path.display(), %error, "blockdev could not be run"),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::disk::Kind;
    use super::super::sparse::tests::image;
    use super::*;
    use std::io::Write as _;

    const ROOT: &str = "/";

    /// A file as a block device. Detached when dropped.
    pub struct Loop(String);

    impl Loop {
        pub fn new(file: &Path) -> Self {
            let output = Command::new("losetup").args(["--find", "--show"]).arg(file).output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "losetup (as root, with loop devices): {words}");
            Self(String::from_utf8(output.stdout).unwrap().trim().to_owned())
        }

        /// What was observed of it, as if it were a stick.
        pub fn as_stick(&self) -> Disk {
            let name = self.0.strip_prefix("/dev/").unwrap();
            Disk { kind: Kind::Removable, ..observe::disk(Path::new(ROOT), name).unwrap() }
        }
    }

    impl Drop for Loop {
        fn drop(&mut self) {
            let _ = Command::new("losetup").args(["--detach", &self.0]).status();
        }
    }

    /// 4 GiB with old content where the image will have none.
    pub fn used_disk(folder: &Path) -> PathBuf {
        let path = folder.join("disk");
        let file = File::create(&path).unwrap();
        file.set_len(4 << 30).unwrap();
        file.write_all_at(&[0xee; 300_000], 2_000_000).unwrap();
        path
    }

    pub fn claim(disk: &Disk) -> Result<Target, WriteError> {
        claim_disk(Path::new(ROOT), disk, &observe::uses(Path::new(ROOT)))
    }

    #[test]
    fn a_block_device_has_every_byte_of_the_image_after_writing_and_the_rest_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = used_disk(folder.path());
        let device = Loop::new(&path);
        let (file, whole) = image(&[(0, b"head"), (5_000_192, &[7; 400_000])]);
        // an image has whole sectors
        let length = u64::try_from(whole.len() / 512 * 512).unwrap();
        File::options().write(true).open(&path).unwrap().write_all_at(b"beyond", length + 512).unwrap();

        let target = claim(&device.as_stick()).unwrap();
        assert!(matches!(claim(&device.as_stick()), Err(WriteError::Busy(_))), "claimed twice");
        let mut told = Vec::new();
        target.write(&file, length, |done| told.push(done)).unwrap();
        assert!(told.is_sorted() && told.last() == Some(&length));
        target.verify(&file, length, |_| {}).unwrap();
        target.release();

        let there = File::open(&path).unwrap();
        let mut back = vec![1; usize::try_from(length).unwrap()];
        there.read_exact_at(&mut back, 0).unwrap();
        assert!(back == whole[..back.len()]);
        let mut beyond = [0; 6];
        there.read_exact_at(&mut beyond, length + 512).unwrap();
        assert_eq!(&beyond, b"beyond");
    }

    #[test]
    fn a_byte_that_the_disk_does_not_give_back_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let device = Loop::new(&used_disk(folder.path()));
        let (file, whole) = image(&[(0, b"head")]);
        let length = u64::try_from(whole.len() / 512 * 512).unwrap();
        let target = claim(&device.as_stick()).unwrap();
        target.write(&file, length, |_| {}).unwrap();
        // behind its back, past its own cache
        let mut other = File::options().write(true).open(&device.0).unwrap();
        other.write_all(b"h\0ad").unwrap();
        other.sync_all().unwrap();
        let error = target.verify(&file, length, |_| {}).unwrap_err();
        assert!(matches!(error, WriteError::Differs { from: 0, .. }), "{error}");
    }

    #[test]
    fn a_device_that_is_fixed_or_swapped_for_another_is_not_claimed() {
        let folder = tempfile::tempdir().unwrap();
        let device = Loop::new(&used_disk(folder.path()));
        let fixed = Disk { kind: Kind::Fixed, ..device.as_stick() };
        assert!(matches!(claim(&fixed), Err(WriteError::Refused(_, Refusal::Fixed))));
        let before = Disk { id: "loop0@0".into(), ..device.as_stick() };
        assert!(matches!(claim(&before), Err(WriteError::Gone(_))));
        let mut renumbered = device.as_stick();
        renumbered.parts[0].number = (7, 200);
        assert!(matches!(claim(&renumbered), Err(WriteError::Gone(_))));
        assert!(matches!(super::claim(Path::new(ROOT), "no-such-disk@1"), Err(WriteError::Gone(_))));
    }
}
