//! Compressing an image while it is sent.
//!
//! Holes cost nothing: a run of zeros is compressed once, and that piece of a deflate stream is
//! repeated. It can be, because it begins and ends at a byte and refers to nothing before it. One
//! member only, since not every program that writes cards reads more.

use super::sparse::{Piece, pieces};
use flate2::{Compress, Compression, FlushCompress, Status};
use std::fs::File;
use std::io::{self, Write};

/// Zeros in the piece that is repeated.
const RUN: u64 = 1 << 20;
/// RFC 1952: deflate, no flags, no time, no operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// RFC 1951: a last block that holds nothing.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Writes the first `length` bytes of a file as gzip (RFC 1952).
///
/// # Errors
/// When the file can't be read, or nobody takes what is written.
pub fn compress(file: &File, length: u64, out: impl Write) -> io::Result<()> {
    let mut gzip = Gzip::new(out)?;
    pieces(file, length, |piece| gzip.add(piece))?;
    gzip.finish()
}

struct Gzip<W> {
    out: W,
    deflate: Deflate,
    crc: crc32fast::Hasher,
    length: u64,
    run: Vec<u8>,
    run_crc: crc32fast::Hasher,
    /// The bytes of a run, for what is less than one.
    zeros: Vec<u8>,
}

impl<W: Write> Gzip<W> {
    fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        let zeros = vec![0; usize::try_from(RUN).unwrap_or_default()];
        let (mut deflate, mut run) = (Deflate::new(), Vec::new());
        deflate.add(&zeros, &mut run)?;
        deflate.align(&mut run)?;
        let mut run_crc = crc32fast::Hasher::new();
        run_crc.update(&zeros);
        Ok(Self { out, deflate, crc: crc32fast::Hasher::new(), length: 0, run, run_crc, zeros })
    }

    fn add(&mut self, piece: Piece<'_>) -> io::Result<()> {
        self.length = self.length.wrapping_add(piece.len());
        match piece {
            Piece::Data(bytes) => {
                self.crc.update(bytes);
                self.deflate.add(bytes, &mut self.out)
            }
            Piece::Zeros(count) => self.zeros(count),
        }
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        let (runs, rest) = (count / RUN, count % RUN);
        if runs > 0 {
            self.deflate.align(&mut self.out)?;
        }
        for _ in 0..runs {
            self.crc.combine(&self.run_crc);
            self.out.write_all(&self.run)?;
        }
        let rest = self.zeros.get(..usize::try_from(rest).unwrap_or_default()).unwrap_or_default();
        self.crc.update(rest);
        self.deflate.add(rest, &mut self.out)
    }

    fn finish(mut self) -> io::Result<()> {
        self.deflate.align(&mut self.out)?;
        self.out.write_all(&LAST_BLOCK)?;
        self.out.write_all(&self.crc.finalize().to_le_bytes())?;
        // the length modulo 2^32
        let [a, b, c, d, ..] = self.length.to_le_bytes();
        self.out.write_all(&[a, b, c, d])?;
        self.out.flush()
    }
}

/// A deflate stream (RFC 1951) that can be brought to a byte's end.
struct Deflate {
    state: Compress,
    buffer: Vec<u8>,
}

impl Deflate {
    /// At the fastest level: the system in the image is compressed already.
    fn new() -> Self {
        Self { state: Compress::new(Compression::fast(), false), buffer: vec![0; 64 * 1024] }
    }

    fn add(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.step(bytes, FlushCompress::None, out)
    }

    /// Ends at a byte, and forgets what came before: nothing that follows refers to it.
    fn align(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.step(&[], FlushCompress::Sync, out)?;
        self.state.reset();
        Ok(())
    }

    fn step(&mut self, mut bytes: &[u8], flush: FlushCompress, out: &mut impl Write) -> io::Result<()> {
        loop {
            let (took, gave) = (self.state.total_in(), self.state.total_out());
            let status = self.state.compress(bytes, &mut self.buffer, flush).map_err(io::Error::other)?;
            let took = usize::try_from(self.state.total_in() - took).unwrap_or_default();
            let gave = usize::try_from(self.state.total_out() - gave).unwrap_or_default();
            out.write_all(self.buffer.get(..gave).unwrap_or_default())?;
            bytes = bytes.get(took..).unwrap_or_default();
            // room is left in the buffer: there is no more to come (zlib.h, `deflate`)
            let done = bytes.is_empty() && gave < self.buffer.len();
            if done || status == Status::StreamEnd {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sparse::{length, tests::image};
    use super::*;
    use flate2::read::GzDecoder;
    use proptest::prelude::*;
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut back = Vec::new();
        GzDecoder::new(packed).read_to_end(&mut back).unwrap();
        back
    }

    #[test]
    fn gzip_itself_reads_what_was_compressed_and_zeros_are_nearly_free() {
        let noise: Vec<u8> =
            (0..900_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        let (file, whole) = image(&[(10, &noise), (40 << 20, b"tail")]);
        let mut packed = Vec::new();
        compress(&file, length(&whole), &mut packed).unwrap();
        assert!(packed.len() < noise.len() + 100_000, "{}", packed.len());
        let mut gzip =
            Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = gzip.stdin.take().unwrap();
        let writer = std::thread::spawn(move || input.write_all(&packed));
        let output = gzip.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success() && output.stdout == whole);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_lies_between_holes_comes_back(
            parts in proptest::collection::vec((0u64..(5 << 19), proptest::collection::vec(any::<u8>(), 0..3000)), 0..6)
        ) {
            let (mut packed, mut plain) = (Vec::new(), Vec::new());
            let mut gzip = Gzip::new(&mut packed).unwrap();
            for (zeros, data) in &parts {
                gzip.add(Piece::Zeros(*zeros)).unwrap();
                gzip.add(Piece::Data(data)).unwrap();
                plain.resize(plain.len() + usize::try_from(*zeros).unwrap(), 0);
                plain.extend_from_slice(data);
            }
            gzip.finish().unwrap();
            prop_assert!(unpacked(&packed) == plain);
        }
    }
}
