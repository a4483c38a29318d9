//! Which process holds a port of this machine, and the command that frees it.

mod release;

pub use release::Process;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// A busy server has tens of thousands of sockets; a table longer than this is cut.
const MOST_SOCKETS: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Udp,
    Tcp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// A socket that waits on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub address: IpAddr,
    pub port: u16,
    pub uid: u32,
    pub inode: u64,
}

/// Who waits on a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Holder {
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub address: IpAddr,
    /// Not there when this program may not see whose socket it is.
    pub process: Option<String>,
    pub pid: Option<u32>,
    /// It is this very program.
    pub ours: bool,
    /// The command that frees the port, or finds out who holds it.
    pub command: Option<String>,
}

/// The sockets of a `/proc/net` table that wait on a port: UDP ones without a peer, TCP ones that listen.
/// Lines that are not understood are left out.
pub fn sockets(table: &str) -> Vec<Bound> {
    table.lines().skip(1).take(MOST_SOCKETS).filter_map(bound).collect()
}

fn bound(line: &str) -> Option<Bound> {
    /// `TCP_LISTEN`, and `TCP_CLOSE`, which is what a UDP socket without a peer is in (tcp_states.h).
    const WAITING: [&str; 2] = ["0A", "07"];
    // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    let waits = fields.nth(1).is_some_and(|state| WAITING.contains(&state));
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    waits.then_some(Bound { address: ip(address)?, port, uid, inode })
}

/// Words of 32 bits, each printed as it lies in memory.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |range: std::ops::Range<usize>| u32::from_str_radix(text.get(range)?, 16).ok();
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0..8)?.to_ne_bytes()).into()),
        32 => {
            let words = [word(0..8)?, word(8..16)?, word(16..24)?, word(24..32)?];
            let mut bytes = [0; 16];
            for (place, byte) in bytes.iter_mut().zip(words.iter().flat_map(|word| word.to_ne_bytes())) {
                *place = byte;
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// The holders of each of these ports, in the same order.
pub fn holders(ports: &[(Protocol, u16)]) -> Vec<Vec<Holder>> {
    let mut tables = BTreeMap::new();
    for (protocol, files) in [(Protocol::Udp, ["udp", "udp6"]), (Protocol::Tcp, ["tcp", "tcp6"])] {
        let read = |file| fs::read_to_string(Path::new("/proc/net").join(file)).unwrap_or_default();
        let bound: Vec<Bound> = files.iter().flat_map(|file| sockets(&read(file))).collect();
        tables.insert(protocol, bound);
    }
    let on = |protocol: &Protocol, port: &u16| {
        let all = tables.get(protocol).into_iter().flatten();
        all.filter(|bound| bound.port == *port).copied().collect::<Vec<_>>()
    };
    let wanted: Vec<Vec<Bound>> = ports.iter().map(|(protocol, port)| on(protocol, port)).collect();
    let inodes: Vec<u64> = wanted.iter().flatten().map(|bound| bound.inode).collect();
    let owners = match inodes.is_empty() {
        true => BTreeMap::new(),
        false => owners(&inodes),
    };
    let holder = |(protocol, port): &(Protocol, u16), bound: &Bound| {
        let process = owners.get(&bound.inode);
        let ours = process.is_some_and(|process| process.pid == std::process::id());
        let command = match process {
            _ if ours => None,
            Some(process) => Some(process.release()),
            None => Some(release::find(*protocol, *port)),
        };
        let (name, pid) = process.map(|process| (process.name.clone(), process.pid)).unzip();
        Holder { address: bound.address, process: name, pid, ours, command }
    };
    ports
        .iter()
        .zip(&wanted)
        .map(|(place, bound)| {
            let mut all: Vec<Holder> = bound.iter().map(|bound| holder(place, bound)).collect();
            // A server that waits on several addresses is one line for each, but one socket twice is not.
            all.dedup();
            all
        })
        .collect()
}

/// The processes that have these sockets open, as far as they may be seen.
fn owners(inodes: &[u64]) -> BTreeMap<u64, Process> {
    let mut found = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        for descriptor in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let inode = target.to_str().and_then(socket_inode).filter(|inode| inodes.contains(inode));
            if let Some(inode) = inode {
                found.entry(inode).or_insert_with(|| Process::look(pid));
            }
        }
    }
    found
}

fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn this_programs_own_sockets_are_found_and_called_ours() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        let (one, other) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let found = holders(&[(Protocol::Udp, one.port()), (Protocol::Tcp, other.port())]);
        for (holders, address) in found.iter().zip([one, other]) {
            let holder = holders.iter().find(|holder| holder.address == address.ip()).unwrap();
            assert!(holder.ours && holder.command.is_none(), "{holder:?}");
            assert_eq!(holder.pid, Some(std::process::id()));
        }
    }

    #[test]
    fn another_process_is_named_with_the_command_that_ends_it() {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let options = "--keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces \
                       --listen-address=127.0.0.1 --user=root --pid-file=";
        let mut child = std::process::Command::new("dnsmasq")
            .args(options.split(' '))
            .arg(format!("--port={}", free.port()))
            .spawn()
            .unwrap();
        let port = [(Protocol::Udp, free.port())];
        let holder = (0..500).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            holders(&port).remove(0).into_iter().find(|holder| holder.pid == Some(child.id()))
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let holder = holder.unwrap();
        assert!(!holder.ours && holder.process.as_deref() == Some("dnsmasq"), "{holder:?}");
        assert!(holder.command.is_some_and(|command| !command.is_empty()));
    }

    fn hex_of(address: IpAddr) -> String {
        let words = |bytes: &[u8]| -> String {
            let word = |four: &[u8]| u32::from_ne_bytes(four.try_into().unwrap());
            bytes.chunks(4).map(|four| format!("{:08X}", word(four))).collect()
        };
        match address {
            IpAddr::V4(address) => words(&address.octets()),
            IpAddr::V6(address) => words(&address.octets()),
        }
    }

    proptest! {
        #[test]
        fn a_line_reads_back_as_the_kernel_wrote_it(
            address: IpAddr, port: u16, uid: u32, inode: u64, state in 1_u8..13, udp: bool,
        ) {
            let (local, none) = (hex_of(address), hex_of(Ipv4Addr::UNSPECIFIED.into()));
            let line = format!(
                "  12: {local}:{port:04X} {none}:0000 {state:02X} 00000000:00000000 00:00000000 00000000 \
                 {uid:5}        0 {inode} 2 00000000aabbccdd 0"
            );
            let table = format!("  sl  local_address ...\n{line}\n");
            let expected: Vec<Bound> = [Bound { address, port, uid, inode }].into();
            let waits = state == 10 || state == 7;
            prop_assert_eq!(sockets(&table), if waits { expected } else { Vec::new() }, "{}", udp);
        }

        #[test]
        fn no_table_or_link_makes_the_reader_panic(text in "(\\PC|[\\n :0-9A-F]){0,300}") {
            let _ = (sockets(&format!("head\n{text}")), socket_inode(&text), ip(&text));
        }
    }
}
