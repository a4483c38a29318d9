//! Load for a server of network boot, ours or another, from one machine with many addresses:
//!
//! ```text
//! netload dhcp CLIENTS SECONDS                     whole exchanges, each client with a card of its own
//! netload tftp SERVER FILE CLIENTS SECONDS WINDOW  the same file again and again, in blocks of 1468; WINDOW 0 asks for none
//! netload http SERVER:PORT FILE CLIENTS SECONDS    the same
//! netload sum tftp SERVER FILE WINDOW              fetches once, and prints the SHA-256
//! netload sum http SERVER:PORT FILE
//! ```
//!
//! Prints one line of JSON. Clients speak from 10.77.0.2 on, DHCP's from none.

mod dhcp;
mod http;
mod tftp;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

const USAGE: &str = "usage: netload dhcp CLIENTS SECONDS | tftp SERVER FILE CLIENTS SECONDS WINDOW | \
    http SERVER:PORT FILE CLIENTS SECONDS | sum tftp SERVER FILE WINDOW | sum http SERVER:PORT FILE";
/// What a client's thread needs: its buffers are on the heap.
const STACK: usize = 128 * 1024;

/// What one fetch does with the bytes, in order.
pub enum Sink<'a> {
    Count { bytes: &'a AtomicU64, stop: &'a AtomicBool },
    Sum(&'a mut Sha256),
}

impl Sink<'_> {
    /// Takes the next bytes; whether to go on.
    fn take(&mut self, content: &[u8]) -> bool {
        match self {
            Self::Count { .. } => self.pass(content.len()),
            Self::Sum(sum) => {
                sum.update(content);
                true
            }
        }
    }

    /// The same for bytes that are not looked at.
    fn pass(&self, length: usize) -> bool {
        let Self::Count { bytes, stop } = self else { return true };
        bytes.fetch_add(length as u64, Ordering::Relaxed);
        !stop.load(Ordering::Relaxed)
    }
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let answer = match words.as_slice() {
        ["dhcp", clients, seconds] => dhcp::run(clients.parse()?, duration(seconds)?)?,
        ["tftp", server, file, clients, seconds, window] => {
            let (server, window) = (server.parse()?, window.parse()?);
            fetched(clients, seconds, |from, sink| tftp::fetch(from, server, file, window, sink))?
        }
        ["http", server, file, clients, seconds] => {
            let server = server.parse()?;
            fetched(clients, seconds, |from, sink| http::fetch(from, server, file, sink))?
        }
        ["sum", "tftp", server, file, window] => {
            summed(|sink| tftp::fetch(client(0), server.parse()?, file, window.parse()?, sink))?
        }
        ["sum", "http", server, file] => summed(|sink| http::fetch(client(0), server.parse()?, file, sink))?,
        _ => bail!(USAGE),
    };
    println!("{answer}");
    Ok(())
}

fn duration(seconds: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(seconds.parse()?)?)
}

fn client(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 2 + number)
}

fn summed(fetch: impl FnOnce(&mut Sink) -> Result<()>) -> Result<serde_json::Value> {
    let mut sum = Sha256::new();
    fetch(&mut Sink::Sum(&mut sum))?;
    let sum: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(serde_json::json!({ "sha256": sum }))
}

/// So many clients at once, each fetching again and again until the time is over.
fn fetched(
    clients: &str,
    seconds: &str,
    fetch: impl Fn(Ipv4Addr, &mut Sink) -> Result<()> + Sync,
) -> Result<serde_json::Value> {
    let (clients, time): (u8, _) = (clients.parse()?, duration(seconds)?);
    ensure!((1..=100).contains(&clients), "at most 100 clients, and at least one");
    let (bytes, stop, fetch) = (AtomicU64::new(0), AtomicBool::new(false), &fetch);
    let began = Instant::now();
    let (bytes, stop) = (&bytes, &stop);
    std::thread::scope(|scope| {
        let work = move |number| {
            let mut sink = Sink::Count { bytes, stop };
            while !stop.load(Ordering::Relaxed) {
                fetch(client(number), &mut sink).with_context(|| format!("client {number}"))?;
            }
            anyhow::Ok(())
        };
        let start =
            |number| std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, move || work(number));
        let threads = (0..clients).map(start).collect::<std::io::Result<Vec<_>>>();
        std::thread::sleep(time);
        let (arrived, took) = (bytes.load(Ordering::Relaxed), began.elapsed());
        stop.store(true, Ordering::Relaxed);
        for thread in threads? {
            thread.join().ok().context("a client's thread fell")??;
        }
        Ok(serde_json::json!({ "bytes": arrived, "seconds": took.as_secs_f64() }))
    })
}
