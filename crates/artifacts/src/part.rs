//! A file on its way: kept beside its place, under a lock, until all of it is there and right.

use crate::fetch::FetchError;
use crate::sum::{Sum, each_block};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Longer entity tags are not worth keeping.
const LONGEST_TAG: usize = 256;

pub struct Part {
    target: PathBuf,
    path: PathBuf,
    file: File,
    hash: Sha256,
    length: u64,
    /// What the server called this version of the file (RFC 9110, 8.8), so that two are not mixed.
    tag: Option<String>,
}

fn beside(target: &Path, ending: &str) -> PathBuf {
    let mut name = target.file_name().map_or_else(OsString::new, OsString::from);
    name.push(ending);
    target.with_file_name(name)
}

/// Where the part of `target` lies.
pub fn path_of(target: &Path) -> PathBuf {
    beside(target, ".part")
}

fn tag_path(target: &Path) -> PathBuf {
    beside(target, ".part.tag")
}

impl Part {
    /// Takes up what an earlier attempt left.
    pub fn open(target: &Path) -> Result<Self, FetchError> {
        let path = path_of(target);
        let wrong = |error| FetchError::Write(path.clone(), error);
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(wrong)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FetchError::Busy(path)),
            Err(TryLockError::Error(error)) => return Err(wrong(error)),
        }
        // Whoever had the lock a moment ago may have put this very file into its place.
        let (ours, named) = (file.metadata().map_err(wrong)?, std::fs::metadata(&path));
        if !named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            return Err(FetchError::Busy(path));
        }
        let (mut hash, mut length) = (Sha256::new(), 0_u64);
        each_block(&mut file, |block| {
            hash.update(block);
            length = length.saturating_add(long(block.len()));
            Ok(())
        })
        .map_err(wrong)?;
        let tag = std::fs::read_to_string(tag_path(target)).ok().filter(|tag| is_tag(tag));
        Ok(Self { target: target.to_owned(), path, file, hash, length, tag })
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    fn wrong(&self, error: io::Error) -> FetchError {
        FetchError::Write(self.path.clone(), error)
    }

    /// Begins from nothing, with another version of the file.
    pub fn restart(&mut self, tag: Option<&str>) -> Result<(), FetchError> {
        let _ = std::fs::remove_file(tag_path(&self.target));
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| self.wrong(error))?;
        (self.hash, self.length) = (Sha256::new(), 0);
        self.tag = tag.filter(|tag| is_tag(tag)).map(str::to_owned);
        if let Some(tag) = &self.tag {
            // lost, it costs a download from the beginning, or the checksum tells at the end
            let _ = std::fs::write(tag_path(&self.target), tag);
        }
        Ok(())
    }

    pub fn append(&mut self, block: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(block).map_err(|error| self.wrong(error))?;
        self.hash.update(block);
        self.length = self.length.saturating_add(long(block.len()));
        Ok(())
    }

    pub fn sum(&self) -> Sum {
        Sum::of_hash(self.hash.clone())
    }

    pub fn remove(self) {
        let _ = std::fs::remove_file(tag_path(&self.target));
        let _ = std::fs::remove_file(&self.path);
    }

    /// Puts it into its place, on disk before it has its name. The caller has compared the sums.
    pub fn keep(self) -> Result<(), FetchError> {
        let kept = self.file.sync_all().and_then(|()| std::fs::rename(&self.path, &self.target));
        kept.map_err(|error| self.wrong(error))?;
        let _ = std::fs::remove_file(tag_path(&self.target));
        let folder = self.target.parent().unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| FetchError::Write(self.target.clone(), error))
    }
}

/// A weak tag says that two versions mean the same, not that they are the same.
fn is_tag(tag: &str) -> bool {
    !tag.is_empty()
        && tag.len() <= LONGEST_TAG
        && !tag.starts_with("W/")
        && tag.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

pub(crate) fn long(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_taken_up_where_it_was_and_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file");
        let mut part = Part::open(&target).unwrap();
        part.restart(Some("\"one\"")).unwrap();
        part.append(b"hel").unwrap();
        assert!(matches!(Part::open(&target), Err(FetchError::Busy(_))));
        drop(part);
        let mut part = Part::open(&target).unwrap();
        assert_eq!((part.length(), part.tag()), (3, Some("\"one\"")));
        part.append(b"lo").unwrap();
        assert_eq!(part.sum(), Sum::of_bytes(b"hello"));
        part.keep().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"hello");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_strong_tags_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = Part::open(&folder.path().join("file")).unwrap();
        for (tag, kept) in [("\"a\"", true), ("W/\"a\"", false), ("", false), ("a\r\nb", false)] {
            part.restart(Some(tag)).unwrap();
            assert_eq!(part.tag().is_some(), kept, "{tag:?}");
        }
    }
}
