//! Which TCP ports of a machine are open, seen from inside the lab's network.

use crate::world::World;
use anyhow::{Context, Result};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

pub const COMMAND: &str = "scan";
const LAST_PORT: u16 = 10_000;
const THREADS: usize = 32;
/// A port without a listener is refused within milliseconds; a silent one would be a firewall's.
const PATIENCE: Duration = Duration::from_secs(2);

/// # Errors
/// When the scan can't be run.
pub fn open_ports(world: &World, address: IpAddr) -> Result<Vec<u16>> {
    let own = std::env::current_exe()?;
    let own = own.to_str().context("this program's path is not UTF-8")?;
    let text = world.demand(world.lab()?.command(own).args([COMMAND, &address.to_string()]))?;
    Ok(text.split_whitespace().filter_map(|word| word.parse().ok()).collect())
}

pub fn run(address: IpAddr) -> Result<ExitCode> {
    let next = AtomicU16::new(1);
    let open = Mutex::new(Vec::new());
    let work = || {
        loop {
            let port = next.fetch_add(1, Ordering::Relaxed);
            if port > LAST_PORT {
                return;
            }
            if TcpStream::connect_timeout(&SocketAddr::new(address, port), PATIENCE).is_ok()
                && let Ok(mut open) = open.lock()
            {
                open.push(port);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let mut open = open.into_inner().unwrap_or_default();
    open.sort_unstable();
    for port in open {
        println!("{port}");
    }
    Ok(ExitCode::SUCCESS)
}
