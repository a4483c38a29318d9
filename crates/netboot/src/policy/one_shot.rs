//! "Next time start this": a policy around another one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{BootAnswer, BootPolicy, Images, MachineRequest};
use crate::mac::Mac;
use crate::story::{Event, What};

/// Firmware asks several times within one power-on: again after 4, 8, 16 and 32 s when an answer was lost (PXE 2.1), by
/// HTTP when PXE did not do, and as iPXE after its loader. So the first question does not use a wish up; that the image
/// has arrived does ([`Wishes::see`]), or else this time.
const SAME_POWER_ON: Duration = Duration::from_secs(90);

/// What is usual, and for some machines something else once: a rescue system, a memory test.
#[derive(Debug)]
pub struct OneShot<P> {
    usual: P,
    wishes: Arc<Wishes>,
}

impl<P: BootPolicy> OneShot<P> {
    /// `usual` answers whoever is in no wish.
    pub fn around(usual: P, wishes: Arc<Wishes>) -> Self {
        Self { usual, wishes }
    }
}

impl<P: BootPolicy> BootPolicy for OneShot<P> {
    fn decide(&self, machine: &MachineRequest) -> BootAnswer {
        match self.wishes.for_now(machine, Instant::now()) {
            Some(images) => BootAnswer::Other(images),
            None => self.usual.decide(machine),
        }
    }
}

/// The machines that are to start something else once. They outlive the servers that grant them.
#[derive(Debug, Default)]
pub struct Wishes(Mutex<Vec<Wish>>);

#[derive(Debug)]
struct Wish {
    /// One machine's: whichever asks first uses the wish up for all of them.
    cards: Vec<Mac>,
    name: String,
    images: Images,
    /// When the machine first asked.
    asked: Option<Instant>,
    /// The transfer by which it has begun to fetch the image.
    fetch: Option<u64>,
}

impl Wish {
    fn is_of(&self, card: Mac) -> bool {
        self.cards.contains(&card)
    }
}

impl Wishes {
    /// At its next power-on the machine with these cards starts one of these, which people call `name`.
    pub fn next(&self, cards: Vec<Mac>, name: impl Into<String>, images: Images) {
        let mut wishes = self.lock();
        wishes.retain(|wish| !cards.iter().any(|card| wish.is_of(*card)));
        wishes.push(Wish { cards, name: name.into(), images, asked: None, fetch: None });
    }

    /// The machine with one of these cards starts what is usual after all. What it was to start, if it has not asked yet.
    pub fn forget(&self, cards: &[Mac]) -> Option<String> {
        let mut wishes = self.lock();
        let at = wishes.iter().position(|wish| cards.iter().any(|card| wish.is_of(*card)))?;
        let wish = wishes.remove(at);
        wish.asked.is_none().then_some(wish.name)
    }

    /// What a machine with one of these cards is to start, as long as it has not asked.
    pub fn waiting(&self, cards: &[Mac]) -> Option<String> {
        let wishes = self.lock();
        let wish = wishes.iter().find(|wish| cards.iter().any(|card| wish.is_of(*card)))?;
        wish.asked.is_none().then(|| wish.name.clone())
    }

    /// A machine that has fetched all of its image starts it: what it asks from now on belongs to another power-on, or
    /// comes from the image itself. Whoever grants wishes shows this every event of the server.
    pub fn see(&self, event: &Event) {
        let Some(card) = event.machine else { return };
        let mut wishes = self.lock();
        let Some(at) = wishes.iter().position(|wish| wish.is_of(card)) else { return };
        let Some(wish) = wishes.get_mut(at) else { return };
        match &event.what {
            What::FetchStarted { fetch, file, .. } if is_image(&wish.images, file) => {
                wish.fetch = Some(*fetch)
            }
            What::FetchDone { fetch, .. } if wish.fetch == Some(*fetch) => {
                tracing::info!(machine = %card, name = wish.name, "has fetched it; from now on it starts what is usual");
                wishes.remove(at);
            }
            _ => {}
        }
    }

