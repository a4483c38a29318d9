//! What was seen of the disks, for as long as that lasts: a look costs megabytes of reading. Interfaces cost nothing, and
//! an address of a minute ago would send its reader to nobody, so those are looked at every time.

use super::{interfaces, take};
use cairn_model::inventory::{Interface, Inventory};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub struct Kept {
    lasts: Duration,
    last: Mutex<Option<(Instant, Inventory)>>,
}

impl Kept {
    pub const fn new(lasts: Duration) -> Self {
        Self { lasts, last: Mutex::new(None) }
    }

    /// The machine as it is, but for disks that came or went within the time that a look lasts.
    pub fn look(&self, started_from: Option<&Path>) -> Inventory {
        self.renewed(interfaces, || take(started_from))
    }

    /// What is kept is not true any more.
    pub fn forget(&self) {
        *self.last() = None;
    }

    fn renewed(
        &self,
        interfaces: impl FnOnce() -> Vec<Interface>,
        take: impl FnOnce() -> Inventory,
    ) -> Inventory {
        // A copy, since a disk may let its reader wait without end, and others ask meanwhile.
        let last = self.last().clone().filter(|(taken, _)| taken.elapsed() < self.lasts);
        if let Some((_, inventory)) = last {
            return Inventory { interfaces: interfaces(), ..inventory };
        }
        let inventory = take();
        *self.last() = Some((Instant::now(), inventory.clone()));
        inventory
    }

    fn last(&self) -> MutexGuard<'_, Option<(Instant, Inventory)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str) -> Vec<Interface> {
        let mac = "02:00:00:00:00:01".to_owned();
        vec![Interface { name: name.to_owned(), mac, link: true, addresses: Vec::new() }]
    }

    fn machine(architecture: &str) -> Inventory {
        let mut inventory = take(None);
        inventory.architecture = architecture.to_owned();
        inventory.interfaces = interface("taken");
        inventory
    }

    #[test]
    fn disks_are_looked_at_again_when_the_look_is_over_or_forgotten_and_interfaces_always() {
        let kept = Kept::new(Duration::from_secs(3600));
        let seen = |kept: &Kept, name: &str| {
            let inventory = kept.renewed(|| interface(name), || machine(name));
            (inventory.architecture, inventory.interfaces[0].name.clone())
        };
        let is = |architecture: &str, interface: &str| (architecture.to_owned(), interface.to_owned());
        assert_eq!(seen(&kept, "first"), is("first", "taken"));
        assert_eq!(seen(&kept, "second"), is("first", "second"));
        kept.forget();
        assert_eq!(seen(&kept, "third"), is("third", "taken"));
        let brief = Kept::new(Duration::ZERO);
        assert_eq!(seen(&brief, "first"), is("first", "taken"));
        assert_eq!(seen(&brief, "second"), is("second", "taken"));
    }
}
