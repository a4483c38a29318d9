//! What a test sends from the other end of the cable: this program, started again in that end's namespace.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Set where this program is started again, to what it is to be there.
pub const INSIDE: &str = "CAIRN_TEST_INSIDE";

/// What this program is to be, if it was started again.
pub fn part() -> Option<String> {
    std::env::var(INSIDE).ok()
}

/// The words that start this program again, in one test of it.
pub fn again(test: &str, part: &str) -> Vec<String> {
    let this = std::env::current_exe().unwrap();
    ["env", &format!("{INSIDE}={part}"), this.to_str().unwrap(), "--exact", test, "--nocapture"]
        .map(str::to_owned)
        .into()
}

/// A question of DHCP's from this card; as firmware with UEFI asks it, or as a system does.
pub fn question(kind: u8, mac: [u8; 6], firmware: bool, more: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 240];
    bytes[0..3].copy_from_slice(&[1, 1, 6]);
    bytes[4..8].copy_from_slice(&mac[2..]);
    bytes[10] = 0x80;
    bytes[28..34].copy_from_slice(&mac);
    bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend([53, 1, kind]);
    if firmware {
        let class = b"PXEClient:Arch:00007:UNDI:003001";
        bytes.extend([93, 2, 0, 7, 97, 17, 0]);
        bytes.extend([0xab; 16]);
        bytes.extend([60, class.len() as u8]);
        bytes.extend(class);
    }
    bytes.extend(more);
    bytes.push(255);
    bytes
}

/// A UDP socket on `eth0`.
pub fn socket(from: impl Into<SocketAddr>) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.bind_device(Some(b"eth0")).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&from.into().into()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.into()
}

/// Sends `bytes` until `wanted` comes back, at most ten times.
pub fn ask(
    socket: &UdpSocket,
    to: SocketAddr,
    bytes: &[u8],
    wanted: impl Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut buffer = [0; 2048];
    for _ in 0..10 {
        // Before ARP has gone through, a send may fail.
        let _ = socket.send_to(bytes, to);
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            if wanted(&buffer[..length]) {
                return Some(buffer[..length].to_vec());
            }
        }
    }
    None
}

/// Everybody's port 67.
pub fn everybody() -> SocketAddr {
    (Ipv4Addr::BROADCAST, 67).into()
}

/// The name of the boot file in an answer's header.
pub fn boot_file(answer: &[u8]) -> String {
    let field = answer.get(108..236).unwrap_or_default();
    let name = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}
