//! What can be read, written and sought, and a part of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// A whole disk or an image of one. `flush` must not return before the bytes are on the disk.
pub trait Device: Read + Write + Seek {}
impl<T: Read + Write + Seek> Device for T {}

/// A file or block device whose `flush` waits for the disk (`fdatasync`).
#[derive(Debug)]
pub struct SyncedFile(pub File);

impl Read for SyncedFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for SyncedFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Seek for SyncedFile {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.0.seek(pos)
    }
}

/// Size in bytes. Works for block devices too, where metadata says 0.
pub(crate) fn size(dev: &mut impl Seek) -> io::Result<u64> {
    dev.seek(SeekFrom::End(0))
}

pub(crate) fn read_at(dev: &mut (impl Read + Seek), at: u64, buf: &mut [u8]) -> io::Result<()> {
    dev.seek(SeekFrom::Start(at))?;
    dev.read_exact(buf)
}

pub(crate) fn write_at(dev: &mut (impl Write + Seek), at: u64, buf: &[u8]) -> io::Result<()> {
    dev.seek(SeekFrom::Start(at))?;
    dev.write_all(buf)
}

/// Zeroes a range, but writes only where it is not zero already: an image file stays sparse, and
/// flash is not worn for nothing.
pub(crate) fn zero(dev: &mut impl Device, start: u64, len: u64) -> io::Result<()> {
    const STEP: usize = 64 * 1024;
    let mut buf = vec![0; STEP];
    let zeros = vec![0; STEP];
    let mut done = 0;
    while done < len {
        let n = usize::try_from(len - done).unwrap_or(STEP).min(STEP);
        let (Some(buf), Some(zeros)) = (buf.get_mut(..n), zeros.get(..n)) else { break };
        read_at(dev, start + done, buf)?;
        if buf.iter().any(|b| *b != 0) {
            write_at(dev, start + done, zeros)?;
        }
        done += n as u64;
    }
    Ok(())
}

/// What every disk writes whole or not at all.
const BLOCK: usize = 512;

/// A range of a device as a device of its own. It ends where the range ends, and starts at a block.
///
/// Writes into one block are gathered and leave as one, so that a directory entry, which fatfs writes
/// field by field, is on the disk whole or not at all. What is gathered last leaves with `flush`, not
/// when the window is dropped.
///
/// Reads are counted against a budget, which ends loops that a damaged file system can make of a
/// reader (a directory whose cluster chain bites its own tail).
pub(crate) struct Window<'d, D> {
    dev: &'d mut D,
    start: u64,
    len: u64,
    pos: u64,
    reads_left: u64,
    /// Where in the range, and the content that it is to have.
    gathered: Option<(u64, [u8; BLOCK])>,
}

impl<'d, D: Device> Window<'d, D> {
    pub fn new(dev: &'d mut D, start: u64, len: u64) -> Self {
        Self { dev, start, len, pos: 0, reads_left: u64::MAX, gathered: None }
    }

    pub fn with_read_budget(mut self, reads: u64) -> Self {
        self.reads_left = reads;
        self
    }

    fn clip(&self, wanted: usize) -> usize {
        usize::try_from(self.len.saturating_sub(self.pos)).unwrap_or(usize::MAX).min(wanted)
    }

    fn offset_in_block(&self) -> usize {
        (self.pos % BLOCK as u64) as usize
    }

    fn settle(&mut self) -> io::Result<()> {
        if let Some((at, block)) = &self.gathered {
            write_at(self.dev, self.start + at, block)?;
            self.gathered = None;
        }
        Ok(())
    }

    /// The gathered block for the current position, fetched if it is another one.
    fn gather(&mut self) -> io::Result<&mut [u8; BLOCK]> {
        let at = self.pos - self.offset_in_block() as u64;
        if self.gathered.as_ref().is_none_or(|(gathered, _)| *gathered != at) {
            self.settle()?;
            let mut block = [0; BLOCK];
            read_at(self.dev, self.start + at, &mut block)?;
            self.gathered = Some((at, block));
        }
        match &mut self.gathered {
            Some((_, block)) => Ok(block),
            None => Err(io::Error::other("no block was gathered")),
        }
    }
}

impl<D: Device> Read for Window<'_, D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut n = self.clip(buf.len());
        if n == 0 {
            return Ok(0);
        }
        self.reads_left = self
            .reads_left
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("reading does not come to an end: the file system is damaged"))?;
        if let Some((at, block)) = &self.gathered {
            if (*at..*at + BLOCK as u64).contains(&self.pos) {
                let from = block.get(self.offset_in_block()..).unwrap_or_default();
                let n = n.min(from.len());
                buf.iter_mut().zip(from.iter().take(n)).for_each(|(to, from)| *to = *from);
                self.pos += n as u64;
                return Ok(n);
            }
            if *at > self.pos {
                n = n.min(usize::try_from(*at - self.pos).unwrap_or(n));
            }
        }
        self.dev.seek(SeekFrom::Start(self.start + self.pos))?;
        let n = self.dev.read(buf.get_mut(..n).unwrap_or_default())?;
        self.pos += n as u64;
        Ok(n)
    }
}

impl<D: Device> Write for Window<'_, D> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.clip(buf.len());
        let (offset, whole) = (self.offset_in_block(), n / BLOCK * BLOCK);
        let n = if offset == 0 && whole > 0 {
            self.settle()?;
            self.dev.seek(SeekFrom::Start(self.start + self.pos))?;
            self.dev.write(buf.get(..whole).unwrap_or_default())?
        } else if n > 0 {
            let to = self.gather()?.get_mut(offset..).unwrap_or_default();
            let n = n.min(to.len());
            to.iter_mut().zip(buf.iter().take(n)).for_each(|(to, from)| *to = *from);
            n
        } else {
            0
        };
        self.pos += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.settle()?;
        self.dev.flush()
    }
}

impl<D> Seek for Window<'_, D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let pos = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.pos.checked_add_signed(by),
        };
        self.pos = pos.filter(|p| *p <= self.len).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek beyond the end of the partition")
        })?;
        Ok(self.pos)
    }
}
