//! A SHA-256 checksum, as `sha256sum` writes it.

use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// What a file's content is known by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sum([u8; 32]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 checksum has 64 hexadecimal digits")]
pub struct NotASum;

impl Sum {
    pub(crate) fn of_hash(hash: Sha256) -> Self {
        Self(hash.finalize().into())
    }

    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// # Errors
    /// When the source can't be read to its end.
    pub fn of_reader(reader: &mut impl Read) -> io::Result<Self> {
        let mut hash = Sha256::new();
        each_block(reader, |block| {
            hash.update(block);
            Ok(())
        })?;
        Ok(Self::of_hash(hash))
    }
}

/// Reads to the end, in blocks.
pub(crate) fn each_block(
    reader: &mut (impl Read + ?Sized),
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => take(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl std::str::FromStr for Sum {
    type Err = NotASum;

    fn from_str(text: &str) -> Result<Self, NotASum> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotASum)?;
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_nothing_is_the_one_that_everybody_knows() {
        let known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sum::of_reader(&mut io::empty()).unwrap().to_string(), known);
        assert_eq!(known.parse::<Sum>().unwrap(), Sum::of_bytes(b""));
        assert_eq!(known.to_uppercase().parse::<Sum>().unwrap(), Sum::of_bytes(b""));
        for wrong in ["", "e3", &known[1..], &format!("{known}0"), &known.replace('e', "g")] {
            assert_eq!(wrong.parse::<Sum>(), Err(NotASum), "{wrong}");
        }
    }
}
