//! New files that are their owner's alone.

use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Makes a file with mode 0600 and fills it; what is there already is left as it is. A file that could not be
/// filled is removed: half a secret helps nobody, and would be in the way of the next try.
///
/// # Errors
/// When there is something already, or it can't be made or filled.
pub fn create<T>(path: &Path, fill: impl FnOnce(&mut File) -> Result<T>) -> Result<T> {
    let shown = path.display();
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).with_context(|| format!("{shown} could not be made"))?;
    let filled = fill(&mut file).and_then(|value| {
        file.sync_all()?;
        Ok(value)
    });
    if filled.is_err() {
        let _ = std::fs::remove_file(path);
    }
    filled.with_context(|| format!("{shown} could not be filled and was removed"))
}

/// The same, of a text that is at hand.
///
/// # Errors
/// As [`create`].
pub fn write(path: &Path, text: &[u8]) -> Result<()> {
    create(path, |file| Ok(file.write_all(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_is_its_owners_alone_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write(&path, b"secret").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(format!("{:#}", write(&path, b"other").unwrap_err()).contains("could not be made"));
        assert_eq!(std::fs::read(&path).unwrap(), b"secret");
    }

    #[test]
    fn a_file_that_could_not_be_filled_is_not_in_the_way_of_the_next_try() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let broken: Result<()> = create(&path, |file| {
            file.write_all(b"half")?;
            anyhow::bail!("the disk is full")
        });
        assert!(format!("{:#}", broken.unwrap_err()).contains("the disk is full"));
        assert!(!path.exists());
        write(&path, b"whole").unwrap();
    }
}
