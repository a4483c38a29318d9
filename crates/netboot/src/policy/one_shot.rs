//! "Next time start this": a policy around another one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{BootAnswer, BootPolicy, Images, MachineRequest};
use crate::mac::Mac;

/// Firmware asks several times within one power-on: again after 4, 8, 16 and 32 s when an answer was lost (PXE 2.1), by
/// HTTP when PXE did not do, and as iPXE after its loader. So the first question does not use the wish up, this time
/// after it does.
const SAME_POWER_ON: Duration = Duration::from_secs(90);

/// Machines that are to start something else once: a rescue system, a memory test.
#[derive(Debug, Default)]
pub struct OneShot<P> {
    usual: P,
    wishes: Mutex<HashMap<Mac, Wish>>,
}

#[derive(Debug)]
struct Wish {
    images: Images,
    /// When the machine first asked.
    asked: Option<Instant>,
}

impl<P: BootPolicy> OneShot<P> {
    /// No machine is to start anything but what `usual` says.
    pub fn around(usual: P) -> Self {
        Self { usual, wishes: Mutex::default() }
    }

    /// At its next power-on this machine starts one of these.
    pub fn next(&self, machine: Mac, images: Images) {
        self.lock().insert(machine, Wish { images, asked: None });
    }

    /// It starts what is usual after all. Whether there was a wish that it had not seen yet.
    pub fn forget(&self, machine: Mac) -> bool {
        self.lock().remove(&machine).is_some_and(|wish| wish.asked.is_none())
    }

    /// The machines that have not asked since.
    pub fn waiting(&self) -> Vec<Mac> {
        let wishes = self.lock();
        let mut all: Vec<Mac> =
            wishes.iter().filter(|(_, wish)| wish.asked.is_none()).map(|(mac, _)| *mac).collect();
        all.sort();
        all
    }

    fn decide_at(&self, machine: &MachineRequest, now: Instant) -> BootAnswer {
        let mut wishes = self.lock();
        if let Some(Wish { images, asked }) = wishes.get_mut(&machine.mac) {
            let first = *asked.get_or_insert(now);
            if now.saturating_duration_since(first) <= SAME_POWER_ON {
                return BootAnswer::Other(images.clone());
            }
            wishes.remove(&machine.mac);
        }
        drop(wishes);
        self.usual.decide(machine)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Mac, Wish>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: BootPolicy> BootPolicy for OneShot<P> {
    fn decide(&self, machine: &MachineRequest) -> BootAnswer {
        self.decide_at(machine, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Arch, Client};

    fn asks(last: u8) -> MachineRequest {
        MachineRequest {
            mac: Mac([2, 0, 0, 0, 0, last]),
            arch: Arch::X64Efi,
            client: Client::Pxe,
            uuid: None,
        }
    }

    #[test]
    fn a_wish_lasts_for_one_power_on_of_one_machine_and_then_all_is_as_usual() {
        let policy = OneShot::around(|_: &MachineRequest| BootAnswer::LocalDisk);
        let (begin, rescue) = (Instant::now(), BootAnswer::Other(Images::x64("rescue.efi")));
        policy.next(asks(1).mac, Images::x64("rescue.efi"));
        assert_eq!(policy.waiting(), [asks(1).mac]);
        assert_eq!(policy.decide_at(&asks(2), begin), BootAnswer::LocalDisk);
        // However long it takes until it is switched on.
        let on = begin + Duration::from_secs(86_400);
        for (after, answer) in [
            (0, &rescue),
            (4, &rescue),
            (60, &rescue),
            (91, &BootAnswer::LocalDisk),
            (92, &BootAnswer::LocalDisk),
        ] {
            assert_eq!(policy.decide_at(&asks(1), on + Duration::from_secs(after)), *answer, "{after} s");
        }
        assert!(policy.waiting().is_empty());
    }

    #[test]
    fn a_wish_can_be_taken_back() {
        let policy = OneShot::around(|_: &MachineRequest| BootAnswer::LocalDisk);
        policy.next(asks(1).mac, Images::x64("rescue.efi"));
        assert!(policy.forget(asks(1).mac) && !policy.forget(asks(1).mac));
        assert_eq!(policy.decide(&asks(1)), BootAnswer::LocalDisk);
    }
}
