//! The address of a machine in its owner's network, where no router hands one out. The node's cluster address
//! ([`crate::address`]) stands beside it and is another.
//!
//! Everything here was checked when it was made, wherever it came from: a form, an argument or the file on a
//! node's boot partition.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

/// Where it lies on a node's boot partition, as JSON.
pub const FILE: &str = "cairn/address.json";
/// Longer ones have no room for a network address, a broadcast address, the machine and its gateway; shorter ones are
/// no network of one house.
const PREFIX_LENGTHS: std::ops::RangeInclusive<u8> = 8..=30;
/// resolv.conf(5), `MAXNS`: no more are ever asked.
const MOST_DNS: usize = 3;

/// A machine's address, the way out of its network, and who is asked for names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(into = "Written", try_from = "Written")]
pub struct StaticAddress {
    /// With the length of its network's prefix, such as 192.168.1.21/24.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    address: Ipv4Net,
    #[cfg_attr(feature = "schema", schema(value_type = String, format = Ipv4))]
    gateway: Ipv4Addr,
    /// At most three.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>, required = false, max_items = 3))]
    dns: Vec<Ipv4Addr>,
}

/// As text, unchecked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    address: String,
    gateway: String,
    #[serde(default)]
    dns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaticAddressError {
    #[error("'{0}' is no IPv4 address with the length of its network's prefix, such as 192.168.1.21/24")]
    NoAddress(String),
    #[error("{what} '{text}' is no IPv4 address, such as 192.168.1.1")]
    NotOne { what: &'static str, text: String },
    #[error(
        "the prefix of {0} is {len} bits long, and a network at home has 8 to 30, mostly 24",
        len = .0.prefix_len()
    )]
    Prefix(Ipv4Net),
    #[error("{0} is the network's own address; give the machine another one")]
    NetworkAddress(Ipv4Net),
    #[error("{0} is the network's broadcast address; give the machine another one")]
    Broadcast(Ipv4Net),
    #[error("{what} {address} can't be one machine's address in a network: it is {kind}")]
    Special { what: &'static str, address: Ipv4Addr, kind: &'static str },
    #[error("the gateway {gateway} is not in the network {network}, so the machine could not reach it")]
    Elsewhere { gateway: Ipv4Addr, network: Ipv4Net },
    #[error("the gateway {0} is the network's own or its broadcast address; give the router's")]
    GatewayIsNoHost(Ipv4Addr),
    #[error("the gateway {0} is the machine's own address; give the router's")]
    GatewayIsSelf(Ipv4Addr),
    #[error("a machine asks at most {MOST_DNS} DNS servers, and these are {0}")]
    ManyDns(usize),
    #[error("a static address needs {0} as well")]
    Missing(&'static str),
}

impl StaticAddress {
    /// # Errors
    /// What of it can't be.
    pub fn new(address: &str, gateway: &str, dns: &[String]) -> Result<Self, StaticAddressError> {
        let no_address = || StaticAddressError::NoAddress(crate::text::one_line(address));
        let net: Ipv4Net = address.parse().map_err(|_| no_address())?;
        // Zeros in front are octal to some programs.
        if net.to_string() != address {
            return Err(no_address());
        }
        ordinary("the address", net.addr())?;
        if !PREFIX_LENGTHS.contains(&net.prefix_len()) {
            return Err(StaticAddressError::Prefix(net));
        }
        if net.addr() == net.network() {
            return Err(StaticAddressError::NetworkAddress(net));
        }
        if net.addr() == net.broadcast() {
            return Err(StaticAddressError::Broadcast(net));
        }
        let gateway = host("the gateway", gateway)?;
        if !net.contains(&gateway) {
            return Err(StaticAddressError::Elsewhere { gateway, network: net.trunc() });
        }
        if gateway == net.network() || gateway == net.broadcast() {
            return Err(StaticAddressError::GatewayIsNoHost(gateway));
        }
        if gateway == net.addr() {
            return Err(StaticAddressError::GatewayIsSelf(gateway));
        }
        if dns.len() > MOST_DNS {
            return Err(StaticAddressError::ManyDns(dns.len()));
        }
        let dns = dns.iter().map(|text| host("the DNS server", text)).collect::<Result<_, _>>()?;
        Ok(Self { address: net, gateway, dns })
    }

