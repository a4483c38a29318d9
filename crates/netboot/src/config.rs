//! What a server is to do, and the check that it makes sense.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::files::Files;
use crate::mac::Mac;

/// The TCP port of the HTTP server.
pub const HTTP_PORT: u16 = 4280;

/// The largest pool: a bound on the memory that leases can take, whatever a network sends.
pub(crate) const POOL_LIMIT: u32 = 4096;

/// Everything that [`Server::start`](crate::Server::start) needs to know, apart from the policy.
#[derive(Debug, Clone)]
pub struct Config {
    /// The Linux network interface, by name. Nothing is sent or answered on any other.
    pub interface: String,
    /// Whose network it is.
    pub mode: Mode,
    /// What TFTP and HTTP serve.
    pub files: Files,
    /// The TCP port of the HTTP server, usually [`HTTP_PORT`].
    pub http_port: u16,
    /// How long another DHCP server has time to answer before ours starts. dnsmasq pings an address for
    /// 3 s before it offers it, so less than 4 s overlooks it.
    pub probe_wait: Duration,
    /// How often it is asked again while ours runs; in a home network, how often it is looked whether the
    /// interface still has its address.
    pub probe_every: Duration,
}

impl Config {
    /// Own-cable mode with the usual times and ports.
    pub fn own_cable(interface: impl Into<String>, cable: OwnCable, files: Files) -> Self {
        Self::new(interface, Mode::OwnCable(cable), files)
    }

    /// Home-network mode with the usual times and ports.
    pub fn home_network(interface: impl Into<String>, home: HomeNetwork, files: Files) -> Self {
        Self::new(interface, Mode::HomeNetwork(home), files)
    }

    fn new(interface: impl Into<String>, mode: Mode, files: Files) -> Self {
        Self {
            interface: interface.into(),
            mode,
            files,
            http_port: HTTP_PORT,
            probe_wait: Duration::from_secs(4),
            probe_every: Duration::from_secs(30),
        }
    }
}

/// Whose network the machines are on.
#[derive(Debug, Clone)]
pub enum Mode {
    /// A cable or switch of the machines' own: this server is its only DHCP server.
    OwnCable(OwnCable),
    /// A network where a router hands out the addresses; this server only adds what to boot (proxy DHCP).
    HomeNetwork(HomeNetwork),
}

/// This server's place in a network where a router hands out the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HomeNetwork {
    /// An address that the interface has, from which machines fetch. It is neither given nor taken away.
    pub address: Ipv4Addr,
    /// The length of the network's prefix.
    pub prefix: u8,
}

impl HomeNetwork {
    /// Whether `address` is in this network.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        same_network(self.address, address, self.prefix)
    }
}

fn mask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0))
}

fn same_network(one: Ipv4Addr, other: Ipv4Addr, prefix: u8) -> bool {
    let mask = mask(prefix).to_bits();
    one.to_bits() & mask == other.to_bits() & mask
}

/// The addresses on a cable of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCable {
    /// The address of this server. The interface is given it at start and loses it at stop, unless it
    /// was there before.
    pub address: Ipv4Addr,
    /// The length of the network's prefix, 1 to 30.
    pub prefix: u8,
    /// The first address that is handed out.
    pub first: Ipv4Addr,
    /// The last address that is handed out.
    pub last: Ipv4Addr,
    /// The default route to offer; with `None` no default route is ever offered.
    pub router: Option<Ipv4Addr>,
    /// How long an address is lent. Short, because a machine that is moved to another network, or whose
    /// server had to stop, should soon ask anew.
    pub lease: Duration,
    /// Addresses that are kept for a card each, in the range that is handed out or outside.
    pub reservations: Vec<Reservation>,
    /// Where leases outlive a restart; without it, a server that starts anew learns them from what clients ask for.
    pub lease_file: Option<PathBuf>,
}

/// An address that only one machine gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// The machine's card.
    pub mac: Mac,
    /// The address, and no other is given to it.
    pub address: Ipv4Addr,
}

/// A configuration that can't work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The prefix leaves no room for machines.
    #[error("a network prefix of /{0} has no room for machines: use one from /1 to /30, usually /24")]
    Prefix(u8),
    /// The pool is empty, backwards, too large, or not inside the network.
    #[error(
        "the addresses {first} to {last} can't be handed out on {address}/{prefix}: they have to be in this network, in order, at most {POOL_LIMIT}, and not its first or last one"
    )]
    Pool {
        /// First of the pool.
        first: Ipv4Addr,
        /// Last of the pool.
        last: Ipv4Addr,
        /// The server's address.
        address: Ipv4Addr,
        /// Its prefix.
        prefix: u8,
    },
    /// The server's own address would be handed out.
    #[error("the server's own address {0} lies among those that it hands out: move one of them")]
    OwnAddress(Ipv4Addr),
    /// Leases too short to be renewed.
    #[error("a lease of {0:?} is too short to be renewed in time: use at least 60 s")]
    Lease(Duration),
    /// A reserved address that can't be given.
    #[error(
        "{address} can't be reserved for {mac}: it has to be in this network, and not its first or last address or the server's own"
    )]
    Reservation {
        /// Whose.
        mac: Mac,
        /// Which one.
        address: Ipv4Addr,
    },
    /// Two reservations that contradict each other.
    #[error("{address} is reserved for {mac}, and another reservation has the same address or card")]
    ReservedTwice {
        /// Whose.
        mac: Mac,
        /// Which one.
        address: Ipv4Addr,
    },
    /// More reservations than the leases' memory is made for.
    #[error("{0} addresses are reserved: at most {POOL_LIMIT} can be")]
    Reservations(usize),
}

