//! Who is on the network: looked for when the owner asks, one scan at a time.

use super::report::{Cards, cards, server};
use super::types::{FoundMachine, ScanReport, ScanRequest};
use super::{BootView, Rival, Way};
use crate::core::{Core, unix_now};
use cairn_host::interface::{self, Interface, Kind};
use cairn_host::scan::{self, Neighbour, ScanError};
use cairn_netboot::probe::Probe;
use cairn_netboot::{ForeignServer, Mac};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// dnsmasq pings an address for 3 s before it offers it.
const DHCP_PATIENCE: Duration = Duration::from_secs(4);

/// Why nothing was scanned.
#[derive(Debug, thiserror::Error)]
pub enum ScanRefused {
    #[error("a scan is running already: wait until it is done, a few seconds")]
    Running,
    #[error("there is no network interface '{0}' here: `cairn network` lists those that there are")]
    NoInterface(String),
    #[error("'{0}' is not connected: plug its cable in, or choose another interface")]
    NotConnected(String),
    #[error("no interface of this machine is connected to a network with IPv4 addresses")]
    NoNetwork,
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error("the interfaces of this machine could not be listed")]
    Interfaces(#[source] std::io::Error),
    #[error("the scan was lost")]
    Lost(#[from] tokio::task::JoinError),
}

/// The one scan, and what the last one found.
#[derive(Debug, Default)]
pub struct Scanner {
    running: tokio::sync::Mutex<()>,
    last: Mutex<Option<ScanReport>>,
}

impl Scanner {
    pub fn last(&self) -> Option<ScanReport> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The interface that was asked for; else one that the manager uses; else the way to the router.
fn choose(all: Vec<Interface>, asked: Option<&str>, chosen: &[String]) -> Result<Interface, ScanRefused> {
    if let Some(name) = asked {
        let found = all.into_iter().find(|it| it.name == name);
        let found = found.ok_or_else(|| ScanRefused::NoInterface(name.chars().take(32).collect()))?;
        return if found.up { Ok(found) } else { Err(ScanRefused::NotConnected(found.name)) };
    }
    let rank = |it: &Interface| {
        let real = matches!(it.kind, Kind::Wired | Kind::Wireless | Kind::Bridge);
        (chosen.contains(&it.name), real && it.gateway.is_some(), real)
    };
    let fitting = all.into_iter().filter(|it| it.up && scan::targets(it).is_ok());
    fitting.max_by_key(rank).ok_or(ScanRefused::NoNetwork)
}

/// Scans, and asks on the same wire for DHCP servers.
///
/// # Errors
/// When another scan runs, or there is nothing to scan.
pub async fn scan(core: &Core, request: &ScanRequest) -> Result<ScanReport, ScanRefused> {
    let _turn = core.scanner.running.try_lock().map_err(|_| ScanRefused::Running)?;
    let all = tokio::task::spawn_blocking(interface::list).await?.map_err(ScanRefused::Interfaces)?;
    let interface = choose(all, request.interface.as_deref(), &core.network().chosen())?;
    let (found, asked) = tokio::join!(scan::scan(&interface), dhcp(core, &interface));
    let (found, now) = (found?, unix_now());
    let mut troubles = Vec::new();
    let mut rivals = Vec::new();
    match asked {
        Ok(None) => core.network().alone(&interface.name),
        Ok(Some(server)) => {
            core.network().heard(&interface.name, server, now);
            rivals.push(Rival { interface: interface.name.clone(), server, unix_seconds: now });
        }
        Err(error) => troubles.push(format!(
            "Whether a DHCP server is there could not be asked: {error} (it needs root or CAP_NET_RAW)."
        )),
    }
    let report = ScanReport {
        networks: interface.addresses.iter().filter(|it| it.ip.is_ipv4()).map(ToString::to_string).collect(),
        interface: interface.name,
        machines: machines(found, &cards(core), &announced(core)),
        dhcp_servers: rivals.iter().map(|rival| server(rival, now)).collect(),
        troubles,
        unix_seconds: now,
    };
    *core.scanner.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
    Ok(report)
}

/// Another DHCP server, if one answers. On a cable that the manager serves it looks all the time.
pub(super) async fn dhcp(core: &Core, interface: &Interface) -> std::io::Result<Option<ForeignServer>> {
    let served = matches!(
        &core.network().netboot,
        BootView::Running { interface: ours, way: Way::OwnCable, .. } if *ours == interface.name
    );
    let mac: Option<Mac> = interface.mac.as_ref().and_then(|mac| mac.parse().ok());
    match mac.filter(|_| !served) {
        Some(mac) => Probe::open(&interface.name, mac, Ipv4Addr::UNSPECIFIED)?.search(DHCP_PATIENCE).await,
        None => Ok(None),
    }
}

/// Addresses at which agents announced themselves, with the node that each says it is.
fn announced(core: &Core) -> BTreeMap<Ipv4Addr, Option<String>> {
    let registry = core.registry();
    let heard = registry.iter().filter(|machine| machine.announced).map(|machine| &machine.hint);
    heard.flat_map(|hint| hint.addresses.iter().map(|address| (*address, hint.node.clone()))).collect()
}

fn machines(
    found: Vec<Neighbour>,
    cards: &Cards,
    announced: &BTreeMap<Ipv4Addr, Option<String>>,
) -> Vec<FoundMachine> {
    let machine = |Neighbour { address, mac, name }| {
        let known = cards.get(&mac).or_else(|| announced.get(&address));
        FoundMachine { runs_cairn: known.is_some(), node: known.cloned().flatten(), address, mac, name }
    };
    found.into_iter().map(machine).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_host::interface::Address;

    fn interface(name: &str, kind: Kind, up: bool, gateway: bool) -> Interface {
        let gateway = gateway.then_some([192, 168, 1, 1].into());
        let addresses = vec![Address { ip: [192, 168, 1, 5].into(), prefix: 24 }];
        Interface { name: name.into(), kind, up, mac: None, addresses, gateway }
    }

    #[test]
    fn the_interface_that_is_meant_is_scanned() {
        let all = || {
            vec![
                interface("docker0", Kind::Docker, true, false),
                interface("eth0", Kind::Wired, true, false),
                interface("eth1", Kind::Wired, false, true),
                interface("wlan0", Kind::Wireless, true, true),
            ]
        };
        let name = |asked, chosen: &[String]| choose(all(), asked, chosen).map(|it| it.name);
        assert_eq!(name(None, &[]).unwrap(), "wlan0");
        assert_eq!(name(None, &["eth0".into()]).unwrap(), "eth0");
        assert_eq!(name(Some("docker0"), &[]).unwrap(), "docker0");
        assert!(matches!(name(Some("eth1"), &[]), Err(ScanRefused::NotConnected(_))));
        assert!(matches!(name(Some("../eth0"), &[]), Err(ScanRefused::NoInterface(_))));
        assert!(matches!(choose(Vec::new(), None, &[]), Err(ScanRefused::NoNetwork)));
    }

    #[test]
    fn a_node_is_told_from_a_printer() {
        let neighbour =
            |last, mac: &str| Neighbour { address: [10, 0, 0, last].into(), mac: mac.into(), name: None };
        let cards = Cards::from([("a".to_owned(), Some("etcd-1".to_owned()))]);
        let announced = BTreeMap::from([(Ipv4Addr::new(10, 0, 0, 2), None)]);
        let found =
            machines(vec![neighbour(1, "a"), neighbour(2, "b"), neighbour(3, "c")], &cards, &announced);
        let seen: Vec<_> = found.iter().map(|it| (it.runs_cairn, it.node.as_deref())).collect();
        assert_eq!(seen, [(true, Some("etcd-1")), (true, None), (false, None)]);
    }
}
