//! A client of TFTP that does no more than is needed to tell that every block came in its turn.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::Sink;

const BLOCK: usize = 1468;
/// How often the same is sent.
const TRIES: u32 = 10;

pub fn fetch(from: Ipv4Addr, server: Ipv4Addr, file: &str, window: u16, sink: &mut Sink) -> Result<()> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut ask = format!("\0\x01{file}\0octet\0tsize\x000\0blksize\x00{BLOCK}\0").into_bytes();
    if window > 0 {
        ask.extend(format!("windowsize\x00{window}\0").into_bytes());
    }
    let mut buffer = [0; 2048];
    let (mut length, peer) = first(&socket, (server, 69).into(), &ask, &mut buffer)?;
    socket.connect(peer)?;
    let accepted = buffer.get(..length).unwrap_or_default();
    let agreed = |name: &str, value: u16| {
        let option = format!("{name}\0{value}\0").into_bytes();
        accepted.windows(option.len()).any(|part| part == option)
    };
    ensure!(accepted.starts_with(&[0, 6]), "no OACK but {}", String::from_utf8_lossy(accepted));
    ensure!(agreed("blksize", BLOCK as u16), "another size of blocks");
    ensure!(window == 0 || agreed("windowsize", window), "another window");
    let window = u64::from(window.max(1));
    // Blocks that came in order, and those that are acknowledged; where a gap was told of once.
    let (mut block, mut acknowledged, mut told) = (0_u64, 0_u64, u64::MAX);
    let acknowledge = |block: u64| {
        let [.., high, low] = block.to_be_bytes();
        socket.send(&[0, 4, high, low])
    };
    acknowledge(0)?;
    let mut tries = 0;
    loop {
        length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(_) if tries < TRIES => {
                tries += 1;
                acknowledge(block)?;
                acknowledged = block;
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("nothing comes after block {block}")),
        };
        let packet = buffer.get(..length).unwrap_or_default();
        match packet {
            [0, 3, high, low, content @ ..] if u16::from_be_bytes([*high, *low]) == (block + 1) as u16 => {
                (block, tries) = (block + 1, 0);
                let go_on = sink.take(content);
                let last = content.len() < BLOCK;
                if last || block - acknowledged >= window {
                    if !go_on && !last {
                        // Ends the transfer at the server too.
                        socket.send(b"\0\x05\0\0enough\0")?;
                        return Ok(());
                    }
                    acknowledge(block)?;
                    acknowledged = block;
                }
                if last {
                    return Ok(());
                }
            }
            [0, 3, ..] if told != block && window > 1 => {
                told = block;
                acknowledge(block)?;
                acknowledged = block;
            }
            [0, 3 | 6, ..] => {}
            _ => bail!("the server ended it: {}", String::from_utf8_lossy(packet)),
        }
    }
}

/// The first answer, and from which port it came.
fn first(
    socket: &UdpSocket,
    server: SocketAddr,
    ask: &[u8],
    buffer: &mut [u8],
) -> Result<(usize, SocketAddr)> {
    for _ in 0..TRIES {
        socket.send_to(ask, server)?;
        if let Ok(answer) = socket.recv_from(buffer) {
            return Ok(answer);
        }
    }
    bail!("no answer from {server}")
}
