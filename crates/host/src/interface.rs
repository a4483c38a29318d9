//! The network interfaces of this machine.

use nix::ifaddrs::getifaddrs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// Where the kernel lists interfaces.
const CLASS: &str = "/sys/class/net";
/// A machine with hundreds of containers has an interface for each: nobody reads such a list.
const MOST: usize = 64;

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub name: String,
    pub kind: Kind,
    /// Switched on, with a cable (or a radio network) at its other end.
    pub up: bool,
    /// Lower case, colons; not there on loopback and tunnels.
    pub mac: Option<String>,
    pub addresses: Vec<Address>,
    /// The router to which this machine sends what is not for its own networks.
    pub gateway: Option<Ipv4Addr>,
}

/// An address and how much of it is the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    pub ip: IpAddr,
    pub prefix: u8,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// What an interface is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A network card with a socket for a cable.
    Wired,
    /// Wi-Fi: a machine's firmware can't boot over it.
    Wireless,
    /// A switch inside this machine.
    Bridge,
    /// A network of Docker's containers.
    Docker,
    /// Everything else that is no hardware: tunnels, containers' ends, loopback.
    Virtual,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wired => "wired",
            Self::Wireless => "Wi-Fi",
            Self::Bridge => "bridge",
            Self::Docker => "Docker's",
            Self::Virtual => "virtual",
        })
    }
}

/// What the kernel shows of an interface below `/sys/class/net`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traits {
    device: bool,
    wireless: bool,
    bridge: bool,
}

fn kind(name: &str, traits: Traits) -> Kind {
    // `br-` with twelve digits of the network's id is how Docker names the bridges of its other networks.
    let of_docker = name.starts_with("docker")
        || name
            .strip_prefix("br-")
            .is_some_and(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    match traits {
        Traits { wireless: true, .. } => Kind::Wireless,
        Traits { bridge: true, .. } if of_docker => Kind::Docker,
        Traits { bridge: true, .. } => Kind::Bridge,
        Traits { device: true, .. } => Kind::Wired,
        Traits { .. } => Kind::Virtual,
    }
}

/// The routers of the default routes in `/proc/net/route`, by interface.
pub fn gateways(table: &str) -> BTreeMap<String, Ipv4Addr> {
    let mut found = BTreeMap::new();
    for line in table.lines().skip(1) {
        let mut fields = line.split_whitespace();
        let (Some(name), Some("00000000"), Some(gateway)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        // The number is printed as it lies in memory.
        let Ok(bits) = u32::from_str_radix(gateway, 16) else { continue };
        let gateway = Ipv4Addr::from(bits.to_ne_bytes());
        if !gateway.is_unspecified() {
            found.entry(name.to_owned()).or_insert(gateway);
        }
    }
    found
}

fn addresses() -> BTreeMap<String, Vec<Address>> {
    let mut found: BTreeMap<String, Vec<Address>> = BTreeMap::new();
    for entry in getifaddrs().into_iter().flatten() {
        let address = entry.address.as_ref().and_then(ip_of);
        let mask = entry.netmask.as_ref().and_then(ip_of);
        if let (Some(ip), Some(mask)) = (address, mask) {
            found.entry(entry.interface_name).or_default().push(Address { ip, prefix: prefix(mask) });
        }
    }
    found
}

fn ip_of(storage: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

fn prefix(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    u8::try_from(ones).unwrap_or(0)
}

/// All interfaces but loopback, hardware first.
///
/// # Errors
/// When the kernel does not list them.
pub fn list() -> io::Result<Vec<Interface>> {
    let routers = gateways(&std::fs::read_to_string("/proc/net/route").unwrap_or_default());
    let mut addresses = addresses();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(CLASS)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if name == "lo" {
            continue;
        }
        let gateway = routers.get(&name).copied();
        let addresses = addresses.remove(&name).unwrap_or_default();
        found.push(look(name, addresses, gateway));
    }
    found.sort_by_key(|it| (!matches!(it.kind, Kind::Wired | Kind::Wireless), !it.up, it.name.clone()));
    found.truncate(MOST);
    Ok(found)
}

fn look(name: String, addresses: Vec<Address>, gateway: Option<Ipv4Addr>) -> Interface {
    let folder = Path::new(CLASS).join(&name);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default().trim().to_owned();
    let has = |entry: &str| folder.join(entry).exists();
    let traits =
        Traits { device: has("device"), wireless: has("wireless") || has("phy80211"), bridge: has("bridge") };
    let mac = Some(read("address")).filter(|mac| mac.len() == 17 && mac != "00:00:00:00:00:00");
    // Tunnels say `unknown` and carry all the same, but those are no place for a cable.
    Interface { kind: kind(&name, traits), up: read("operstate") == "up", mac, addresses, gateway, name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_called_what_it_is_made_of() {
        let (device, wireless, bridge) = (true, true, true);
        let cases = [
            ("enp3s0", Traits { device, ..Traits::default() }, Kind::Wired),
            ("wlan0", Traits { device, wireless, ..Traits::default() }, Kind::Wireless),
            ("virbr0", Traits { bridge, ..Traits::default() }, Kind::Bridge),
            ("br-lan", Traits { bridge, ..Traits::default() }, Kind::Bridge),
            ("docker0", Traits { bridge, ..Traits::default() }, Kind::Docker),
            ("br-0a1b2c3d4e5f", Traits { bridge, ..Traits::default() }, Kind::Docker),
            ("veth12ab", Traits::default(), Kind::Virtual),
        ];
        for (name, traits, expected) in cases {
            assert_eq!(kind(name, traits), expected, "{name}");
        }
    }

    #[test]
    fn the_router_is_read_from_the_default_route() {
        let table = "Iface\tDestination\tGateway\tFlags\nwlan0\t0000A8C0\t00000000\t0001\n\
                     eth0\t00000000\t0101A8C0\t0003\neth1\t00000000\t00000000\t0001\n";
        let expected = [("eth0".to_owned(), Ipv4Addr::from(0x0101_A8C0_u32.to_ne_bytes()))];
        assert_eq!(gateways(table), BTreeMap::from(expected));
    }

    #[test]
    fn this_machines_interfaces_are_listed_without_loopback() {
        let all = list().unwrap();
        assert!(all.iter().all(|it| it.name != "lo"));
        for interface in all {
            assert_eq!(
                Path::new(CLASS).join(&interface.name).join("bridge").exists(),
                matches!(interface.kind, Kind::Bridge | Kind::Docker)
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_table_makes_the_reader_panic(text in "(\\PC|[\\t\\n 0-9A-F]){0,200}") {
            let _ = gateways(&text);
        }
    }
}
