//! Locking: each pin's checksum is taken from upstream's own checksum file and written into `artifacts.toml`.
//!
//! What was fetched is never hashed for this: that would believe whoever answered the download.

use crate::checksums::{self, ChecksumsError};
use crate::client::Client;
use crate::pins::{self, Pin, Pins, PinsError};
use crate::store::StoreError;
use crate::sum::Sum;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, value};

/// A checksum file is smaller.
const LARGEST: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(transparent)]
    Pins(#[from] PinsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0} can't be fetched")]
    Fetch(String, #[source] ureq::Error),
    #[error("{url} was answered with {status}")]
    Status { url: String, status: ureq::http::StatusCode },
    #[error("{pin} can't be locked by {url}")]
    Checksums {
        pin: String,
        url: String,
        #[source]
        error: ChecksumsError,
    },
    #[error(
        "{pin} is locked to {locked}, and upstream now says {found}: a released file has changed, or somebody stands in between. Nothing is written. If you know why, remove the line `sha256` of this pin and lock again"
    )]
    Changed { pin: String, locked: Sum, found: Sum },
    #[error("{0} can't be edited")]
    Edit(String, #[source] toml_edit::TomlError),
    #[error("{} can't be written", .0.display())]
    Write(PathBuf, #[source] std::io::Error),
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    /// Got their checksum now.
    pub new: Vec<Pin>,
    /// Had it, and upstream still says the same.
    pub same: Vec<Pin>,
    /// Have no checksum, and no checksum file from which to take it.
    pub without: Vec<Pin>,
}

/// Takes the checksums of all pins of `text` and gives back the text with them, remarks and all.
///
/// # Errors
/// The first that is in the way.
pub fn lock(client: &Client, source: &str, text: &str) -> Result<(String, Locked), LockError> {
    let pins = Pins::parse(source, text)?;
    let mut files = BTreeMap::new();
    for url in pins.pins.iter().filter_map(|pin| pin.checksums.as_ref()) {
        if !files.contains_key(url) {
            files.insert(url.clone(), fetch(client, url)?);
        }
    }
    decide(&pins, &files, text)
}

/// `files`: the content of each checksum file by its address.
fn decide(pins: &Pins, files: &BTreeMap<String, String>, text: &str) -> Result<(String, Locked), LockError> {
    let edit = |error| LockError::Edit(pins.source.clone(), error);
    let mut document: DocumentMut = text.parse().map_err(edit)?;
    let mut tables = document.get_mut("artifact").and_then(|item| item.as_array_of_tables_mut());
    let mut locked = Locked::default();
    for (index, pin) in pins.pins.iter().enumerate() {
        let upstream = pin.checksums.as_ref().and_then(|url| Some((url, files.get(url)?)));
        let Some((url, file)) = upstream else {
            if pin.sum.is_none() {
                locked.without.push(pin.clone());
            }
            continue;
        };
        let found = checksums::find(file, &upstream_name(pin)).map_err(|error| LockError::Checksums {
            pin: pin.to_string(),
            url: url.clone(),
            error,
        })?;
        match pin.sum {
            Some(known) if known == found => locked.same.push(pin.clone()),
            Some(known) => return Err(LockError::Changed { pin: pin.to_string(), locked: known, found }),
            None => {
                if let Some(table) = tables.as_mut().and_then(|tables| tables.get_mut(index)) {
                    table.insert("sha256", value(found.to_string()));
                }
                locked.new.push(Pin { sum: Some(found), ..pin.clone() });
            }
        }
    }
    let text = document.to_string();
    // what was written has to be what the program reads
    Pins::parse(&pins.source, &text)?;
    Ok((text, locked))
}

/// The file's name without the escapes of an address: checksum files have names, not addresses.
fn upstream_name(pin: &Pin) -> String {
    pin.file_name().replace("%2B", "+").replace("%2b", "+")
}

fn fetch(client: &Client, url: &str) -> Result<String, LockError> {
    let wrong = |error| LockError::Fetch(url.to_owned(), error);
    let mut response = client.agent.get(url).call().map_err(wrong)?;
    if !response.status().is_success() {
        return Err(LockError::Status { url: url.to_owned(), status: response.status() });
    }
    response.body_mut().with_config().limit(LARGEST).read_to_string().map_err(wrong)
}

/// Locks the pins in `path`; where there is no such file, it is made from the built-in pins.
///
/// # Errors
/// What is in the way; then nothing is written.
pub fn lock_file(client: &Client, path: &Path) -> Result<Locked, LockError> {
    let text = if path.exists() { pins::read(path)? } else { pins::BUILT_IN.to_owned() };
    let (text, locked) = lock(client, &path.display().to_string(), &text)?;
    let wrong = |error| LockError::Write(path.to_owned(), error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".artifacts")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(wrong)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(wrong)?;
    file.persist(path).map_err(|error| wrong(error.error))?;
    Ok(locked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# by hand\n\n[[artifact]] # the program\nname = \"k3s\"\nversion = \"v1\"\narch = \"amd64\"\nurl = \"https://a.example/v1/k3s\"\nchecksums = \"https://a.example/v1/sums\"\n\n# the menu\n[[artifact]]\nname = \"menu\"\nversion = \"2\"\narch = \"amd64\"\nurl = \"https://a.example/menu\"\n";

    fn files(content: &[u8]) -> BTreeMap<String, String> {
        let text = format!("{}  k3s\n", Sum::of_bytes(content));
        BTreeMap::from([("https://a.example/v1/sums".to_owned(), text)])
    }

    fn locked(text: &str, content: &[u8]) -> Result<(String, Locked), LockError> {
        decide(&Pins::parse("x", text).unwrap(), &files(content), text)
    }

    #[test]
    fn a_checksum_is_written_and_every_remark_stays() {
        let (text, outcome) = locked(TEXT, b"one").unwrap();
        let line = format!("sha256 = \"{}\"\n", Sum::of_bytes(b"one"));
        assert_eq!(text.replace(&line, ""), TEXT);
        assert_eq!(Pins::parse("x", &text).unwrap().pins[0].sum, Some(Sum::of_bytes(b"one")));
        assert_eq!((outcome.new.len(), outcome.same.len()), (1, 0));
        // upstream names no checksum for it, and it is said
        assert_eq!(outcome.without[0].name, "menu");
        let (again, outcome) = locked(&text, b"one").unwrap();
        assert_eq!((again, outcome.same.len(), outcome.new.len()), (text, 1, 0));
    }

    #[test]
    fn a_checksum_that_changed_upstream_is_refused_with_both() {
        let (text, _) = locked(TEXT, b"one").unwrap();
        let error = locked(&text, b"two").unwrap_err().to_string();
        for sum in [b"one", b"two"] {
            assert!(error.contains(&Sum::of_bytes(sum).to_string()), "{error}");
        }
    }

    #[test]
    fn a_checksum_file_that_does_not_name_the_artifact_locks_nothing() {
        let other = BTreeMap::from([("https://a.example/v1/sums".to_owned(), "<html>".to_owned())]);
        let error = decide(&Pins::parse("x", TEXT).unwrap(), &other, TEXT).unwrap_err();
        assert!(cairn_workflow::log::chain(&error).contains("it names no file 'k3s'"));
    }
}
