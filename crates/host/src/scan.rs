//! Which machines are on the network of one interface: asked for by the owner, never done unasked.
//!
//! A datagram to every address makes the kernel ask by ARP who has it, and its neighbour table is read
//! afterwards. That needs no rights at all; asking with packets of our own would need CAP_NET_RAW. The price:
//! a machine that was switched off a few minutes ago may still be in the table. Names are asked of the
//! machines themselves (multicast DNS).

mod names;

use crate::interface::{Address, Interface};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::sleep;

/// The largest network that is scanned: 1,022 addresses. The kernel's neighbour table holds 1,024.
pub const LARGEST: u8 = 22;
/// RFC 863, discard: whoever listens there throws it away.
const DISCARD: u16 = 9;
/// So many addresses at once, then a pause, so that a small switch or Wi-Fi is not flooded with broadcasts.
const BATCH: usize = 32;
const PAUSE: Duration = Duration::from_millis(50);
/// The kernel asks three times, a second apart.
const LAST_ANSWERS: Duration = Duration::from_millis(2500);

/// A machine that answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    pub address: Ipv4Addr,
    /// Lower case, colons.
    pub mac: String,
    /// What it calls itself.
    pub name: Option<String>,
}

/// Why there is nothing to scan, or it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("{0} has no IPv4 address: connect it to the network first")]
    NoAddress(String),
    #[error(
        "the network {network} on {interface} is too large: a scan looks at no more than 1,022 addresses (/{LARGEST})"
    )]
    TooLarge { interface: String, network: Address },
    #[error("the network on {0} could not be scanned")]
    Io(String, #[source] io::Error),
}

/// Every address beside this interface's own, on all of its networks.
///
/// # Errors
/// When it has none, or one that is too large.
pub fn targets(interface: &Interface) -> Result<BTreeSet<Ipv4Addr>, ScanError> {
    let mut all = BTreeSet::new();
    let mut own = BTreeSet::new();
    for address in &interface.addresses {
        let IpAddr::V4(ip) = address.ip else { continue };
        // Given by the interface to itself when nobody else did: no network is behind it.
        if ip.is_link_local() {
            continue;
        }
        let host_bits = 32_u32.saturating_sub(address.prefix.into());
        if address.prefix < LARGEST {
            return Err(ScanError::TooLarge { interface: interface.name.clone(), network: *address });
        }
        let hosts = u32::MAX.checked_shr(32_u32.saturating_sub(host_bits)).unwrap_or(0);
        let network = ip.to_bits() & !hosts;
        all.extend((1..hosts).map(|host| Ipv4Addr::from_bits(network | host)));
        own.insert(ip);
    }
    match own.is_empty() {
        true => Err(ScanError::NoAddress(interface.name.clone())),
        false => Ok(all.difference(&own).copied().collect()),
    }
}

/// The neighbours on `interface` in `/proc/net/arp` whose card is known.
pub fn neighbours(table: &str, interface: &str) -> BTreeMap<Ipv4Addr, String> {
    let neighbour = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = fields.next()?.parse().ok()?;
        let flags = fields.nth(1)?.strip_prefix("0x")?;
        let mac = fields.next().filter(|mac| mac.len() == 17 && *mac != "00:00:00:00:00:00")?;
        // ATF_COM of if_arp.h: the question was answered.
        let complete = u32::from_str_radix(flags, 16).ok()? & 0x02 != 0;
        (complete && fields.nth(1)? == interface).then(|| (address, mac.to_ascii_lowercase()))
    };
    table.lines().skip(1).filter_map(neighbour).collect()
}