impl OwnCable {
    /// The network `a.b.c.0/24` of `address`, handing out .100 to .199 for ten minutes, without a router.
    pub fn slash24(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        Self {
            address,
            prefix: 24,
            first: Ipv4Addr::new(a, b, c, 100),
            last: Ipv4Addr::new(a, b, c, 199),
            router: None,
            lease: Duration::from_secs(600),
            reservations: Vec::new(),
            lease_file: None,
        }
    }

    /// The network's mask.
    pub fn mask(&self) -> Ipv4Addr {
        mask(self.prefix)
    }

    /// Whether `address` is in this network.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        same_network(self.address, address, self.prefix)
    }

    /// Refuses what can't work.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(1..=30).contains(&self.prefix) {
            return Err(ConfigError::Prefix(self.prefix));
        }
        let (first, last) = (self.first.to_bits(), self.last.to_bits());
        let host = !self.mask().to_bits();
        let usable = |bits: u32| bits & host != 0 && bits & host != host;
        let inside = self.contains(self.first) && self.contains(self.last) && usable(first) && usable(last);
        if !inside || first > last || last - first >= POOL_LIMIT {
            let Self { address, prefix, first, last, .. } = *self;
            return Err(ConfigError::Pool { first, last, address, prefix });
        }
        if (first..=last).contains(&self.address.to_bits()) {
            return Err(ConfigError::OwnAddress(self.address));
        }
        if self.lease < Duration::from_secs(60) {
            return Err(ConfigError::Lease(self.lease));
        }
        let limit = usize::try_from(POOL_LIMIT).unwrap_or(usize::MAX);
        if self.reservations.len() > limit {
            return Err(ConfigError::Reservations(self.reservations.len()));
        }
        let (mut cards, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for &Reservation { mac, address } in &self.reservations {
            if !self.contains(address) || !usable(address.to_bits()) || address == self.address {
                return Err(ConfigError::Reservation { mac, address });
            }
            if !cards.insert(mac) || !addresses.insert(address) {
                return Err(ConfigError::ReservedTwice { mac, address });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cable() -> OwnCable {
        OwnCable::slash24(Ipv4Addr::new(10, 77, 0, 1))
    }

    #[test]
    fn the_usual_network_is_accepted() {
        assert_eq!(cable().check(), Ok(()));
        assert_eq!(cable().mask(), Ipv4Addr::new(255, 255, 255, 0));
    }

    #[test]
    fn a_pool_that_cannot_be_handed_out_is_refused() {
        let outside = OwnCable { last: Ipv4Addr::new(10, 77, 1, 9), ..cable() };
        let backwards = OwnCable { first: Ipv4Addr::new(10, 77, 0, 200), ..cable() };
        let broadcast = OwnCable { last: Ipv4Addr::new(10, 77, 0, 255), ..cable() };
        for wrong in [outside, backwards, broadcast] {
            assert!(matches!(wrong.check(), Err(ConfigError::Pool { .. })), "{wrong:?}");
        }
        let own = OwnCable { first: Ipv4Addr::new(10, 77, 0, 1), ..cable() };
        assert_eq!(own.check(), Err(ConfigError::OwnAddress(own.address)));
        assert_eq!(OwnCable { prefix: 31, ..cable() }.check(), Err(ConfigError::Prefix(31)));
    }

    #[test]
    fn a_reservation_that_cannot_be_kept_is_refused() {
        let reserve = |all: &[(u8, [u8; 4])]| {
            let one = |&(last, address): &(u8, [u8; 4])| Reservation {
                mac: Mac([2, 0, 0, 0, 0, last]),
                address: address.into(),
            };
            OwnCable { reservations: all.iter().map(one).collect(), ..cable() }.check()
        };
        assert_eq!(reserve(&[(1, [10, 77, 0, 20]), (2, [10, 77, 0, 120])]), Ok(()));
        for wrong in [[10, 77, 1, 20], [10, 77, 0, 0], [10, 77, 0, 255], [10, 77, 0, 1]] {
            assert!(matches!(reserve(&[(1, wrong)]), Err(ConfigError::Reservation { .. })), "{wrong:?}");
        }
        for twice in [(1, [10, 77, 0, 21]), (2, [10, 77, 0, 20])] {
            let refused = reserve(&[(1, [10, 77, 0, 20]), twice]);
            assert!(matches!(refused, Err(ConfigError::ReservedTwice { .. })), "{twice:?}");
        }
    }
}
