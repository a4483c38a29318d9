//! Which way onto the wire fits here, in one sentence. A pure function.

use super::types::Mode;
use super::{BootView, Rival, Way};
use cairn_host::interface::{Interface, Kind};
use cairn_host::sight::Sight;

pub struct Seen<'a> {
    pub sight: Sight,
    pub netboot: &'a BootView,
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
    let mode = match seen.netboot.way() {
        Some(Way::HomeNetwork) => Mode::HomeNetwork,
        Some(Way::OwnCable) | None => Mode::OwnCable,
    };
    let refused = match seen.netboot {
        BootView::Starting { .. }
        | BootView::Running { .. }
        | BootView::Refused { way: Way::HomeNetwork, .. } => {
            return (mode, seen.netboot.sentence());
        }
        BootView::Refused { interface, way: Way::OwnCable, .. } => Some(interface.as_str()),
        BootView::Off => None,
    };
    match (home(seen, refused), refused) {
        (Some(Home { interface, router }), _) => {
            let sentence = format!(
                "{interface} leads to a home network, where {router} hands out the addresses: start the manager with `--home-network {interface}`, and machines there start from the network beside it. They also join from a prepared medium, or over a cable of their own (`--cable INTERFACE`)."
            );
            (Mode::HomeNetwork, sentence)
        }
        (None, Some(_)) => (Mode::OwnCable, seen.netboot.sentence()),
        (None, None) => match seen.interfaces.iter().find(|it| it.kind == Kind::Wired && it.up) {
            Some(Interface { name, .. }) => (
                Mode::OwnCable,
                format!("{name} looks like a cable of its own, without a router: start the manager with `--cable {name}`, and machines on it start from the network (or with `--netboot {name}`, which looks first)."),
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
        let (off, refused) = (
            BootView::Off,
            BootView::Refused { interface: "eth1".into(), way: Way::OwnCable, reason: "no cable".into() },
        );
        let running = |way| BootView::Running { interface: "eth1".into(), way, base: String::new() };
        let (running, beside) = (running(Way::OwnCable), running(Way::HomeNetwork));
        let looking = BootView::Starting { interface: "eth1".into(), way: None };
        let no_address = BootView::Refused {
            interface: "eth1".into(),
            way: Way::HomeNetwork,
            reason: "no address".into(),
        };
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
            (
                Sight::Clear,
                &off,
                vec![],
                vec![wifi, card.clone()],
                Mode::HomeNetwork,
                "`--home-network wlan0`",
            ),
            (Sight::Clear, &off, vec![], vec![docker, card], Mode::OwnCable, "--cable eth1"),
            (Sight::Clear, &off, vec![], vec![unplugged], Mode::None, "plugged in"),
            (
                Sight::Clear,
                &beside,
                vec![rival("eth1")],
                vec![],
                Mode::HomeNetwork,
                "beside the router: machines",
            ),
            (Sight::Clear, &no_address, vec![rival("eth1")], vec![], Mode::HomeNetwork, "no address"),
            (Sight::Clear, &looking, vec![], vec![], Mode::OwnCable, "what kind of network eth1"),
        ];
        for (sight, netboot, rivals, interfaces, mode, words) in cases {
            let (found, sentence) = fit(&Seen { sight, netboot, rivals: &rivals, interfaces: &interfaces });
            assert_eq!(found, mode, "{sentence}");
            assert!(sentence.contains(words) && sentence.ends_with('.'), "{sentence}");
        }
    }
}
