//! A client of HTTP/1.1 that has the kernel throw away what it counts.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use super::Sink;

/// Taken at once.
const PIECE: usize = 1 << 20;

pub fn fetch(from: Ipv4Addr, server: SocketAddr, file: &str, sink: &mut Sink) -> Result<()> {
    let mut socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.connect(&server.into()).context("connecting")?;
    write!(socket, "GET /{file} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    let body = loop {
        let length = socket.read(&mut buffer)?;
        ensure!(length > 0 && head.len() < 65_536, "it closed before its headers ended");
        head.extend_from_slice(buffer.get(..length).unwrap_or_default());
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break head.split_off(end + 4);
        }
    };
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 200 "), "it answered {head}");
    let size = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut left: usize = size.context("it tells no length")?;
    left = left.checked_sub(body.len()).context("it sent more than it told")?;
    let mut go_on = sink.take(&body);
    let counts = matches!(sink, Sink::Count { .. });
    let mut whole = if counts { Vec::new() } else { vec![0; PIECE] };
    let mut thrown = vec![MaybeUninit::<u8>::uninit(); if counts { PIECE } else { 0 }];
    while left > 0 && go_on {
        let length = if counts {
            // tcp(7): with MSG_TRUNC the bytes are not copied, so the client costs the machine next to nothing.
            let length = socket.recv_with_flags(&mut thrown, nix::libc::MSG_TRUNC)?;
            go_on = sink.pass(length);
            length
        } else {
            let length = socket.read(&mut whole)?;
            go_on = sink.take(whole.get(..length).unwrap_or_default());
            length
        };
        ensure!(length > 0, "it closed with {left} bytes to come");
        left = left.checked_sub(length).context("it sent more than it told")?;
    }
    Ok(())
}
