//! Puts together what is known of the network.

use super::fit::{self, fit};
use super::types::{
    DhcpServer, FetchStatus, InterfaceStatus, NetworkReport, PortStatus, StoryLine, WireMachine,
};
use super::{NetworkView, Rival, Way};
use crate::core::{Core, unix_now};
use cairn_host::interface::{self, Interface};
use cairn_host::port::{self, Holder, Protocol};
use cairn_host::sight::{self, Sight};
use cairn_netboot::{Arch, HTTP_PORT, MachineStory, Stage, diagnose};
use std::collections::BTreeMap;

/// What network boot needs on this machine. Port 4011 is PXE's own, beside a router's DHCP.
const PORTS: [(Protocol, u16, &str); 4] = [
    (Protocol::Udp, 67, "addresses (DHCP)"),
    (Protocol::Udp, 69, "boot files (TFTP)"),
    (Protocol::Udp, 4011, "boot answers beside a router (proxy DHCP)"),
    (Protocol::Tcp, HTTP_PORT, "boot files and the system (HTTP)"),
];
/// Lines of a machine's story that are shown.
const LINES: usize = 20;

/// What this machine showed.
struct Host {
    sight: Sight,
    interfaces: Vec<Interface>,
    /// In the order of [`PORTS`].
    holders: Vec<Vec<Holder>>,
}

/// Whose network card this is, by what its agent said.
pub(super) type Cards = BTreeMap<String, Option<String>>;

impl Host {
    fn look(chosen: &[String]) -> Self {
        let interfaces = interface::list().unwrap_or_default();
        let sight = sight::sight(&sight::kernel_release(), &interfaces, chosen);
        let holders = port::holders(&PORTS.map(|(protocol, port, _)| (protocol, port)));
        Self { sight, interfaces, holders }
    }
}

/// The report of this moment.
///
/// # Errors
/// When the task that looks at this machine was lost.
pub async fn look(core: &Core) -> Result<NetworkReport, tokio::task::JoinError> {
    let view = core.network().clone();
    let chosen = view.chosen();
    let host = tokio::task::spawn_blocking(move || Host::look(&chosen)).await?;
    let now = unix_now().saturating_mul(1000);
    let report = report(&view, host, &core.story.machines(), &cards(core), now);
    Ok(NetworkReport { last_scan: core.scanner.last(), ..report })
}

pub(super) fn cards(core: &Core) -> Cards {
    let file = core.book.file();
    // Cards of nodes that have not spoken since the manager started are in the journal.
    let mut cards: Cards = core.book.journal(|journal| {
        journal.macs.iter().map(|(mac, node)| (mac.clone(), Some(node.to_string()))).collect()
    });
    for machine in core.registry().iter() {
        let node = machine.node(file.cluster()).map(|name| name.to_string());
        if let Some(contact) = &machine.contact {
            let interfaces = &contact.description.inventory.interfaces;
            cards.extend(interfaces.iter().map(|it| (it.mac.clone(), node.clone())));
        }
    }
    cards
}

fn report(
    view: &NetworkView,
    host: Host,
    stories: &[MachineStory],
    cards: &Cards,
    now: u64,
) -> NetworkReport {
    let Host { sight, interfaces, holders } = host;
    let seen = fit::Seen { sight, netboot: &view.netboot, rivals: &view.rivals, interfaces: &interfaces };
    let (mode, sentence) = fit(&seen);
    let mut machines: Vec<WireMachine> =
        stories.iter().filter_map(|story| machine(story, cards, now)).collect();
    machines.sort_by_key(|it| it.seconds_ago.unwrap_or(u64::MAX));
    let way = view.netboot.way();
    let ports = PORTS.iter().zip(holders).filter(|((_, port, _), _)| needed(*port, way));
    NetworkReport {
        mode,
        sentence,
        hidden: sight.words().map(|words| format!("{words}.")),
        interfaces: interfaces.into_iter().map(|it| interface(it, view)).collect(),
        dhcp_servers: view.rivals.iter().map(|rival| server(rival, now / 1000)).collect(),
        ports: ports
            .map(|(&(protocol, port, purpose), holders)| PortStatus {
                protocol,
                port,
                purpose: purpose.to_owned(),
                holders,
            })
            .collect(),
        machines,
        last_scan: None,
        troubles: troubles(view),
    }
}

fn troubles(view: &NetworkView) -> Vec<String> {
    let boot = view.boot_troubles.iter().map(|trouble| format!("Network boot: {trouble}."));
    view.address_error.iter().chain(view.deaf.values()).cloned().chain(boot).collect()
}

/// Beside a router nothing is held on port 67, so that whoever holds it is not in the way.
fn needed(port: u16, way: Option<Way>) -> bool {
    match way {
        Some(Way::OwnCable) => port != 4011,
        Some(Way::HomeNetwork) => port != 67,
        None => true,
    }
}

fn interface(interface: Interface, view: &NetworkView) -> InterfaceStatus {
    let Interface { name, kind, up, mac, addresses, gateway } = interface;
    let mut used_for = Vec::new();
    if view.netboot.interface() == Some(name.as_str()) {
        used_for.push("network boot".to_owned());
    }
    if view.interfaces.contains(&name) {
        used_for.push("the cluster's network".to_owned());
    }
    let addresses = addresses.iter().map(ToString::to_string).collect();
    InterfaceStatus { name, kind, up, mac, addresses, gateway, used_for }
}

