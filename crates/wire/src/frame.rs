//! Messages on a stream: a length of four bytes, big endian, then JSON.

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// An enrolment order with all certificates has about 10 kB; nothing legitimate comes near this.
const MAX_FRAME: u32 = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the connection broke")]
    Io(#[from] std::io::Error),
    #[error("a message of {0} bytes is longer than the {MAX_FRAME} that are allowed")]
    TooLong(u32),
    #[error("a message could not be understood; are both sides of the same version?")]
    Json(#[source] serde_json::Error),
}

/// Frames carry keys, so their buffers are wiped.
pub async fn write<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> Result<(), FrameError> {
    let body = Zeroizing::new(serde_json::to_vec(message).map_err(FrameError::Json)?);
    let length =
        u32::try_from(body.len()).ok().filter(|l| *l <= MAX_FRAME).ok_or(FrameError::TooLong(u32::MAX))?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&body).await?;
    stream.flush().await?;
    Ok(())
}

/// `None` when the other side closed the connection between two messages.
pub async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<T>, FrameError> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let length = u32::from_be_bytes(length);
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    let mut body = Zeroizing::new(Vec::new());
    // Grows with what really arrives, so that a stranger's length costs no memory.
    let got = (&mut *stream).take(u64::from(length)).read_to_end(&mut body).await?;
    if u32::try_from(got) != Ok(length) {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    serde_json::from_slice(&body).map(Some).map_err(FrameError::Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Request, Response};
    use proptest::prelude::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn a_message_comes_back_as_it_was_written() {
        let mut bytes = Vec::new();
        block_on(write(&mut bytes, &Request::Describe)).unwrap();
        let back: Option<Request> = block_on(read(&mut bytes.as_slice())).unwrap();
        assert!(matches!(back, Some(Request::Describe)));
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_read() {
        let result = block_on(read::<Request>(&mut [0xff, 0xff, 0xff, 0xff, b'{'].as_slice()));
        assert!(matches!(result, Err(FrameError::TooLong(u32::MAX))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), prefix in 0u32..400) {
            let mut framed = prefix.to_be_bytes().to_vec();
            framed.extend(&bytes);
            let _ = block_on(read::<Request>(&mut framed.as_slice()));
            let _ = block_on(read::<Response>(&mut bytes.as_slice()));
        }
    }
}
