//! A place for a text that must not come to lie on a disk: a private folder in memory.
//!
//! A folder in tmpfs and not a memfd: editors write beside the file, rename, and keep their swap file there,
//! none of which works below /proc/self/fd.

use std::fs::{File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::private;
use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// `TMPFS_MAGIC` of statfs(2).
const TMPFS: u64 = 0x0102_1994;
/// More than any configuration; what is read has a bound.
const MOST_BYTES: u64 = 1 << 20;

/// A text in memory, readable by its owner only, gone when dropped.
pub(super) struct Scratch {
    folder: TempDir,
    path: PathBuf,
}

impl Scratch {
    /// # Errors
    /// When no folder is in memory.
    pub(super) fn new(name: &str, text: &str) -> Result<Self> {
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let candidates = own.into_iter().chain([PathBuf::from("/dev/shm"), PathBuf::from("/run")]);
        for place in candidates.filter(|place| is_in_memory(place)) {
            if let Ok(scratch) = Self::new_in(&place, name, text) {
                return Ok(scratch);
            }
        }
        bail!(
            "no folder in memory was found to edit in; mount a tmpfs at /dev/shm, or set XDG_RUNTIME_DIR to one"
        )
    }

    fn new_in(place: &Path, name: &str, text: &str) -> Result<Self> {
        let private = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("cairn-").permissions(private).tempdir_in(place)?;
        let path = folder.path().join(name);
        private::write(&path, text.as_bytes())?;
        Ok(Self { folder, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// When the editor removed it, or left no text.
    pub(super) fn read(&self) -> Result<String> {
        read(&self.path).context("what the editor left could not be read")
    }

    /// Leaves the text where it is.
    pub(super) fn keep(self) -> PathBuf {
        let Self { folder, path } = self;
        let _ = folder.keep();
        path
    }
}

/// A text for an editor, and no more of it than one could have.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn is_in_memory(place: &Path) -> bool {
    // the number's type differs between C libraries
    rustix::fs::statfs(place).is_ok_and(|about| u64::try_from(about.f_type).is_ok_and(|kind| kind == TMPFS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_lies_in_memory_for_its_owner_alone_and_goes_with_its_folder() {
        let scratch = Scratch::new("home.toml", "a = 1\n").unwrap();
        let path = scratch.path().to_owned();
        assert!(is_in_memory(&path));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(scratch.read().unwrap(), "a = 1\n");
        drop(scratch);
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn a_disk_is_not_taken_for_memory() {
        assert!(!is_in_memory(Path::new("/proc")) && !is_in_memory(Path::new("/nowhere")));
    }
}
