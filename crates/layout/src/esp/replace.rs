//! Replacing a small file so that a power cut leaves the old content or the new one.
//!
//! `X.new` is written with a checksum behind its content; then `X` is removed and written anew; then
//! `X.new` is removed. A reader takes `X.new` wherever its checksum fits, else `X`.

use std::io::{self, Write};

use super::{Device, Esp, Fs, read_small};

/// Ends a complete `X.new`: this, the content's length and its CRC-32, little endian.
const MARK: &[u8; 8] = b"cairnnew";
const TRAILER: usize = MARK.len() + 8 + 4;

pub(super) fn beside(path: &str) -> String {
    format!("{path}.new")
}

/// New content that is complete, but may not have reached its own name yet.
pub(super) fn pending<D: Device>(fs: &Fs<'_, '_, D>, path: &str) -> io::Result<Option<Vec<u8>>> {
    Ok(read_small(fs, &beside(path))?.and_then(unseal))
}

fn seal(content: &[u8]) -> Vec<u8> {
    let mut sealed = content.to_vec();
    sealed.extend_from_slice(MARK);
    sealed.extend_from_slice(&(content.len() as u64).to_le_bytes());
    sealed.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
    sealed
}

fn unseal(mut sealed: Vec<u8>) -> Option<Vec<u8>> {
    let len = sealed.len().checked_sub(TRAILER)?;
    let content = sealed.get(..len)?;
    (seal(content) == sealed).then(|| {
        sealed.truncate(len);
        sealed
    })
}

impl<D: Device> Esp<'_, D> {
    pub(super) fn replace(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        let beside = beside(path);
        // What a cut run left: complete, it has to reach its name first, or removing it would bring
        // the content before it back.
        match self.session(&[&beside], |fs| pending(fs, path))? {
            Some(newer) if newer != content => self.settle(path, &newer)?,
            Some(_) => return self.settle(path, content),
            None => self.forget(&beside)?,
        }
        self.put(&beside, &seal(content))?;
        self.settle(path, content)
    }

    fn settle(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.forget(path)?;
        self.put(path, content)?;
        self.forget(&beside(path))
    }

    fn put(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.make_parents(path)?;
        self.session(&[path], |fs| {
            let mut file = fs.root_dir().create_file(path)?;
            file.write_all(content)?;
            file.flush()
        })
    }
}
