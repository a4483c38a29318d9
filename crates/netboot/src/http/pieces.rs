//! A file's bytes on their way to one connection.
//!
//! What the kernel has in memory is read at once, without a thread in between: of an image that several machines fetch,
//! that is all of it but for the first time. The memory of a piece that was sent is the next one's.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::StatusCode;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::task::spawn_blocking;

use super::CHUNK;

/// Which bytes an answer with this head announces, and of how many.
pub fn announced(status: StatusCode, head: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let text = |name| head.get(name).and_then(|value| value.to_str().ok());
    match status {
        StatusCode::OK => {
            let size = text(CONTENT_LENGTH)?.parse().ok()?;
            Some((0..size, size))
        }
        StatusCode::PARTIAL_CONTENT => {
            let (range, size) = text(CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
            let (first, last) = range.split_once('-')?;
            let end = last.parse::<u64>().ok()?.checked_add(1)?;
            Some((first.parse().ok()?..end, size.parse().ok()?))
        }
        _ => None,
    }
}

/// Opens a file that still has `size` bytes.
pub fn open(path: &Path, size: u64) -> io::Result<File> {
    let file = File::open(path)?;
    match file.metadata()?.len() == size {
        true => Ok(file),
        false => Err(io::Error::other("it has changed just now")),
    }
}

/// These bytes of the file.
pub fn body(file: File, range: Range<u64>) -> UnsyncBoxBody<Bytes, io::Error> {
    let spare = Spare::default();
    let pieces = stream::try_unfold((Arc::new(file), range), move |(file, range)| {
        let spare = spare.clone();
        async move {
            let length = usize::try_from(range.end - range.start).unwrap_or(CHUNK).min(CHUNK);
            if length == 0 {
                return Ok(None);
            }
            let mut bytes = spare.take();
            bytes.resize(length, 0);
            let bytes = read(&file, bytes, range.start).await?;
            let left = range.start + length as u64..range.end;
            let piece = Bytes::from_owner(Piece { bytes, spare });
            Ok::<_, io::Error>(Some((Frame::data(piece), (file, left))))
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// Fills `bytes` with what begins at `at`.
async fn read(file: &Arc<File>, mut bytes: Vec<u8>, at: u64) -> io::Result<Vec<u8>> {
    let mut at_once = 0;
    while let Some(rest) = bytes.get_mut(at_once..).filter(|rest| !rest.is_empty()) {
        let from = at + at_once as u64;
        match rustix::io::preadv2(file, &mut [IoSliceMut::new(rest)], from, ReadWriteFlags::NOWAIT) {
            Ok(length) if length > 0 => at_once += length,
            // Not in memory; or a file system that can't tell; or the end, which the other way says in words.
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => break,
            Err(error) => return Err(error.into()),
        }
    }
    if at_once == bytes.len() {
        return Ok(bytes);
    }
    let file = file.clone();
    let wait = move || {
        let rest = bytes.get_mut(at_once..).unwrap_or_default();
        std::os::unix::fs::FileExt::read_exact_at(&*file, rest, at + at_once as u64)?;
        Ok(bytes)
    };
    spawn_blocking(wait).await.map_err(io::Error::other)?
}

/// Memory of pieces that were sent. There is never more of it than was on its way at once.
#[derive(Clone, Default)]
struct Spare(Arc<Mutex<Vec<Vec<u8>>>>);

impl Spare {
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }
}

/// A piece on its way, whose memory comes back.
struct Piece {
    bytes: Vec<u8>,
    spare: Spare,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.spare.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_head_says_which_bytes_follow_and_a_strange_one_nothing() {
        let of = |status, name, value: &'static str| {
            announced(status, &HeaderMap::from_iter([(name, value.parse().unwrap())]))
        };
        assert_eq!(of(StatusCode::OK, CONTENT_LENGTH, "7"), Some((0..7, 7)));
        assert_eq!(of(StatusCode::PARTIAL_CONTENT, CONTENT_RANGE, "bytes 2-5/7"), Some((2..6, 7)));
        for strange in ["bytes */7", "bytes 2-/7", "2-5/7", "bytes 2-18446744073709551615/7"] {
            assert_eq!(of(StatusCode::PARTIAL_CONTENT, CONTENT_RANGE, strange), None, "{strange}");
        }
        assert_eq!(of(StatusCode::NOT_MODIFIED, CONTENT_LENGTH, "7"), None);
    }

    #[tokio::test]
    async fn pieces_are_the_file_and_a_file_that_was_cut_is_an_error() {
        let content: Vec<u8> = (0..3 * CHUNK + 17).map(|at| (at / 7) as u8).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&content).unwrap();
        let size = content.len() as u64;
        for range in [0..size, 5..size - 1, 9..9, CHUNK as u64..size] {
            let body = body(open(file.path(), size).unwrap(), range.clone());
            let got = body.collect().await.unwrap().to_bytes();
            assert!(got == content[range.start as usize..range.end as usize], "{range:?}");
        }
        assert!(open(file.path(), size + 1).is_err(), "another size");
        let cut = body(open(file.path(), size).unwrap(), 0..size);
        file.as_file().set_len(size - 1).unwrap();
        assert!(cut.collect().await.is_err());
    }
}
