//! Which of the two kinds of network an interface leads to, and from which address machines fetch there. Pure
//! functions.

use crate::options::Wish;
use cairn_host::interface::Interface;
use cairn_netboot::HomeNetwork;
use std::net::{IpAddr, Ipv4Addr};

/// How network boot is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The manager is the only DHCP server.
    OwnCable,
    /// A router hands out the addresses.
    HomeNetwork,
}

/// The way that the owner wishes, or that fits. Only an interface where no DHCP server answers *and* that has no
/// address but ours is taken for a cable of our own: a router that is only slow, or starts later than the manager
/// after a power cut, must not find a second DHCP server in its house.
pub fn choose(wish: Wish, server_answers: bool, interface: Option<&Interface>, ours: &[Ipv4Addr]) -> Way {
    match wish {
        Wish::OwnCable => Way::OwnCable,
        Wish::HomeNetwork => Way::HomeNetwork,
        Wish::Fitting => {
            let lives_there = interface.is_some_and(|it| it.gateway.is_some() || place(it, ours).is_some());
            if server_answers || lives_there { Way::HomeNetwork } else { Way::OwnCable }
        }
    }
}

/// The manager's place in a home network: the address towards the router, else the first that is not one of
/// `ours` (the cluster's, which machines have no way to before they are nodes).
pub fn place(interface: &Interface, ours: &[Ipv4Addr]) -> Option<HomeNetwork> {
    let all = interface.addresses.iter().filter_map(|it| match it.ip {
        IpAddr::V4(address) => Some(HomeNetwork { address, prefix: it.prefix }),
        IpAddr::V6(_) => None,
    });
    let usable = |it: &HomeNetwork| {
        let address = it.address;
        !ours.contains(&address) && !address.is_link_local() && !address.is_loopback()
    };
    let mut all: Vec<HomeNetwork> = all.filter(usable).collect();
    all.sort_by_key(|it| !interface.gateway.is_some_and(|gateway| it.contains(gateway)));
    all.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_host::interface::{Address, Kind};

    const OURS: [Ipv4Addr; 1] = [Ipv4Addr::new(10, 83, 12, 1)];

    fn interface(addresses: &[[u8; 4]], gateway: Option<[u8; 4]>) -> Interface {
        let address = |ip: &[u8; 4]| Address { ip: Ipv4Addr::from(*ip).into(), prefix: 24 };
        Interface {
            name: "eth0".into(),
            kind: Kind::Wired,
            up: true,
            mac: None,
            addresses: addresses.iter().map(address).collect(),
            gateway: gateway.map(Ipv4Addr::from),
        }
    }

    #[test]
    fn a_second_dhcp_server_is_never_started_where_a_router_may_only_be_slow() {
        let (ours, link_local, lan) = ([10, 83, 12, 1], [169, 254, 7, 7], [192, 168, 1, 5]);
        let cases = [
            ("nothing there", false, interface(&[], None), Way::OwnCable),
            ("only our own addresses", false, interface(&[ours, link_local], None), Way::OwnCable),
            ("a server answers", true, interface(&[], None), Way::HomeNetwork),
            ("silent, with an address", false, interface(&[ours, lan], None), Way::HomeNetwork),
            (
                "silent, with a default route",
                false,
                interface(&[ours], Some([192, 168, 1, 1])),
                Way::HomeNetwork,
            ),
        ];
        for (name, answers, interface, way) in cases {
            assert_eq!(choose(Wish::Fitting, answers, Some(&interface), &OURS), way, "{name}");
            assert_eq!(choose(Wish::OwnCable, answers, Some(&interface), &OURS), Way::OwnCable);
            assert_eq!(choose(Wish::HomeNetwork, answers, Some(&interface), &OURS), Way::HomeNetwork);
        }
        assert_eq!(choose(Wish::Fitting, false, None, &OURS), Way::OwnCable);
    }

    #[test]
    fn machines_fetch_from_the_address_towards_the_router() {
        let find = |addresses: &[[u8; 4]], gateway| place(&interface(addresses, gateway), &OURS);
        let (ours, other, lan) = ([10, 83, 12, 1], [172, 16, 0, 9], [192, 168, 1, 5]);
        let found = find(&[ours, other, lan], Some([192, 168, 1, 1]));
        assert_eq!(found, Some(HomeNetwork { address: lan.into(), prefix: 24 }));
        assert_eq!(find(&[ours, other, lan], None).map(|it| it.address), Some(other.into()));
        assert_eq!(find(&[ours, [169, 254, 1, 1]], None), None);
    }
}