    /// What was filled in on a form: nothing at all is none, a part of it is a mistake. DNS servers stand in one
    /// field, with spaces or commas between them.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn filled_in(address: &str, gateway: &str, dns: &str) -> Result<Option<Self>, StaticAddressError> {
        let (address, gateway) = (address.trim(), gateway.trim());
        let between = |c: char| c == ',' || c.is_whitespace();
        let dns: Vec<String> =
            dns.split(between).filter(|part| !part.is_empty()).map(str::to_owned).collect();
        match (address.is_empty(), gateway.is_empty()) {
            (true, true) if dns.is_empty() => Ok(None),
            (true, _) => Err(StaticAddressError::Missing("the machine's address")),
            (false, true) => Err(StaticAddressError::Missing("its gateway")),
            (false, false) => Self::new(address, gateway, &dns).map(Some),
        }
    }

    pub fn address(&self) -> Ipv4Addr {
        self.address.addr()
    }

    /// In bits.
    pub fn prefix_length(&self) -> u8 {
        self.address.prefix_len()
    }

    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    pub fn dns(&self) -> &[Ipv4Addr] {
        &self.dns
    }

    /// Whether these addresses are of this network, too.
    pub fn meets(&self, network: crate::address::Network) -> bool {
        network.contains(self.address.addr()) || self.address.contains(&network.host(0))
    }
}

impl fmt::Display for StaticAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, gateway, dns: _ } = self;
        write!(f, "{address} by way of {gateway}")
    }
}

impl TryFrom<Written> for StaticAddress {
    type Error = StaticAddressError;

    fn try_from(Written { address, gateway, dns }: Written) -> Result<Self, Self::Error> {
        Self::new(&address, &gateway, &dns)
    }
}

impl From<StaticAddress> for Written {
    fn from(StaticAddress { address, gateway, dns }: StaticAddress) -> Self {
        let dns = dns.iter().map(Ipv4Addr::to_string).collect();
        Self { address: address.to_string(), gateway: gateway.to_string(), dns }
    }
}

fn host(what: &'static str, text: &str) -> Result<Ipv4Addr, StaticAddressError> {
    let not_one = |_| StaticAddressError::NotOne { what, text: crate::text::one_line(text) };
    ordinary(what, text.parse().map_err(not_one)?)
}

