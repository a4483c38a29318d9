//! Fetching the system from the manager, or reading it from an installer stick: opened when the first byte
//! is wanted, checked at the end.

use cairn_wire::message::ImageFile;
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::time::Duration;

/// Nothing arrives for so long: the manager is gone.
const STALL: Duration = Duration::from_secs(60);

/// A file on its way. Reading past its end fails unless all of it was right.
pub struct Download {
    file: ImageFile,
    source: Option<Box<dyn Read + Send + Sync>>,
    hash: Sha256,
    got: u64,
}

impl Download {
    pub fn new(file: &ImageFile) -> Self {
        Self { file: file.clone(), source: None, hash: Sha256::new(), got: 0 }
    }

    /// From where it lies already.
    pub fn local(file: &ImageFile, source: impl Read + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source.take(file.size))), ..Self::new(file) }
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send + Sync>> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_connect(Some(STALL))
            .timeout_recv_response(Some(STALL))
            .build()
            .into();
        let failed = |e: ureq::Error| io::Error::other(format!("{} can't be fetched: {e}", self.file.url));
        let response = agent.get(&self.file.url).call().map_err(failed)?;
        Ok(Box::new(response.into_body().into_reader().take(self.file.size)))
    }

    /// # Errors
    /// When the file is not whole, or not the one that the manager described.
    pub fn finish(self) -> io::Result<()> {
        let Self { file, source: _, hash, got } = self;
        if got != file.size || hex::encode(hash.finalize()) != file.sha256 {
            let text = format!("{} arrived damaged ({got} of {} bytes); try again", file.url, file.size);
            return Err(io::Error::other(text));
        }
        Ok(())
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut source = match self.source.take() {
            Some(source) => source,
            None => self.open()?,
        };
        let count = source.read(buffer)?;
        self.source = Some(source);
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.got = self.got.saturating_add(u64::try_from(count).unwrap_or(0));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    /// Serves `body` once over HTTP and gives its URL.
    fn serve(body: &'static [u8], length: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
                .unwrap();
            stream.write_all(body).unwrap();
        });
        format!("http://{address}/file")
    }

    fn fetch(url: String, wanted: &[u8]) -> io::Result<Vec<u8>> {
        let sha256 = hex::encode(Sha256::digest(wanted));
        let mut download =
            Download::new(&ImageFile { url, size: u64::try_from(wanted.len()).unwrap(), sha256 });
        let mut got = Vec::new();
        download.read_to_end(&mut got)?;
        download.finish()?;
        Ok(got)
    }

    #[test]
    fn a_whole_file_arrives() {
        assert_eq!(fetch(serve(b"hello", 5), b"hello").unwrap(), b"hello");
    }

    #[test]
    fn a_file_that_differs_or_ends_early_is_refused() {
        let error = fetch(serve(b"hellO", 5), b"hello").unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
        assert!(fetch(serve(b"hel", 5), b"hello").is_err());
        assert!(fetch(serve(b"hel", 3), b"hello").is_err());
    }
}
