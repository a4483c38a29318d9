//! The cluster's own addresses: a private /24 that goes with the machines wherever they are plugged in.
//!
//! A node's address never changes and is never given to another node, so that certificates, etcd's member
//! list and a stale cache can't point to the wrong machine.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The manager's host number in the cluster's network.
pub const MANAGER_NUMBER: u8 = 1;
/// The first node's host number; 2 to 9 stay free for what has to stand beside the manager one day.
pub const FIRST_NODE_NUMBER: u8 = 10;
/// The last node's host number: 255 is the broadcast address.
pub const LAST_NODE_NUMBER: u8 = 254;

/// A private IPv4 network with a 24-bit prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Network([u8; 3]);

/// Why a text is not the cluster's network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a private network such as 10.87.33.0/24; give one from 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 that ends in .0/24"
)]
pub struct NetworkError(String);

impl Network {
    /// Chooses a network from public pseudo-random bytes, the same one for the same bytes.
    ///
    /// It lies in 10.0.0.0/8, which has the most room, and outside of what home routers, container engines
    /// and Kubernetes take by default: two networks with the same addresses on one machine can't both be
    /// reached.
    pub fn choose(random: &[u8]) -> Self {
        random
            .windows(2)
            .filter_map(|pair| match pair {
                [second, third] => Some(Self([10, *second, *third])),
                _ => None,
            })
            .find(|network| !network.is_commonly_used())
            // 32 bytes never get here: one pair in six is refused
            .unwrap_or(Self([10, 213, 77]))
    }

    /// Whether a default of widespread software or home routers is likely to lie on the same addresses.
    fn is_commonly_used(self) -> bool {
        let [_, second, third] = self.0;
        match second {
            // home and office routers, VPN defaults (10.8.0.0 OpenVPN), cloud defaults
            0..=16 => true,
            // k3s pods and services (10.42, 10.43), Docker swarm pools (10.20..), Podman (10.88), kubeadm (10.96),
            // OpenStack and WireGuard guides (10.100), microk8s (10.152), LXD (10.1xx), flannel (10.244)
            20 | 42 | 43 | 66 | 88 | 89 | 90 | 96..=112 | 128 | 152 | 200 | 233 | 244 | 254 | 255 => true,
            // a third part that a person would have chosen by hand
            _ => matches!(third, 0 | 1 | 10 | 100 | 254 | 255),
        }
    }

    /// The address with this host number.
    pub fn host(self, number: u8) -> Ipv4Addr {
        let [first, second, third] = self.0;
        Ipv4Addr::new(first, second, third, number)
    }

    /// The manager's address.
    pub fn manager(self) -> Ipv4Addr {
        self.host(MANAGER_NUMBER)
    }

    /// The length of the prefix, in bits.
    pub fn prefix_length(self) -> u8 {
        24
    }

    /// Whether the address is one of this network.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let [first, second, third, _] = address.octets();
        self.0 == [first, second, third]
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/24", self.host(0))
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || NetworkError(text.to_owned());
        let address: Ipv4Addr = text.strip_suffix("/24").ok_or_else(refuse)?.parse().map_err(|_| refuse())?;
        match address.octets() {
            [first, second, third, 0] if address.is_private() => Ok(Self([first, second, third])),
            _ => Err(refuse()),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_chosen_network_is_private_and_collides_with_no_common_default(random: [u8; 32]) {
            let network = Network::choose(&random);
            prop_assert!(network.host(0).is_private());
            for taken in ["10.42.0.0", "10.43.0.0", "10.0.0.0", "10.0.1.0", "10.1.1.0", "10.96.0.0", "10.244.0.0"] {
                let [a, b, ..] = taken.parse::<Ipv4Addr>().unwrap().octets();
                prop_assert!(network.0[..2] != [a, b], "{network} lies in {taken}/16");
            }
        }

        #[test]
        fn the_same_bytes_choose_the_same_network(random: [u8; 32]) {
            prop_assert_eq!(Network::choose(&random), Network::choose(&random));
        }

        #[test]
        fn a_network_reads_back_what_it_prints(random: [u8; 32]) {
            let network = Network::choose(&random);
            prop_assert_eq!(network.to_string().parse::<Network>().unwrap(), network);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert_eq!(network.to_string(), text);
            }
        }
    }

    #[test]
    fn too_few_bytes_still_give_a_network() {
        assert_eq!(Network::choose(&[]).to_string(), "10.213.77.0/24");
    }

    #[test]
    fn public_networks_and_other_prefixes_are_refused() {
        for text in ["8.8.8.0/24", "10.1.2.3/24", "10.1.2.0/16", "10.1.2.0", "", "/24"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
