//! Reading an image file in order, without reading its holes: most of a medium's image is empty.

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Read at a time.
pub const BLOCK: usize = 256 * 1024;

/// What comes next in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// At most [`BLOCK`] bytes.
    Data(&'a [u8]),
    /// So many bytes that are zero.
    Zeros(u64),
}

impl Piece<'_> {
    pub fn len(&self) -> u64 {
        match self {
            Self::Data(bytes) => length(bytes),
            Self::Zeros(count) => *count,
        }
    }
}

pub fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|part| Some(part) == ZEROS.get(..part.len()))
}

const ZEROS: [u8; 4096] = [0; 4096];

/// Gives the file's first `length` bytes piece by piece. Its position is not kept.
///
/// # Errors
/// When the file can't be read or is shorter, or what `each` says.
pub fn pieces(file: &File, length: u64, mut each: impl FnMut(Piece<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    while at < length {
        let data = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data.min(length),
            // a hole up to the end
            Err(Errno::NXIO) => length,
            Err(error) => return Err(error.into()),
        };
        if data > at {
            each(Piece::Zeros(data - at))?;
            at = data;
            continue;
        }
        let hole = seek(file, SeekFrom::Hole(at))?.min(length);
        while at < hole {
            let count = usize::try_from(hole - at).unwrap_or(BLOCK).min(BLOCK);
            let Some(bytes) = block.get_mut(..count) else { break };
            file.read_exact_at(bytes, at)?;
            let piece = Piece::Data(bytes);
            at += piece.len();
            each(if is_zero(bytes) { Piece::Zeros(self::length(bytes)) } else { piece })?;
        }
    }
    Ok(())
}

/// A checksum that takes zeros by their number.
#[derive(Default)]
pub struct Sum(Sha256);

impl Sum {
    pub fn add(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Data(bytes) => self.0.update(bytes),
            Piece::Zeros(mut left) => {
                let zeros = [0; 64 * 1024];
                while let Some(bytes) =
                    zeros.get(..usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len()))
                    && !bytes.is_empty()
                {
                    self.0.update(bytes);
                    left -= length(bytes);
                }
            }
        }
    }

    /// As `sha256sum` prints it.
    pub fn hex(self) -> String {
        hex::encode(self.0.finalize())
    }
}

/// The SHA-256 of the whole image, in hexadecimal digits.
///
/// # Errors
/// When the file can't be read.
pub fn sha256(file: &File, length: u64) -> io::Result<String> {
    let mut sum = Sum::default();
    pieces(file, length, |piece| {
        sum.add(piece);
        Ok(())
    })?;
    Ok(sum.hex())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A file with holes, as its content says, and 3 MB of nothing at its end.
    pub fn image(content: &[(u64, &[u8])]) -> (File, Vec<u8>) {
        let file = tempfile::tempfile().unwrap();
        let end = content.iter().map(|(at, bytes)| at + length(bytes)).max().unwrap_or(0) + 3_000_000;
        file.set_len(end).unwrap();
        let mut whole = vec![0; usize::try_from(end).unwrap()];
        for (at, bytes) in content {
            file.write_all_at(bytes, *at).unwrap();
            let at = usize::try_from(*at).unwrap();
            whole[at..at + bytes.len()].copy_from_slice(bytes);
        }
        (file, whole)
    }

    #[test]
    fn holes_are_told_by_their_length_and_the_rest_byte_by_byte() {
        let (file, whole) = image(&[(0, b"head"), (5_000_000, &[7; 400_000])]);
        let (mut back, mut read) = (Vec::new(), 0);
        pieces(&file, length(&whole), |piece| {
            match piece {
                Piece::Data(bytes) => {
                    read += bytes.len();
                    back.extend_from_slice(bytes);
                }
                Piece::Zeros(count) => back.resize(back.len() + usize::try_from(count).unwrap(), 0),
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(back, whole);
        assert!(read < 1_000_000, "{read}");
        assert_eq!(sha256(&file, length(&whole)).unwrap(), hex::encode(Sha256::digest(&whole)));
    }

    #[test]
    fn a_file_that_is_shorter_than_said_is_an_error_or_zeros_but_never_less() {
        let (file, whole) = image(&[(0, b"head")]);
        let mut told = 0;
        let longer = length(&whole) + 10;
        let result = pieces(&file, longer, |piece| {
            told += piece.len();
            Ok(())
        });
        assert!(result.is_err() || told == longer);
    }
}
