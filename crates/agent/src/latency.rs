//! How fast a drive is at what etcd does all day: append to its log, and wait until that is on the drive.

use cairn_model::etcd::WriteLatency;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// As etcd's guide to hardware measures a drive with fio: `--bs=2300 --fdatasync=1`.
const APPEND: usize = 2300;
const MOST: usize = 200;
/// A card that takes longer for them has shown what it is.
const LONGEST: Duration = Duration::from_secs(10);

/// Appends to a new file in this folder, which is gone afterwards.
///
/// # Errors
/// When the folder can't be written to.
pub fn measure(folder: &Path) -> io::Result<WriteLatency> {
    let path = folder.join("write-latency");
    let measured = append(File::create_new(&path)?);
    std::fs::remove_file(&path)?;
    WriteLatency::of(measured?).ok_or_else(|| io::Error::other("nothing was measured"))
}

fn append(mut file: File) -> io::Result<Vec<u64>> {
    let (began, bytes) = (Instant::now(), [0x5a; APPEND]);
    let mut times = Vec::with_capacity(MOST);
    while times.len() < MOST && began.elapsed() < LONGEST {
        let one = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        times.push(u64::try_from(one.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_measured_and_nothing_is_left_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let latency = measure(folder.path()).unwrap();
        assert!(0 < latency.median_us && latency.median_us <= latency.p99_us);
        assert!(latency.p99_us <= latency.slowest_us);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(measure(Path::new("/no/such/place")).is_err());
    }
}
