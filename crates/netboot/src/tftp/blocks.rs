//! The blocks of a file that are sent next, as the datagrams that carry them.
//!
//! They lie one behind the other, so that a window is one piece of memory, which the kernel can take at once.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::io::{ReadWriteFlags, preadv2};

use super::packet::{self, DATA_HEADER, LARGEST_WINDOW};

/// Read ahead once a client has shown that it is there. It is what one transfer costs in memory beside its window, and
/// more would save next to nothing: the file is in the kernel's memory.
const AHEAD: usize = 16 * 1024;

/// A piece of the file, ready to be sent.
pub struct Blocks {
    file: Arc<File>,
    size: u64,
    block: usize,
    /// The first block in `bytes`.
    first: u64,
    bytes: Vec<u8>,
}

impl Blocks {
    pub fn new(file: Arc<File>, size: u64, block: u16) -> Self {
        Self { file, size, block: usize::from(block.max(1)), first: 1, bytes: Vec::new() }
    }

    /// How long each datagram is, but for the file's last.
    pub fn datagram(&self) -> usize {
        self.block + DATA_HEADER
    }

    /// The datagrams of the blocks from `first` to `last`, which the file has.
    pub async fn datagrams(&mut self, first: u64, last: u64) -> io::Result<&[u8]> {
        let held = self.bytes.len().div_ceil(self.datagram()) as u64;
        if first < self.first || last >= self.first + held {
            self.read(first, last).await?;
        }
        let at = |number: u64| usize::try_from(number - self.first).ok()?.checked_mul(self.datagram());
        let range = at(first).zip(at(last + 1)).map(|(from, to)| from..to.min(self.bytes.len()));
        range.and_then(|range| self.bytes.get(range)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    async fn read(&mut self, first: u64, last: u64) -> io::Result<()> {
        let block = self.block as u64;
        // A sender of requests that never answers costs no more than what it is sent.
        let ahead = if self.bytes.is_empty() { 0 } else { (AHEAD / self.block).min(LARGEST_WINDOW.into()) };
        let last = last.max(first.saturating_add(ahead as u64)).min(self.size / block + 1);
        let from = (first - 1) * block;
        let content = (last * block).min(self.size).saturating_sub(from);
        let length = content + (last + 1 - first) * DATA_HEADER as u64;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        for (number, datagram) in (first..).zip(bytes.chunks_mut(self.datagram())) {
            packet::data(number, datagram);
        }
        self.bytes = match at_once(&self.file, &mut bytes, self.datagram(), from) == Some(content) {
            true => bytes,
            false => wait(self.file.clone(), bytes, self.datagram(), from).await?,
        };
        self.first = first;
        Ok(())
    }
}

/// The places for the file's bytes in datagrams of this length.
fn contents(bytes: &mut [u8], datagram: usize) -> impl Iterator<Item = &mut [u8]> {
    bytes.chunks_mut(datagram).filter_map(|one| one.get_mut(DATA_HEADER..))
}

/// Reads what the kernel has in memory, without a thread in between; how much that was.
fn at_once(file: &File, bytes: &mut [u8], datagram: usize, from: u64) -> Option<u64> {
    let mut places: Vec<_> = contents(bytes, datagram).map(IoSliceMut::new).collect();
    // Not every file system can tell; then the other way is taken.
    preadv2(file, &mut places, from, ReadWriteFlags::NOWAIT).ok().map(|length| length as u64)
}

/// Reads on a thread that may wait for the disk.
async fn wait(file: Arc<File>, mut bytes: Vec<u8>, datagram: usize, from: u64) -> io::Result<Vec<u8>> {
    let read = move || {
        let mut at = from;
        for place in contents(&mut bytes, datagram) {
            file.read_exact_at(place, at)?;
            at += place.len() as u64;
        }
        Ok(bytes)
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    /// What the datagrams from `first` to `last` should be.
    fn expected(content: &[u8], block: usize, first: u64, last: u64) -> Vec<u8> {
        let one = |number: u64| {
            let from = (number as usize - 1) * block;
            let [.., high, low] = number.to_be_bytes();
            [&[0, 3, high, low], &content[from..content.len().min(from + block)]].concat()
        };
        (first..=last).flat_map(one).collect()
    }

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    proptest! {
        #[test]
        fn any_windows_of_any_file_are_its_blocks_in_datagrams(
            length in 0_usize..60_000, block in 8_u16..1469, window in 1_u64..65, jumps in prop::collection::vec(any::<u64>(), 1..8),
        ) {
            let content: Vec<u8> = (0..length).map(|at| (at / 3) as u8).collect();
            let end = (length / usize::from(block) + 1) as u64;
            let mut blocks = Blocks::new(Arc::new(file(&content).reopen().unwrap()), length as u64, block);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for jump in jumps {
                let first = jump % end + 1;
                let last = end.min(first + window - 1);
                let got = runtime.block_on(blocks.datagrams(first, last)).unwrap();
                prop_assert!(got == expected(&content, block.into(), first, last), "{first} to {last} of {end}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_in_memory_is_waited_for_and_a_file_that_was_cut_is_an_error() {
        let content: Vec<u8> = (0..5000).map(|at| (at / 3) as u8).collect();
        let file = file(&content);
        let places = vec![0; 4 * 516];
        let read = wait(Arc::new(file.reopen().unwrap()), places, 516, 512).await.unwrap();
        let without_headers =
            |bytes: &[u8]| bytes.chunks(516).flat_map(|one| one[4..].to_vec()).collect::<Vec<_>>();
        assert_eq!(without_headers(&read), without_headers(&expected(&content, 512, 2, 5)));
        let mut blocks = Blocks::new(Arc::new(file.reopen().unwrap()), 5000, 512);
        file.as_file().set_len(4000).unwrap();
        assert!(blocks.datagrams(1, 2).await.is_ok());
        let cut = blocks.datagrams(7, 9).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }
}
