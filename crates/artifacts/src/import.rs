//! Taking files that the owner carried over, whatever they are called.

use crate::pins::Pin;
use crate::store::{Store, StoreError};
use crate::sum::Sum;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Deeper folders than anyone packs; bounds what a wrong path costs.
const DEEPEST: usize = 8;

/// A file that was taken, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub path: PathBuf,
    pub pins: Vec<Pin>,
}

/// Takes every file of a folder that has the checksum of a wanted pin. Names don't count, links are not
/// followed.
///
/// # Errors
/// When something can't be read or kept; what was taken before stays.
pub fn import(store: &Store, wanted: &[Pin], folder: &Path) -> Result<Vec<Taken>, StoreError> {
    let mut open: Vec<&Pin> = wanted.iter().filter(|pin| pin.sum.is_some()).collect();
    let mut taken = Vec::new();
    for path in files(folder)? {
        let wrong = |error| StoreError::Read(path.clone(), error);
        let mut file = File::open(&path).map_err(wrong)?;
        let size = file.metadata().map_err(wrong)?.len();
        // where all sizes are known, most files need not be read
        if !open.iter().any(|pin| pin.size.is_none_or(|known| known == size)) {
            continue;
        }
        let sum = Sum::of_reader(&mut file).map_err(wrong)?;
        let (fitting, rest): (Vec<&Pin>, Vec<&Pin>) = open.iter().partition(|pin| pin.sum == Some(sum));
        if !fitting.is_empty() {
            store.take(&path, sum)?;
            open = rest;
            taken.push(Taken { path, pins: fitting.into_iter().cloned().collect() });
        }
    }
    Ok(taken)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0_usize)];
    while let Some((folder, depth)) = folders.pop() {
        let wrong = |error| StoreError::Read(folder.clone(), error);
        for entry in std::fs::read_dir(&folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let kind = entry.file_type().map_err(wrong)?;
            if kind.is_file() {
                found.push(entry.path());
            } else if kind.is_dir() && depth < DEEPEST {
                folders.push((entry.path(), depth.saturating_add(1)));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pins::Pins;

    #[test]
    fn files_are_known_by_their_content_and_what_is_not_wanted_stays_away() {
        let folder = tempfile::tempdir().unwrap();
        let stick = folder.path().join("stick");
        std::fs::create_dir_all(stick.join("deep/er")).unwrap();
        std::fs::write(stick.join("deep/er/download (3)"), "the program").unwrap();
        std::fs::write(stick.join("again"), "the program").unwrap();
        std::fs::write(stick.join("k3s"), "something else").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", stick.join("link")).unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let text = |name: &str, content: &[u8]| {
            let sum = Sum::of_bytes(content);
            format!(
                "[[artifact]]\nname='{name}'\nversion='1'\narch='amd64'\nurl='http://a/k3s'\nsha256='{sum}'\nsize={}\n",
                content.len()
            )
        };
        let pins = [text("k3s", b"the program"), text("images", b"not brought along")].concat();
        let pins = Pins::parse("x", &pins).unwrap().pins;
        let taken = import(&store, &pins, &stick).unwrap();
        assert_eq!(taken, [Taken { path: stick.join("again"), pins: vec![pins[0].clone()] }]);
        assert_eq!(std::fs::read(store.path(Sum::of_bytes(b"the program"))).unwrap(), b"the program");
        assert_eq!(std::fs::read_dir(store.folder()).unwrap().count(), 1);
        assert!(stick.join("again").exists());
    }
}
