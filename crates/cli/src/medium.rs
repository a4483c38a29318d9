//! Saving a prepared medium's image: sent compressed, checked, and written as it was wished.

use crate::client::Client;
use crate::private;
use crate::progress::Transfer;
use anyhow::{Context, Result, bail};
use cairn_manager::api::{IMAGE_LENGTH, IMAGE_SHA256, MediumRequest};
use cairn_model::cluster::Name;
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

const BLOCK: usize = 256 * 1024;

/// Downloads a medium into a new file that only its owner may read, because a join key is in it: as gzip
/// when its name ends so, else as a raw image with holes. Gives the SHA-256 of the image, which is the one
/// that the manager said.
///
/// # Errors
/// When the manager refuses, the file exists, or the image does not arrive whole; then no file is left.
pub fn save(
    client: &Client,
    node: &Name,
    request: &MediumRequest,
    path: &Path,
    transfer: &mut Transfer,
) -> Result<String> {
    let packed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    private::create(path, |file| download(client, node, request, file, packed, transfer))
        .with_context(|| format!("the medium for {node} was not prepared"))
}

fn download(
    client: &Client,
    node: &Name,
    request: &MediumRequest,
    file: &mut File,
    packed: bool,
    transfer: &mut Transfer,
) -> Result<String> {
    let response = client.post(&format!("nodes/{node}/medium"), request)?.response();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let (Some(length), Some(sum)) = (header(IMAGE_LENGTH).and_then(|n| n.parse().ok()), header(IMAGE_SHA256))
    else {
        bail!("the manager does not say what it sends; is it of the same version?")
    };
    let sum = sum.to_owned();
    let body = response.into_body().into_reader();
    let got =
        if packed { keep(body, file, length, transfer)? } else { unpack(body, file, length, transfer)? };
    if got != sum {
        bail!("what arrived is not what was sent (its checksum is {got} instead of {sum}); try again");
    }
    Ok(sum)
}

/// Writes what arrives as it is, and reads it on the way.
fn keep(body: impl Read, file: &mut File, length: u64, transfer: &mut Transfer) -> Result<String> {
    let mut tee = Tee { from: body, to: file };
    let sum = read_image(GzDecoder::new(&mut tee), length, transfer, |_, _| Ok(()))?;
    // what the decoder does not need
    io::copy(&mut tee, &mut io::sink())?;
    Ok(sum)
}

/// Writes the image, leaving holes where there are only zeros: most of it is empty.
fn unpack(body: impl Read, file: &mut File, length: u64, transfer: &mut Transfer) -> Result<String> {
    let sum = read_image(GzDecoder::new(body), length, transfer, |at, block| {
        if block.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(block)?;
        }
        Ok(())
    })?;
    file.set_len(length)?;
    Ok(sum)
}

/// Reads an image to its end, and sums it up.
fn read_image(
    mut reader: impl Read,
    length: u64,
    transfer: &mut Transfer,
    mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> Result<String> {
    let (mut block, mut at, mut sum) = (vec![0; BLOCK], 0_u64, Sha256::new());
    transfer.begin(length);
    loop {
        let count =
            read_block(&mut reader, &mut block).context("the image did not arrive whole; try again")?;
        let Some(data) = block.get(..count).filter(|data| !data.is_empty()) else { break };
        each(at, data)?;
        sum.update(data);
        at = at.saturating_add(u64::try_from(count)?);
        if at > length {
            bail!("more arrived than the {length} bytes that were promised; try again");
        }
        transfer.at(at);
    }
    if at < length {
        bail!("only {at} of {length} bytes arrived; try again");
    }
    transfer.end();
    Ok(hex::encode(sum.finalize()))
}

fn read_block(reader: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest)? {
            0 => break,
            count => filled = filled.saturating_add(count),
        }
    }
    Ok(filled)
}

struct Tee<R, W> {
    from: R,
    to: W,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.to.write_all(buffer.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::os::unix::fs::MetadataExt;

    fn image() -> (Vec<u8>, Vec<u8>, String) {
        let mut image = vec![0; 3_000_000];
        image[1_300_000] = 7;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&image).unwrap();
        let sum = hex::encode(Sha256::digest(&image));
        (image, gzip.finish().unwrap(), sum)
    }

    fn content(file: &mut File) -> Vec<u8> {
        let mut back = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut back).unwrap();
        back
    }

    #[test]
    fn an_image_is_unpacked_with_holes_and_has_the_same_content() {
        let (image, packed, sum) = image();
        let mut file = tempfile::tempfile().unwrap();
        let got = unpack(&*packed, &mut file, 3_000_000, &mut Transfer::silent()).unwrap();
        assert_eq!(got, sum);
        assert!(content(&mut file) == image);
        assert!(file.metadata().unwrap().blocks() * 512 < 1_000_000);
    }

    #[test]
    fn an_image_that_is_kept_compressed_is_read_all_the_same() {
        let (_, packed, sum) = image();
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(keep(&*packed, &mut file, 3_000_000, &mut Transfer::silent()).unwrap(), sum);
        assert!(content(&mut file) == packed);
    }

    #[test]
    fn what_was_cut_off_or_is_longer_than_promised_is_an_error() {
        let (_, packed, _) = image();
        let mut file = tempfile::tempfile().unwrap();
        for cut in [0, 5, packed.len() / 2, packed.len() - 1] {
            let result = unpack(&packed[..cut], &mut file, 3_000_000, &mut Transfer::silent());
            assert!(result.is_err(), "{cut}");
        }
        for length in [2_000_000, 4_000_000] {
            assert!(unpack(&*packed, &mut file, length, &mut Transfer::silent()).is_err(), "{length}");
        }
    }
}