pub(super) fn server(rival: &Rival, now: u64) -> DhcpServer {
    DhcpServer {
        interface: rival.interface.clone(),
        address: rival.server.address,
        mac: rival.server.mac.map(|mac| mac.to_string()),
        seconds_ago: now.saturating_sub(rival.unix_seconds),
    }
}

fn machine(story: &MachineStory, cards: &Cards, now: u64) -> Option<WireMachine> {
    let found = diagnose(&story.events, now)?;
    let mac = story.machine.to_string();
    let known = cards.get(&mac);
    let node = known.cloned().flatten();
    // What its agent says weighs more than what was seen of its way here: an installed node asks DHCP too.
    let (stage, stuck, diagnosis) = match (known, &node) {
        (None, _) => (found.stage, found.stuck, found.sentence),
        (Some(_), None) => (Stage::Started, false, "It has started Cairn.".to_owned()),
        (Some(_), Some(node)) if found.stuck && found.stage != Stage::AddressOnly => {
            (found.stage, true, format!("{node}: {}", found.sentence))
        }
        (Some(_), Some(node)) => (found.stage, false, format!("It is {node}.")),
    };
    let skip = story.events.len().saturating_sub(LINES);
    let lines = story.events.iter().skip(skip);
    Some(WireMachine {
        mac,
        runs_cairn: known.is_some(),
        node,
        architecture: found.arch.as_ref().map(Arch::to_string),
        seconds_ago: found.last_asked.map(|at| now.saturating_sub(at) / 1000),
        address: found.address,
        fetch: found.transfer.map(|it| FetchStatus {
            file: it.file,
            via: it.via.to_string(),
            bytes: it.bytes,
            size: it.size,
        }),
        stage,
        stuck,
        diagnosis,
        story: lines
            .map(|event| StoryLine { unix_millis: event.unix_millis, text: event.what.to_string() })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_host::interface::Kind;
    use cairn_netboot::dhcp::Kind as Message;
    use cairn_netboot::{Client, Event, ForeignServer, Mac, What};

    const MAC: &str = "52:54:00:00:00:01";

    fn asked(last: u8, at: u64, client: Client) -> MachineStory {
        let mac = Mac([0x52, 0x54, 0, 0, 0, last]);
        let arch = (client == Client::Pxe).then_some(Arch::X64Efi);
        let what = What::DhcpOverheard { message: Message::Discover, client, arch };
        MachineStory {
            machine: mac,
            events: vec![Event { number: 1, unix_millis: at, machine: Some(mac), what }],
        }
    }

    fn host() -> Host {
        let card = Interface {
            name: "eth1".into(),
            kind: Kind::Wired,
            up: true,
            mac: Some(MAC.into()),
            addresses: Vec::new(),
            gateway: None,
        };
        Host { sight: Sight::Clear, interfaces: vec![card], holders: vec![Vec::new(); PORTS.len()] }
    }

    #[test]
    fn machines_that_did_not_start_cairn_are_told_from_nodes_and_the_latest_stands_first() {
        let stories =
            [asked(1, 1000, Client::System), asked(2, 9000, Client::Pxe), asked(3, 5000, Client::System)];
        let cards = Cards::from([(MAC.to_owned(), Some("etcd-1".to_owned()))]);
        let found = report(&NetworkView::default(), host(), &stories, &cards, 10_000).machines;
        let seen: Vec<_> = found.iter().map(|it| (it.seconds_ago, it.runs_cairn, it.stuck)).collect();
        assert_eq!(seen, [(Some(1), false, true), (Some(5), false, true), (Some(9), true, false)]);
        assert_eq!(found[0].architecture.as_deref(), Some("x86-64 UEFI"));
        assert_eq!(found[2].diagnosis, "It is etcd-1.");
        assert!(found[0].story[0].text.contains("where Cairn does not answer"));
    }

    #[test]
    fn only_the_ports_of_the_way_that_is_taken_are_shown() {
        let of = |way| {
            PORTS.iter().map(|(_, port, _)| *port).filter(|port| needed(*port, way)).collect::<Vec<_>>()
        };
        assert_eq!(of(None), [67, 69, 4011, HTTP_PORT]);
        assert_eq!(of(Some(Way::OwnCable)), [67, 69, HTTP_PORT]);
        assert_eq!(of(Some(Way::HomeNetwork)), [69, 4011, HTTP_PORT]);
    }

    #[test]
    fn the_interface_in_use_and_the_other_dhcp_server_are_named() {
        let mut view = NetworkView {
            netboot: super::super::BootView::Refused {
                interface: "eth1".into(),
                way: Way::OwnCable,
                reason: "x".into(),
            },
            interfaces: vec!["eth1".into()],
            ..NetworkView::default()
        };
        let server = |last| ForeignServer { address: [192, 168, 1, last].into(), mac: Some(Mac([2; 6])) };
        view.heard("eth1", server(1), 3);
        view.heard("eth1", server(1), 7);
        (0..100).for_each(|last| view.heard("eth9", server(last), 1));
        view.boot_troubles = vec!["all addresses are in use".into()];
        let found = report(&view, host(), &[], &Cards::new(), 10_000);
        assert_eq!(found.interfaces[0].used_for, ["network boot", "the cluster's network"]);
        assert!(found.sentence.contains("192.168.1.1 hands out"), "{}", found.sentence);
        assert_eq!(found.troubles, ["Network boot: all addresses are in use."]);
        let first = &found.dhcp_servers[0];
        assert_eq!((first.seconds_ago, first.mac.as_deref()), (3, Some("02:02:02:02:02:02")));
        assert!(found.dhcp_servers.len() < 20, "bounded");
    }
}
