//! An image on its way to whoever asked for it.

use super::sparse::BLOCK;
use super::{Prepared, gzip};
use axum::body::{Body, Bytes};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::io::{self, Write};
use tokio::io::AsyncSeekExt as _;
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;

/// Blocks that may wait for a slow reader.
const AHEAD: usize = 8;

pub fn raw(medium: Prepared) -> Body {
    let read = async {
        let mut file = tokio::fs::File::from_std(medium.file);
        // its checksum was read from it
        file.rewind().await?;
        Ok::<_, io::Error>(ReaderStream::with_capacity(file, BLOCK))
    };
    Body::from_stream(stream::once(read).try_flatten())
}

/// Compressed while it is sent; nothing of it is stored.
pub fn gzipped(medium: Prepared) -> Body {
    made(move |out| gzip::compress(&medium.file, medium.length, out))
}

/// What `make` writes, while it writes it. Whatever goes wrong there ends the body by an error that breaks
/// the connection: no reader takes half of it for the whole.
fn made(make: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static) -> Body {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let making = tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(BLOCK, Sender(sender));
        make(&mut out)?;
        out.flush()
    });
    let next = |mut receiver: mpsc::Receiver<Bytes>| async move { Some((receiver.recv().await?, receiver)) };
    let end = async { making.await.unwrap_or_else(|panic| Err(io::Error::other(panic))).err().map(Err) };
    Body::from_stream(
        stream::unfold(receiver, next).map(Ok).chain(stream::once(end).filter_map(async |it| it)),
    )
}

struct Sender(mpsc::Sender<Bytes>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader went away");
        self.0.blocking_send(Bytes::copy_from_slice(bytes)).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::MediumKind;
    use crate::media::{Wish, prepare};
    use crate::simulation::{Lab, name, new_file};
    use axum::body::to_bytes;
    use cairn_layout::Board;
    use sha2::{Digest as _, Sha256};

    #[tokio::test]
    async fn a_raw_download_is_the_image_with_the_checksum_that_was_announced() {
        let folder = tempfile::tempdir().unwrap();
        new_file(folder.path());
        let lab = Lab::start(folder.path(), "work");
        crate::image::tests::fake(&folder.path().join("image"));
        let wish = Wish {
            node: name("etcd-1"),
            kind: MediumKind::Usb,
            board: Board::Uefi,
            valid: None,
            wifi: None,
            address: None,
        };
        let medium = prepare(&lab.core, wish).await.unwrap();
        let (length, announced) = (medium.length, medium.sha256.clone());
        let (mut sum, mut sent) = (Sha256::new(), 0);
        let mut body = raw(medium).into_data_stream();
        while let Some(bytes) = body.next().await {
            let bytes = bytes.unwrap();
            sum.update(&bytes);
            sent += u64::try_from(bytes.len()).unwrap();
        }
        assert_eq!((sent, hex::encode(sum.finalize())), (length, announced));
    }

    #[tokio::test]
    async fn what_could_not_be_made_whole_does_not_end_as_if_it_were() {
        let whole = to_bytes(made(|out| out.write_all(b"all")), 9).await;
        assert_eq!(whole.unwrap(), "all");
        let failed = made(|out| {
            out.write_all(&[1; 2 * BLOCK])?;
            Err(io::Error::other("unreadable"))
        });
        to_bytes(failed, usize::MAX).await.unwrap_err();
        let lost = made(|out| {
            out.write_all(&[1; 2 * BLOCK]).unwrap();
            panic!("lost")
        });
        to_bytes(lost, usize::MAX).await.unwrap_err();
    }
}
