//! Unix sockets below a directory of any depth.
//!
//! A socket's address holds at most 107 characters, and a state directory may lie deeper than that. QEMU listens on
//! a name relative to its working directory; we connect through the directory's descriptor.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

pub(crate) fn connect(dir: &Path, name: &str) -> io::Result<UnixStream> {
    let dir = File::open(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_is_reached_however_deep_its_directory_lies() {
        let top = tempfile::tempdir().unwrap();
        let deep = top.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let handle = File::open(&deep).unwrap();
        let _listener = UnixListener::bind(format!("/proc/self/fd/{}/s", handle.as_raw_fd())).unwrap();
        connect(&deep, "s").unwrap();
    }
}
