//! Whether the owner's network is to be seen from here at all.

use crate::interface::{Interface, Kind};
use serde::{Deserialize, Serialize};

/// What stands between this program and the network that the machines are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// Nothing.
    Clear,
    /// Docker Desktop runs containers in a virtual machine with a network of its own, `--net=host` or not.
    DockerDesktop,
    /// Windows' subsystem for Linux is such a virtual machine too.
    Wsl,
    /// A container with a network of its own.
    Container,
}

/// `release` is the kernel's (`uname -r`); `chosen` are the interfaces that the owner named.
pub fn sight(release: &str, interfaces: &[Interface], chosen: &[String]) -> Sight {
    let release = release.to_ascii_lowercase();
    if release.contains("linuxkit") {
        return Sight::DockerDesktop;
    }
    if release.contains("microsoft") {
        return Sight::Wsl;
    }
    // A machine has at least one card, or the owner knows which virtual interface stands for it.
    let hardware = interfaces.iter().any(|it| matches!(it.kind, Kind::Wired | Kind::Wireless));
    let bridged = interfaces.iter().any(|it| it.kind == Kind::Virtual && it.gateway.is_some());
    match hardware || !chosen.is_empty() || !bridged {
        true => Sight::Clear,
        false => Sight::Container,
    }
}

impl Sight {
    /// What that means and what to do; nothing when the sight is clear.
    pub fn words(self) -> Option<&'static str> {
        match self {
            Self::Clear => None,
            Self::DockerDesktop => Some(
                "This is Docker Desktop: its virtual machine hides your network, so machines can't be found or started over it. Prepare a medium (stick or card) for each machine, or run the manager on a Linux machine",
            ),
            Self::Wsl => Some(
                "This is the Linux inside Windows (WSL): its virtual machine hides your network, so machines can't be found or started over it. Prepare a medium (stick or card) for each machine, or run the manager on a Linux machine",
            ),
            Self::Container => Some(
                "This container has a network of its own, which hides yours: start it with `--net=host`. Without that, prepare a medium (stick or card) for each machine",
            ),
        }
    }
}

/// The kernel's release, empty if it does not say.
pub fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(kind: Kind, gateway: bool) -> Interface {
        let gateway = gateway.then_some([172, 17, 0, 1].into());
        Interface { name: "eth0".into(), kind, up: true, mac: None, addresses: Vec::new(), gateway }
    }

    #[test]
    fn a_hidden_network_is_told_from_one_that_is_merely_not_plugged_in() {
        let (card, end) = (interface(Kind::Wired, true), interface(Kind::Virtual, true));
        let lab = interface(Kind::Virtual, false);
        let cases = [
            ("6.1.0-32-amd64", vec![card.clone()], vec![], Sight::Clear),
            ("6.6.87.2-linuxkit", vec![card.clone()], vec![], Sight::DockerDesktop),
            ("6.10.14-LinuxKit", vec![], vec!["eth0".to_owned()], Sight::DockerDesktop),
            ("5.15.167.4-microsoft-standard-WSL2", vec![card.clone()], vec![], Sight::Wsl),
            ("6.12.0-amd64", vec![end.clone()], vec![], Sight::Container),
            ("6.12.0-amd64", vec![end.clone()], vec!["eth0".to_owned()], Sight::Clear),
            ("6.12.0-amd64", vec![card, end], vec![], Sight::Clear),
            ("6.12.0-amd64", vec![lab], vec![], Sight::Clear),
            ("6.12.0-amd64", vec![], vec![], Sight::Clear),
        ];
        for (release, interfaces, chosen, expected) in cases {
            assert_eq!(sight(release, &interfaces, &chosen), expected, "{release} {interfaces:?}");
        }
    }

    #[test]
    fn whoever_hides_the_network_the_medium_is_offered() {
        for sight in [Sight::DockerDesktop, Sight::Wsl, Sight::Container] {
            assert!(sight.words().unwrap().contains("medium (stick or card)"));
        }
        assert_eq!(Sight::Clear.words(), None);
    }
}
