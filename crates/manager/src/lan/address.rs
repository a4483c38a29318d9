//! Which addresses of this machine are its home networks'. Pure.

use cairn_host::interface::{Interface, Kind};
use std::net::{IpAddr, Ipv4Addr};

/// Private IPv4 addresses of cards that are connected, those with a router first. Never a public one, which would
/// be open to the internet; not the cable of machines that nobody has approved; not the cluster's own network;
/// no tunnel and no container's, which lead elsewhere. IPv6 has to be named: its addresses are public.
pub fn choose(interfaces: &[Interface], cable: Option<&str>, cluster: Option<Ipv4Addr>) -> Vec<IpAddr> {
    let fits = |interface: &&Interface| {
        interface.up
            && matches!(interface.kind, Kind::Wired | Kind::Wireless | Kind::Bridge)
            && cable != Some(interface.name.as_str())
    };
    let mut homes: Vec<&Interface> = interfaces.iter().filter(fits).collect();
    homes.sort_by_key(|interface| interface.gateway.is_none());
    let mut chosen = Vec::new();
    for address in homes.into_iter().flat_map(|interface| &interface.addresses) {
        if let IpAddr::V4(v4) = address.ip
            && v4.is_private()
            && cluster != Some(v4)
            && !chosen.contains(&address.ip)
        {
            chosen.push(address.ip);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_host::interface::Address;

    fn card(name: &str, kind: Kind, addresses: &[&str], gateway: bool) -> Interface {
        let addresses = addresses.iter().map(|ip| Address { ip: ip.parse().unwrap(), prefix: 24 }).collect();
        let gateway = gateway.then_some(Ipv4Addr::new(192, 168, 1, 1));
        Interface { name: name.into(), kind, up: true, mac: None, addresses, gateway }
    }

    #[test]
    fn home_networks_are_served_and_nothing_else() {
        let off = Interface { up: false, ..card("enp9s0", Kind::Wired, &["192.168.9.5"], false) };
        let interfaces = [
            card("enp2s0", Kind::Wired, &["192.168.7.5", "10.9.8.1"], false),
            card("enp3s0", Kind::Wired, &["172.30.77.1"], false),
            card("wlan0", Kind::Wireless, &["192.168.1.5", "fd00::5", "fe80::1"], true),
            card("br0", Kind::Bridge, &["10.0.0.5"], false),
            card("docker0", Kind::Docker, &["172.17.0.1"], false),
            card("tun0", Kind::Virtual, &["10.8.0.2"], false),
            card("ppp0", Kind::Wired, &["203.0.113.7", "169.254.1.2"], true),
            off,
        ];
        let cluster = Some(Ipv4Addr::new(10, 9, 8, 1));
        let chosen = choose(&interfaces, Some("enp3s0"), cluster);
        let expected = ["192.168.1.5", "192.168.7.5", "10.0.0.5"].map(|ip| ip.parse::<IpAddr>().unwrap());
        assert_eq!(chosen, expected);
        assert_eq!(choose(&[], None, None), Vec::<IpAddr>::new());
    }
}
