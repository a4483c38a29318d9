//! Keeps the file of leases. A write that fails is a trouble and no more: the leases hold without it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::Parts;
use crate::dhcp::lease_file::{self, Damaged, Record};
use crate::story::unix_millis;
use crate::trouble::Trouble;

#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("it is larger than any file of leases")]
    Large,
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// The leases of an earlier run. None, and the trouble is told, if they can't be believed.
pub async fn load(parts: &Parts, path: &Path) -> Vec<Record> {
    let of = path.to_owned();
    let read = move || read(&of);
    let loaded = tokio::task::spawn_blocking(read).await.map_err(io::Error::other).map_err(LoadError::Read);
    loaded.flatten().unwrap_or_else(|error| {
        let because = format!("{}: {error}", path.display());
        parts.troubles.begin(&parts.story, Trouble::LeasesLost { because });
        Vec::new()
    })
}

fn read(path: &Path) -> Result<Vec<Record>, LoadError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(lease_file::LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > lease_file::LONGEST {
        return Err(LoadError::Large);
    }
    Ok(lease_file::parse(&bytes, unix_millis() / 1000)?)
}

/// Writes each table that is sent, until there is no more; what came meanwhile is written at once.
pub async fn keep(parts: &Parts, path: Option<PathBuf>, mut tables: watch::Receiver<Vec<Record>>) {
    while tables.changed().await.is_ok() {
        let records = tables.borrow_and_update().clone();
        if let Some(path) = &path {
            save(parts, path, records).await;
        }
    }
}

/// Writes the file anew.
pub async fn save(parts: &Parts, path: &Path, records: Vec<Record>) {
    let to = path.to_owned();
    let write = move || replace(&to, &lease_file::write(&records, unix_millis() / 1000));
    match tokio::task::spawn_blocking(write).await.map_err(io::Error::other).flatten() {
        Ok(()) => parts.troubles.end(|it| !matches!(it, Trouble::PoolFull { .. })),
        Err(error) => {
            let because = format!("{}: {error}", path.display());
            parts.troubles.begin(&parts.story, Trouble::LeasesNotKept { because });
        }
    }
}

/// A power cut leaves the old file or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    /// A server's last write must not meet one that is still on its way.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    #[test]
    fn a_file_is_read_as_it_was_written_and_a_damaged_or_endless_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leases");
        assert!(read(&path).unwrap().is_empty(), "none yet");
        let record =
            Record { address: Ipv4Addr::new(10, 0, 0, 9), key: vec![1, 2], left: Duration::from_secs(600) };
        let text = lease_file::write(std::slice::from_ref(&record), unix_millis() / 1000);
        replace(&path, &text).unwrap();
        let back = read(&path).unwrap();
        assert_eq!((back[0].address, &back[0].key), (record.address, &record.key));
        assert!(back[0].left > Duration::from_secs(500));
        replace(&path, &text[..text.len() / 2]).unwrap();
        assert!(matches!(read(&path), Err(LoadError::Damaged(_))));
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(read(&path), Err(LoadError::Large)));
        assert!(matches!(read(folder.path()), Err(LoadError::Read(_))));
    }
}
