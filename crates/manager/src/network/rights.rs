//! Whether this process may do what the owner asks of the network: said at the start, and not by whatever
//! fails first.

use crate::options::{Netboot, Wish};
use cairn_host::rights::{self, Right};
use std::collections::BTreeSet;

#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    #[error("the kernel does not tell what this manager may do")]
    Unknown(#[source] std::io::Error),
    #[error(
        "{wish} needs {}, which this manager does not have: start it as root, or its container with {} and without no-new-privileges",
        join(missing, " and ", ""),
        join(missing, " ", "--cap-add=")
    )]
    Missing { wish: String, missing: Vec<Right> },
}

fn join(rights: &[Right], between: &str, before: &str) -> String {
    rights.iter().map(|right| format!("{before}{right}")).collect::<Vec<_>>().join(between)
}

/// Takes up the capabilities that the program's file carries. They are a thread's own: to be called before
/// others are started.
///
/// # Errors
/// When one is missing for network boot, or for giving the interfaces their address.
pub fn claim(netboot: Option<&Netboot>, interfaces: &[String]) -> Result<(), RightsError> {
    let held = rights::claim().map_err(RightsError::Unknown)?;
    check(&held, netboot, interfaces)
}

/// Beside a router the interface is left as it is.
const BESIDE: [Right; 2] = [Right::NetRaw, Right::BindService];

fn check(
    held: &BTreeSet<Right>,
    netboot: Option<&Netboot>,
    interfaces: &[String],
) -> Result<(), RightsError> {
    let needed = |wish| match wish {
        Wish::HomeNetwork => BESIDE.as_slice(),
        Wish::OwnCable | Wish::Fitting => Right::ALL.as_slice(),
    };
    let cable = netboot.map(|it| (format!("network boot on {}", it.interface), needed(it.wish)));
    let address = |name| (format!("the manager's address on {name}"), [Right::NetAdmin].as_slice());
    for (wish, needed) in cable.into_iter().chain(interfaces.iter().map(address)) {
        let missing: Vec<Right> = needed.iter().filter(|right| !held.contains(right)).copied().collect();
        if !missing.is_empty() {
            return Err(RightsError::Missing { wish, missing });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn netboot(wish: Wish) -> Netboot {
        Netboot { interface: "eth1".into(), wish, cable_address: Netboot::CABLE_ADDRESS }
    }

    #[test]
    fn what_is_missing_is_named_with_what_it_is_for_and_how_to_give_it() {
        let raw = BTreeSet::from([Right::NetRaw]);
        let words = check(&raw, Some(&netboot(Wish::Fitting)), &[]).unwrap_err().to_string();
        assert_eq!(
            words,
            "network boot on eth1 needs NET_ADMIN and NET_BIND_SERVICE, which this manager does not have: start it as root, or its container with --cap-add=NET_ADMIN --cap-add=NET_BIND_SERVICE and without no-new-privileges"
        );
        let words = check(&raw, None, &["eth0".to_owned()]).unwrap_err().to_string();
        assert!(words.starts_with("the manager's address on eth0 needs NET_ADMIN, "), "{words}");
    }

    #[test]
    fn only_what_was_asked_for_needs_rights() {
        assert!(check(&BTreeSet::new(), None, &[]).is_ok());
        assert!(check(&BTreeSet::from([Right::NetAdmin]), None, &["eth0".to_owned()]).is_ok());
        assert!(
            check(&BTreeSet::from(Right::ALL), Some(&netboot(Wish::OwnCable)), &["eth1".to_owned()]).is_ok()
        );
        assert!(check(&BTreeSet::from(BESIDE), Some(&netboot(Wish::HomeNetwork)), &[]).is_ok());
    }
}
