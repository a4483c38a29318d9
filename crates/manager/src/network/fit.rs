//! Which way onto the wire fits here, in one sentence. A pure function.

use super::types::Mode;
use super::{CableView, Rival};
use cairn_host::interface::{Interface, Kind};
use cairn_host::sight::Sight;

pub struct Seen<'a> {
    pub sight: Sight,
    pub cable: &'a CableView,
    pub rivals: &'a [Rival],
    pub interfaces: &'a [Interface],
}

/// A network with a router in it, as far as can be told without asking.
struct Home<'a> {
    interface: &'a str,
    router: String,
}

fn home<'a>(seen: &Seen<'a>, only: Option<&str>) -> Option<Home<'a>> {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let rival = seen.rivals.iter().find(|rival| wanted(&rival.interface));
    if let Some(rival) = rival {
        return Some(Home { interface: &rival.interface, router: rival.server.address.to_string() });
    }
    // Docker's and other virtual networks have default routes too, but no machines.
    let real =
        |it: &&Interface| matches!(it.kind, Kind::Wired | Kind::Wireless | Kind::Bridge) && wanted(&it.name);
    let found = seen.interfaces.iter().filter(real).find_map(|it| Some((it, it.gateway?)));
    found.map(|(it, gateway)| Home { interface: &it.name, router: gateway.to_string() })
}

pub fn fit(seen: &Seen<'_>) -> (Mode, String) {
    if seen.sight.words().is_some() {
        let sentence =
            "Your network is hidden from the manager here: start each machine from a prepared medium.";
        return (Mode::PreparedMedium, sentence.to_owned());
    }
    let refused = match seen.cable {
        CableView::Starting { .. } | CableView::Running { .. } => {
            return (Mode::OwnCable, seen.cable.sentence());
        }
        CableView::Refused { interface, .. } => Some(interface.as_str()),
        CableView::Off => None,
    };
    match (home(seen, refused), refused) {
        (Some(Home { interface, router }), _) => {
            let sentence = format!(
                "{interface} leads to a home network, where {router} hands out the addresses: nodes are found there, and new machines join from a prepared medium, or over a cable of their own (`cairn manager --cable INTERFACE`)."
            );
            (Mode::HomeNetwork, sentence)
        }
        (None, Some(_)) => (Mode::OwnCable, seen.cable.sentence()),
        (None, None) => match seen.interfaces.iter().find(|it| it.kind == Kind::Wired && it.up) {
            Some(Interface { name, .. }) => (
                Mode::OwnCable,
                format!("{name} looks like a cable of its own, without a router: start the manager with `--cable {name}`, and machines on it start from the network."),
            ),
            None => (
                Mode::None,
                "No network is plugged in here: connect this machine, or prepare a medium for each node and connect it later.".to_owned(),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_netboot::ForeignServer;

    fn interface(name: &str, kind: Kind, up: bool, gateway: bool) -> Interface {
        let gateway = gateway.then_some([192, 168, 1, 1].into());
        Interface { name: name.into(), kind, up, mac: None, addresses: Vec::new(), gateway }
    }

    #[test]
    fn each_network_is_told_in_one_sentence() {
        let rival = |interface: &str| Rival {
            interface: interface.into(),
            server: ForeignServer { address: [10, 1, 1, 1].into(), mac: None },
            unix_seconds: 0,
        };
        let (off, refused) =
            (CableView::Off, CableView::Refused { interface: "eth1".into(), reason: "no cable".into() });
        let running = CableView::Running { interface: "eth1".into(), base: String::new() };
        let (card, wifi) =
            (interface("eth1", Kind::Wired, true, false), interface("wlan0", Kind::Wireless, true, true));
        let docker = interface("docker0", Kind::Docker, true, true);
        let unplugged = interface("eth1", Kind::Wired, false, false);
        let cases = [
            (Sight::DockerDesktop, &off, vec![], vec![card.clone()], Mode::PreparedMedium, "prepared medium"),
            (
                Sight::Clear,
                &running,
                vec![],
                vec![wifi.clone(), card.clone()],
                Mode::OwnCable,
                "runs on eth1",
            ),
            (Sight::Clear, &refused, vec![rival("eth1")], vec![], Mode::HomeNetwork, "10.1.1.1 hands out"),
            (Sight::Clear, &refused, vec![], vec![wifi.clone(), card.clone()], Mode::OwnCable, "no cable"),
            (Sight::Clear, &off, vec![], vec![wifi, card.clone()], Mode::HomeNetwork, "wlan0 leads"),
            (Sight::Clear, &off, vec![], vec![docker, card], Mode::OwnCable, "--cable eth1"),
            (Sight::Clear, &off, vec![], vec![unplugged], Mode::None, "plugged in"),
        ];
        for (sight, cable, rivals, interfaces, mode, words) in cases {
            let (found, sentence) = fit(&Seen { sight, cable, rivals: &rivals, interfaces: &interfaces });
            assert_eq!(found, mode, "{sentence}");
            assert!(sentence.contains(words) && sentence.ends_with('.'), "{sentence}");
        }
    }
}