    /// A machine that can't start it, as it asks now, does not use its wish up.
    fn for_now(&self, machine: &MachineRequest, now: Instant) -> Option<Images> {
        let card = machine.mac;
        let mut wishes = self.lock();
        let at = wishes.iter().position(|wish| wish.is_of(card))?;
        let wish = wishes.get_mut(at)?;
        if wish.asked.is_none()
            && let Err(error) = wish.images.for_client(machine.client, machine.arch)
        {
            tracing::info!(machine = %card, name = wish.name, %error, "asks, and starts what is usual");
            return None;
        }
        if wish.asked.is_none() {
            tracing::info!(machine = %card, name = wish.name, "asks, and is told to start it this once");
        }
        let first = *wish.asked.get_or_insert(now);
        if now.saturating_duration_since(first) <= SAME_POWER_ON {
            return Some(wish.images.clone());
        }
        wishes.remove(at);
        None
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Wish>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this is the last thing that firmware fetches, and no loader on the way.
fn is_image(images: &Images, file: &str) -> bool {
    let Images { x64, arm64, bios, raspberry_pi } = images;
    let script = bios.as_ref().map(|bios| &bios.script);
    [x64.as_ref(), arm64.as_ref(), script, raspberry_pi.as_ref()]
        .into_iter()
        .flatten()
        .any(|name| name == file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Arch, Bios, Client};
    use crate::story::Via;

    const CARD: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn rescue() -> Images {
        let bios = Bios { loader: "undionly.kpxe".into(), script: "rescue.ipxe".into() };
        Images { bios: Some(bios), ..Images::x64("rescue.efi") }
    }

    fn asks(mac: Mac) -> MachineRequest {
        MachineRequest { mac, arch: Arch::X64Efi, client: Client::Pxe, uuid: None }
    }

    fn seen(what: What) -> Event {
        Event { number: 1, unix_millis: 0, machine: Some(CARD), what }
    }

    fn begins(fetch: u64, file: &str) -> Event {
        seen(What::FetchStarted { fetch, via: Via::Tftp, file: file.to_owned(), size: 9 })
    }

    fn ends(fetch: u64) -> Event {
        seen(What::FetchDone { fetch, bytes: 9, millis: 1 })
    }

    #[test]
    fn a_wish_lasts_for_one_power_on_of_one_machine_and_then_all_is_as_usual() {
        let (wishes, begin) = (Wishes::default(), Instant::now());
        wishes.next(vec![CARD], "rescue", rescue());
        assert_eq!(wishes.waiting(&[OTHER, CARD]).as_deref(), Some("rescue"));
        assert_eq!(wishes.for_now(&asks(OTHER), begin), None);
        // However long it takes until it is switched on.
        let on = begin + Duration::from_secs(86_400);
        for (after, answered) in [(0, true), (4, true), (60, true), (91, false), (92, false)] {
            let answer = wishes.for_now(&asks(CARD), on + Duration::from_secs(after));
            assert_eq!(answer.is_some(), answered, "{after} s");
            assert_eq!(wishes.waiting(&[CARD]), None);
        }
    }

    #[test]
    fn who_has_fetched_all_of_it_is_told_the_usual_when_it_comes_back_at_once() {
        for (steps, used) in [
            (vec![begins(1, "rescue.efi"), ends(1)], true),
            (vec![begins(1, "rescue.ipxe"), ends(1)], true),
            // The question for its size, which is broken off, comes first.
            (vec![begins(1, "rescue.efi"), begins(2, "rescue.efi"), ends(2)], true),
            (vec![begins(1, "rescue.efi")], false),
            (vec![begins(1, "undionly.kpxe"), ends(1)], false),
            (vec![ends(1)], false),
            (vec![Event { machine: Some(OTHER), ..begins(1, "rescue.efi") }, ends(1)], false),
        ] {
            let (wishes, on) = (Wishes::default(), Instant::now());
            wishes.next(vec![CARD], "rescue", rescue());
            assert!(wishes.for_now(&asks(CARD), on).is_some());
            steps.iter().for_each(|event| wishes.see(event));
            let answer = wishes.for_now(&asks(CARD), on + Duration::from_secs(5));
            assert_eq!(answer.is_none(), used, "{steps:?}");
        }
    }

    #[test]
    fn a_machine_that_cannot_start_it_keeps_its_wish_until_it_can() {
        let (wishes, on) = (Wishes::default(), Instant::now());
        wishes.next(vec![CARD], "test", Images::x64("test.efi"));
        for arch in [Arch::Bios, Arch::Arm64Efi, Arch::X86Efi] {
            assert_eq!(wishes.for_now(&MachineRequest { arch, ..asks(CARD) }, on), None);
            assert_eq!(wishes.waiting(&[CARD]).as_deref(), Some("test"), "{arch}");
        }
        let later = on + Duration::from_secs(86_400);
        assert_eq!(wishes.for_now(&asks(CARD), later), Some(Images::x64("test.efi")));
        assert_eq!(wishes.waiting(&[CARD]), None);
    }

    #[test]
    fn a_machine_with_two_cards_has_one_wish() {
        let (wishes, on) = (Wishes::default(), Instant::now());
        wishes.next(vec![CARD, OTHER], "rescue", rescue());
        assert!(wishes.for_now(&asks(OTHER), on).is_some());
        assert_eq!(wishes.for_now(&asks(CARD), on + Duration::from_secs(91)), None);
        assert_eq!(wishes.for_now(&asks(OTHER), on + Duration::from_secs(91)), None);
    }

    #[test]
    fn a_wish_can_be_replaced_and_taken_back() {
        let usual = |_: &MachineRequest| BootAnswer::LocalDisk;
        let wishes = Arc::new(Wishes::default());
        let policy = OneShot::around(usual, Arc::clone(&wishes));
        wishes.next(vec![CARD], "rescue", rescue());
        wishes.next(vec![CARD], "test", Images::x64("test.efi"));
        assert_eq!(wishes.forget(&[CARD]).as_deref(), Some("test"));
        assert_eq!(wishes.forget(&[CARD]), None);
        let asks = asks(CARD);
        assert_eq!(policy.decide(&asks), BootAnswer::LocalDisk);
        wishes.next(vec![CARD], "rescue", rescue());
        assert_eq!(policy.decide(&asks), BootAnswer::Other(rescue()));
        assert_eq!(wishes.forget(&[CARD]), None, "what it was told can't be taken back");
        assert_eq!(policy.decide(&asks), BootAnswer::LocalDisk);
    }
}
