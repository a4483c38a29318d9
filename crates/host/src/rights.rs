//! What this process may do to the network, by capabilities(7).
//!
//! In its container the manager is not root. Its file carries the three capabilities, as *permitted* ones: were
//! they effective at once, a container that was started without one of them would not start at all, and nobody
//! would say why. So it claims them itself, and sees which are missing.

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use std::collections::BTreeSet;
use std::io;

/// One capability that the manager may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Switch interfaces on, and give them addresses.
    NetAdmin,
    /// See packets that are not addressed to this machine.
    NetRaw,
    /// Listen on ports below 1024.
    BindService,
}

impl Right {
    pub const ALL: [Self; 3] = [Self::NetAdmin, Self::NetRaw, Self::BindService];

    fn bit(self) -> CapabilitySet {
        match self {
            Self::NetAdmin => CapabilitySet::NET_ADMIN,
            Self::NetRaw => CapabilitySet::NET_RAW,
            Self::BindService => CapabilitySet::NET_BIND_SERVICE,
        }
    }
}

/// As Docker's `--cap-add` spells it.
impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NetAdmin => "NET_ADMIN",
            Self::NetRaw => "NET_RAW",
            Self::BindService => "NET_BIND_SERVICE",
        })
    }
}

/// Makes those effective that are permitted, for this thread and all that it starts from now on, and says
/// which it has.
///
/// # Errors
/// When the kernel does not tell.
pub fn claim() -> io::Result<BTreeSet<Right>> {
    let held = capabilities(None)?;
    let all = raised(held);
    if all != held {
        set_capabilities(None, all)?;
    }
    Ok(Right::ALL.into_iter().filter(|right| all.effective.contains(right.bit())).collect())
}

/// Of what is permitted only these: whoever took others back knew why.
fn raised(held: CapabilitySets) -> CapabilitySets {
    let ours = Right::ALL.into_iter().fold(CapabilitySet::empty(), |all, right| all | right.bit());
    CapabilitySets { effective: held.effective | (held.permitted & ours), ..held }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_permitted_becomes_effective_and_nothing_else() {
        let held = CapabilitySets {
            effective: CapabilitySet::KILL,
            permitted: CapabilitySet::KILL | CapabilitySet::NET_RAW | CapabilitySet::SYS_ADMIN,
            inheritable: CapabilitySet::empty(),
        };
        let raised = raised(held);
        assert_eq!(raised.effective, CapabilitySet::KILL | CapabilitySet::NET_RAW);
        assert_eq!(raised.permitted, held.permitted);
    }

    #[test]
    fn a_thread_that_gave_a_capability_up_is_missing_it() {
        std::thread::spawn(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective = CapabilitySet::empty();
            sets.permitted -= CapabilitySet::NET_ADMIN;
            let left = sets.permitted;
            set_capabilities(None, sets).unwrap();
            let had: BTreeSet<Right> =
                Right::ALL.into_iter().filter(|right| left.contains(right.bit())).collect();
            assert_eq!(claim().unwrap(), had);
            assert!(!had.contains(&Right::NetAdmin));
        })
        .join()
        .unwrap();
    }
}
