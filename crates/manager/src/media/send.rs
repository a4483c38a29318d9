//! An image on its way to whoever asked for it.

use super::sparse::BLOCK;
use super::{Prepared, gzip};
use axum::body::{Body, Bytes};
use futures_util::stream;
use std::io::{self, Write};
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;

/// Blocks that may wait for a slow reader.
const AHEAD: usize = 8;

pub fn raw(medium: Prepared) -> Body {
    let file = tokio::fs::File::from_std(medium.file);
    Body::from_stream(ReaderStream::with_capacity(file, BLOCK))
}

/// Compressed while it is sent; nothing of it is stored. It ends early, by an error that breaks the
/// connection, when the image can't be read: no reader takes half of it for the whole.
pub fn gzipped(medium: Prepared) -> Body {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(BLOCK, Sender(sender.clone()));
        if let Err(error) = gzip::compress(&medium.file, medium.length, &mut out) {
            // a reader that went away misses nothing
            let _ = sender.blocking_send(Err(error));
        }
    });
    let next = |mut receiver: mpsc::Receiver<io::Result<Bytes>>| async move {
        receiver.recv().await.map(|item| (item, receiver))
    };
    Body::from_stream(stream::unfold(receiver, next))
}

struct Sender(mpsc::Sender<io::Result<Bytes>>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader went away");
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