/// RFC 6890: blocks from which no machine has an address that others reach it by.
fn ordinary(what: &'static str, address: Ipv4Addr) -> Result<Ipv4Addr, StaticAddressError> {
    let [first, ..] = address.octets();
    let kind = match first {
        0 => "of \"this network\", 0.0.0.0/8",
        127 => "the machine itself (loopback)",
        224..=239 => "multicast",
        240..=255 => "reserved, or broadcast",
        _ if address.is_link_local() => "one that machines choose by themselves (169.254.0.0/16)",
        _ => return Ok(address),
    };
    Err(StaticAddressError::Special { what, address, kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(address: &str, gateway: &str) -> Result<StaticAddress, StaticAddressError> {
        StaticAddress::new(address, gateway, &[])
    }

    #[test]
    fn an_address_that_can_not_be_is_refused_with_the_reason() {
        for (address, gateway, reason) in [
            ("192.168.1.21", "192.168.1.1", "no IPv4 address with the length"),
            ("192.168.1.021/24", "192.168.1.1", "no IPv4 address with the length"),
            ("192.168.1.21/024", "192.168.1.1", "no IPv4 address with the length"),
            ("192.168.1.21/33", "192.168.1.1", "no IPv4 address with the length"),
            ("fe80::1/64", "192.168.1.1", "no IPv4 address with the length"),
            ("192.168.1.21/31", "192.168.1.20", "8 to 30"),
            ("192.168.1.21/7", "192.168.1.20", "8 to 30"),
            ("192.168.1.0/24", "192.168.1.1", "network's own address"),
            ("192.168.1.255/24", "192.168.1.1", "broadcast address"),
            ("239.1.1.1/24", "239.1.1.2", "multicast"),
            ("127.0.0.2/8", "127.0.0.1", "loopback"),
            ("169.254.1.2/16", "169.254.1.1", "by themselves"),
            ("0.1.2.3/8", "0.0.0.1", "this network"),
            ("255.255.255.254/24", "192.168.1.1", "reserved"),
            ("192.168.1.21/24", "192.168.2.1", "not in the network 192.168.1.0/24"),
            ("192.168.1.21/24", "192.168.1.255", "give the router's"),
            ("192.168.1.21/24", "192.168.1.0", "give the router's"),
            ("192.168.1.21/24", "192.168.1.21", "machine's own address"),
            ("192.168.1.21/24", "192.168.1.1/24", "the gateway '192.168.1.1/24' is no IPv4 address"),
            ("192.168.1.21/24", "router", "the gateway 'router' is no IPv4 address"),
            ("192.168.1.21/24", "224.0.0.1", "the gateway 224.0.0.1 can't be"),
        ] {
            let error = of(address, gateway).unwrap_err().to_string();
            assert!(error.contains(reason), "{address} {gateway}: {error}");
        }
        let dns = |servers: &[&str]| {
            let servers: Vec<String> = servers.iter().map(|text| (*text).to_owned()).collect();
            StaticAddress::new("192.168.1.21/24", "192.168.1.1", &servers)
        };
        assert_eq!(dns(&["1.1.1.1"; 4]), Err(StaticAddressError::ManyDns(4)));
        assert!(dns(&["127.0.0.53"]).unwrap_err().to_string().contains("the DNS server 127.0.0.53 can't be"));
        assert!(dns(&["one.one"]).is_err());
        let fine = dns(&["192.168.1.1", "9.9.9.9"]).unwrap();
        assert_eq!((fine.address().to_string().as_str(), fine.prefix_length()), ("192.168.1.21", 24));
        assert_eq!(fine.dns().len(), 2);
    }

    #[test]
    fn a_form_that_was_left_empty_is_none_and_half_a_form_says_what_is_missing() {
        let form = StaticAddress::filled_in;
        assert_eq!(form(" ", "", " , "), Ok(None));
        assert_eq!(form("192.168.1.21/24", "", ""), Err(StaticAddressError::Missing("its gateway")));
        for (gateway, dns) in [("192.168.1.1", ""), ("", "192.168.1.1")] {
            assert_eq!(form("", gateway, dns), Err(StaticAddressError::Missing("the machine's address")));
        }
        let full = form(" 192.168.1.21/24", "192.168.1.1 ", "192.168.1.1, 9.9.9.9").unwrap().unwrap();
        assert_eq!(full.dns(), [Ipv4Addr::new(192, 168, 1, 1), Ipv4Addr::new(9, 9, 9, 9)]);
    }

    #[test]
    fn an_address_of_the_clusters_own_network_is_told_from_another() {
        let network = "10.87.33.0/24".parse().unwrap();
        assert!(of("10.87.33.7/24", "10.87.33.1").unwrap().meets(network));
        assert!(of("10.1.2.3/8", "10.1.2.1").unwrap().meets(network));
        assert!(
            of("10.87.33.7/30", "10.87.33.6").is_err_and(|error| error.to_string().contains("broadcast"))
        );
        assert!(!of("10.87.34.7/24", "10.87.34.1").unwrap().meets(network));
    }

    #[test]
    fn a_file_of_another_form_is_refused() {
        let read = serde_json::from_str::<StaticAddress>;
        assert!(read(r#"{"address":"192.168.1.21/24","gateway":"192.168.1.1"}"#).is_ok());
        for other in [
            r#"{"address":"192.168.1.21/24"}"#,
            r#"{"address":"192.168.1.21/24","gateway":"192.168.2.1"}"#,
            r#"{"address":"192.168.1.21/24","gateway":"192.168.1.1","vlan":7}"#,
        ] {
            assert!(read(other).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_can_be_used_and_what_was_written_down_is_read_again(
            address: u32, length in 0_u8..=32, host: u32, dns in prop::collection::vec(any::<u32>(), 0..4),
        ) {
            let address = Ipv4Net::new(address.into(), length).unwrap();
            // a gateway beside it more often than anywhere
            let gateway = Ipv4Addr::from(u32::from(address.network()) | (host & u32::from(address.hostmask())));
            let dns: Vec<String> = dns.into_iter().map(|dns| Ipv4Addr::from(dns).to_string()).collect();
            if let Ok(taken) = StaticAddress::new(&address.to_string(), &gateway.to_string(), &dns) {
                prop_assert!(address.contains(&gateway) && gateway != address.network() && gateway != address.broadcast());
                for ip in [taken.address(), taken.gateway()].iter().chain(taken.dns()) {
                    prop_assert!(!ip.is_multicast() && !ip.is_loopback() && !ip.is_broadcast());
                    prop_assert!(!ip.is_unspecified() && !ip.is_link_local());
                }
                prop_assert!(![address.network(), address.broadcast(), taken.gateway()].contains(&taken.address()));
                let text = serde_json::to_string(&taken).unwrap();
                prop_assert_eq!(serde_json::from_str::<StaticAddress>(&text).unwrap(), taken);
            }
        }

        #[test]
        fn no_text_makes_reading_panic(text in ".*", digits in "[0-9./, ]{0,24}") {
            let _ = serde_json::from_str::<StaticAddress>(&text);
            for text in [text, digits] {
                let _ = StaticAddress::filled_in(&text, &text, &text);
            }
        }
    }
}
