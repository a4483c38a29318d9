//! Bounded reading of a disk, and which regions of it have to be zero.

use std::io::{self, Read, Seek};

use crate::device;
use crate::gpt::{GptError, Table};
use crate::plan::{MIB, SectorSize};

pub(super) const HEAD: u64 = 5 * MIB;
const TAIL: u64 = MIB;
const SAMPLES: u64 = 64;
const SAMPLE: u64 = 64 * 1024;
/// ext's superblock of block group 1 (e2fsprogs: blocks 8193, 16384 and 32768), btrfs's mirrors
/// (btrfs-progs, `BTRFS_SUPER_MIRROR`).
const COPIES: [u64; 5] = [8193 * 1024, 16384 * 2048, 32768 * 4096, 64 * MIB, 256 * 1024 * MIB];
const COPY: u64 = 4096;

pub(super) struct Probe<'d, D> {
    dev: &'d mut D,
    size: u64,
}

impl<'d, D: Read + Seek> Probe<'d, D> {
    pub fn new(dev: &'d mut D) -> io::Result<Self> {
        let size = device::size(dev)?;
        Ok(Self { dev, size })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// As many of the bytes as the disk has.
    pub fn bytes(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let there = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX).min(len);
        let mut buf = vec![0; there];
        if !buf.is_empty() {
            device::read_at(self.dev, at, &mut buf)?;
        }
        Ok(buf)
    }

    pub fn gpt(&mut self, sector: SectorSize) -> io::Result<Option<Table>> {
        match Table::read(self.dev, sector) {
            Ok((table, _)) => Ok(Some(table)),
            Err(GptError::Io(e)) => Err(e),
            Err(GptError::None(_) | GptError::TooSmall(_)) => Ok(None),
        }
    }

    /// Offset of the first byte in the probed regions that is not zero.
    pub fn first_non_zero(&mut self) -> io::Result<Option<u64>> {
        for (start, len) in regions(self.size) {
            if let Some(at) = self.non_zero_in(start, len)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    pub fn non_zero_in(&mut self, start: u64, len: u64) -> io::Result<Option<u64>> {
        let end = start.saturating_add(len).min(self.size);
        let mut at = start;
        while at < end {
            let step = (end - at).min(SAMPLE);
            let bytes = self.bytes(at, step as usize)?;
            if let Some(offset) = bytes.iter().position(|b| *b != 0) {
                return Ok(Some(at + offset as u64));
            }
            at += step;
        }
        Ok(None)
    }
}

/// Start and length, in bytes; they may overlap, and reach beyond the end.
pub(super) fn regions(size: u64) -> impl Iterator<Item = (u64, u64)> {
    let samples = (0..SAMPLES).map(move |n| (size / SAMPLES * n, SAMPLE));
    let copies = COPIES.into_iter().filter(move |at| *at < size).map(|at| (at, COPY));
    [(0, HEAD), (size.saturating_sub(TAIL), TAIL)].into_iter().chain(copies).chain(samples)
}
