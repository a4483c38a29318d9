//! The sealed text in a file: read whole, written whole or not at all.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::sealed::MOST_BYTES;
use super::{OpenError, Sealed};

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It can't be read.
    #[error("the cluster file {} could not be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It was read but is not whole.
    #[error("the file {} is not a whole cluster file and was left as it is", .0.display())]
    Open(PathBuf, #[source] OpenError),
    /// It can't be written.
    #[error("the cluster file {} could not be written; what was there before is untouched", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// It has its new content, which a power cut may still take back.
    #[error(
        "the cluster file {} was written, but whether it outlasts a power cut is not sure; see that its disk is well, and save it again", .0.display()
    )]
    Unsure(PathBuf, #[source] io::Error),
    /// There is something already.
    #[error("{} exists already and was left as it is; give another path", .0.display())]
    Exists(PathBuf),
}

/// Reads a sealed text.
///
/// # Errors
///
/// When it can't be read or is damaged.
pub fn load(path: &Path) -> Result<Sealed, DiskError> {
    let bytes = read(path).map_err(|error| DiskError::Read(path.to_owned(), error))?;
    // what is not UTF-8 is damaged in a way that the checksum finds
    Sealed::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| DiskError::Open(path.to_owned(), error))
}

/// No more of it than is needed to see that it is too much.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts the text in the place of whatever is there, readable by its owner only. Until the very last step the
/// old file is untouched, and a power cut leaves either the old or the new one.
///
/// # Errors
///
/// When it can't be written, and the old file is as it was; or [`DiskError::Unsure`], and it is not.
pub fn save(path: &Path, sealed: &Sealed) -> Result<(), DiskError> {
    replace(path, sealed, sync)
}

fn replace(
    path: &Path,
    sealed: &Sealed,
    sync: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), DiskError> {
    write(path, sealed, |temporary| temporary.persist(path).map_err(|error| error.error))
        .map_err(|error| DiskError::Write(path.to_owned(), error))?;
    settle(path, sync)
}

/// As [`save`], but refuses to take the place of anything.
///
/// # Errors
///
/// When there is something, or it can't be written; as for [`save`].
pub fn create(path: &Path, sealed: &Sealed) -> Result<(), DiskError> {
    write(path, sealed, |temporary| temporary.persist_noclobber(path).map_err(|error| error.error)).map_err(
        |error| match error.kind() {
            io::ErrorKind::AlreadyExists => DiskError::Exists(path.to_owned()),
            _ => DiskError::Write(path.to_owned(), error),
        },
    )?;
    settle(path, sync)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn write(
    path: &Path,
    sealed: &Sealed,
    persist: impl FnOnce(NamedTempFile) -> io::Result<File>,
) -> io::Result<()> {
    // made with mode 0600, in the same directory so that renaming is atomic, and removed when a step fails
    let mut temporary = NamedTempFile::new_in(folder_of(path))?;
    temporary.write_all(sealed.as_str().as_bytes())?;
    temporary.as_file().sync_all()?;
    persist(temporary).map(drop)
}

/// The new name has to survive a power cut too. By now it is there, whatever comes.
fn settle(path: &Path, sync: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), DiskError> {
    sync(folder_of(path)).map_err(|error| DiskError::Unsure(path.to_owned(), error))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::{ClusterFile, Passphrase};
    use super::*;

    fn sealed() -> Sealed {
        let file = ClusterFile::new("home".parse().unwrap(), 3, 1, 0).unwrap();
        file.seal(&Passphrase::new("correct horse").unwrap()).unwrap()
    }

    #[test]
    fn a_saved_file_loads_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.cairn");
        let sealed = sealed();
        save(&path, &sealed).unwrap();
        save(&path, &sealed).unwrap();
        assert!(load(&path).unwrap() == sealed);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn creating_a_file_leaves_one_that_exists_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(create(&path, &sealed()), Err(DiskError::Exists(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a-folder");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), "").unwrap();
        assert!(matches!(save(&path, &sealed()), Err(DiskError::Write(..))));
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        assert!(path.join("inside").exists());
    }

    #[test]
    fn a_file_that_may_not_outlast_a_power_cut_is_not_said_to_be_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.cairn");
        let (before, after) = (sealed(), sealed());
        save(&path, &before).unwrap();
        let mut synced = None;
        let unsure = replace(&path, &after, |folder| {
            synced = Some(folder.to_owned());
            Err(io::Error::other("the disk is gone"))
        });
        let Err(error @ DiskError::Unsure(..)) = unsure else { panic!("{unsure:?}") };
        assert!(error.to_string().contains("was written") && !error.to_string().contains("untouched"));
        assert_eq!(synced.as_deref(), Some(folder.path()));
        assert!(load(&path).unwrap() == after);
    }

    #[test]
    fn of_a_file_without_an_end_no_more_is_read_than_needed() {
        let endless = load(Path::new("/dev/zero"));
        assert!(matches!(endless, Err(DiskError::Open(_, OpenError::TooLong))));
    }

    #[test]
    fn loading_a_damaged_file_leaves_it_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.cairn");
        for bytes in [&b""[..], b"\xff\xfe\x00", &sealed().as_str().as_bytes()[..500]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(load(&path), Err(DiskError::Open(..))));
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }
}