/// Asks for everyone on the networks of `interface`, and for their names.
///
/// # Errors
/// When there is nothing to scan, or the interface can't be used.
pub async fn scan(interface: &Interface) -> Result<Vec<Neighbour>, ScanError> {
    let targets = targets(interface)?;
    let name = &interface.name;
    let failed = |error| ScanError::Io(name.clone(), error);
    let socket = socket(name).map_err(failed)?;
    let mut found = BTreeMap::new();
    let mut take = || {
        let table = std::fs::read_to_string("/proc/net/arp").unwrap_or_default();
        found.extend(neighbours(&table, name).into_iter().filter(|(address, _)| targets.contains(address)));
    };
    for (number, target) in targets.iter().enumerate() {
        // Refused for one address (unreachable, table full for a moment) is no reason to give the others up.
        let _ = socket.send_to(&[], (*target, DISCARD)).await;
        if number % BATCH == BATCH - 1 {
            sleep(PAUSE).await;
            take();
        }
    }
    sleep(LAST_ANSWERS).await;
    take();
    let addresses: BTreeSet<Ipv4Addr> = found.keys().copied().collect();
    let mut names = names::ask(&socket, &addresses).await;
    let neighbour = |(address, mac)| Neighbour { address, mac, name: names.remove(&address) };
    Ok(found.into_iter().map(neighbour).collect())
}

fn socket(interface: &str) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
    socket.set_nonblocking(true)?;
    // RFC 6762 section 11: 255 shows that no router was passed.
    socket.set_multicast_ttl_v4(255)?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Kind;
    use proptest::prelude::*;

    fn interface(addresses: &[(Ipv4Addr, u8)]) -> Interface {
        let addresses = addresses.iter().map(|(ip, prefix)| Address { ip: (*ip).into(), prefix: *prefix });
        Interface {
            name: "eth0".into(),
            kind: Kind::Wired,
            up: true,
            mac: None,
            addresses: addresses.collect(),
            gateway: None,
        }
    }

    #[test]
    fn the_whole_network_is_looked_at_but_not_its_ends_and_not_ourselves() {
        let all = targets(&interface(&[([192, 168, 1, 5].into(), 24)])).unwrap();
        assert_eq!(all.len(), 253);
        for ours in [0, 5, 255] {
            assert!(!all.contains(&[192, 168, 1, ours].into()));
        }
        let two = targets(&interface(&[([192, 168, 1, 5].into(), 24), ([10, 87, 3, 1].into(), 30)])).unwrap();
        assert_eq!(two.len(), 254);
    }

    #[test]
    fn what_can_not_be_scanned_is_refused_in_words() {
        let large = targets(&interface(&[([10, 0, 0, 5].into(), 16)])).unwrap_err();
        assert!(large.to_string().contains("10.0.0.5/16 on eth0 is too large"), "{large}");
        for none in [&[][..], &[([169, 254, 7, 7].into(), 16)]] {
            let refused = targets(&interface(none)).unwrap_err();
            assert!(matches!(refused, ScanError::NoAddress(_)), "{refused}");
        }
    }

    #[test]
    fn only_answers_on_this_interface_count() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
            192.168.1.1      0x1         0x2         02:FC:00:00:00:05     *        eth0\n\
            192.168.1.2      0x1         0x0         00:00:00:00:00:00     *        eth0\n\
            192.168.1.3      0x1         0x0         02:fc:00:00:00:07     *        eth0\n\
            192.168.1.4      0x1         0x2         02:fc:00:00:00:06     *        eth1\n";
        let expected = [(Ipv4Addr::new(192, 168, 1, 1), "02:fc:00:00:00:05".to_owned())];
        assert_eq!(neighbours(table, "eth0"), BTreeMap::from(expected));
    }

    proptest! {
        #[test]
        fn no_network_makes_more_than_1022_targets(ip: Ipv4Addr, prefix in 0_u8..=40) {
            if let Ok(all) = targets(&interface(&[(ip, prefix)])) {
                prop_assert!(all.len() <= 1022 && !all.contains(&ip));
            }
        }

        #[test]
        fn no_table_makes_the_reader_panic(text in "(\\PC|[\\t\\n 0-9a-fx.:]){0,200}") {
            let _ = neighbours(&format!("head\n{text}"), "eth0");
        }
    }
}
