//! What a machine starts once, at its next network boot, instead of what is usual: a rescue system, or a memory test.
//!
//! The wish lies in the journal until the machine asks, and is granted by [`crate::network`].

use crate::artifacts::Artifacts;
use crate::core::Core;
use crate::image::MEMORY_TEST;
use crate::journal::{JournalError, Wish};
use crate::network::BootView;
use cairn_artifacts::Arch as ArtifactArch;
use cairn_layout::Arch as ImageArch;
use cairn_model::cluster::{Fingerprint, Name};
use cairn_model::inventory::Firmware;
use cairn_netboot::{Arch, Client, Event, Images, Mac, MachineStory, What, Wishes};
use cairn_workflow::log::chain;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

/// Among the artifacts.
const RESCUE: &str = "netboot.xyz";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NextBoot {
    /// netboot.xyz: a menu of rescue systems, which come from the internet.
    Rescue,
    /// memtest86+.
    MemoryTest,
}

impl NextBoot {
    const ALL: [Self; 2] = [Self::Rescue, Self::MemoryTest];

    pub fn name(self) -> &'static str {
        match self {
            Self::Rescue => "rescue",
            Self::MemoryTest => "memory-test",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// What is waiting for a machine with one of these cards.
    pub fn waiting(wishes: &Wishes, cards: &[Mac]) -> Option<Self> {
        Self::named(&wishes.waiting(cards)?)
    }
}

impl fmt::Display for NextBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rescue => "a rescue system",
            Self::MemoryTest => "a memory test",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NextBootError {
    #[error("no such machine is here")]
    NoSuchMachine,
    #[error("there is no node '{0}' in this cluster")]
    NoSuchNode(Name),
    #[error("nothing can be started from the network now. {0}")]
    NoNetworkBoot(String),
    #[error(
        "its firmware has not asked the network for a system since the manager started: put network boot before the disk in its firmware, switch it on once, and ask again"
    )]
    NeverAsked,
    #[error("its firmware starts {}, and for that there is no {what}: {why}", archs(.asked))]
    NoneForIt { what: NextBoot, asked: Vec<Arch>, why: String },
    #[error("{0}")]
    NotThere(String),
    #[error(
        "its firmware has Secure Boot on, and rescue systems don't have this cluster's signature: switch Secure Boot off in the firmware for as long as you need one"
    )]
    SecureBoot,
    #[error(
        "its firmware has Secure Boot on, and the memory test could not be signed (the manager's log says why): switch Secure Boot off in the firmware for the test"
    )]
    Unsigned,
    #[error("{0}")]
    Journal(String),
}

impl From<JournalError> for NextBootError {
    fn from(error: JournalError) -> Self {
        Self::Journal(chain(&error))
    }
}

fn archs(all: &[Arch]) -> String {
    let names: Vec<String> = all.iter().map(Arch::to_string).collect();
    names.join(" and ")
}

/// Of a machine's firmware.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asks {
    /// The cards by which it asked for a system, and as which architecture it last did.
    cards: Vec<(Mac, Arch)>,
    /// As far as is known.
    secure_boot: bool,
}

/// What there is to start.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    x64: Result<String, String>,
    arm64: Result<String, String>,
    signed: bool,
}

impl Offer {
    fn images(&self) -> Images {
        Images { x64: self.x64.clone().ok(), arm64: self.arm64.clone().ok(), ..Images::default() }
    }

    /// Why there is nothing for that firmware.
    fn lacking(&self, arch: Arch) -> Option<&String> {
        match arch {
            Arch::X64Efi | Arch::X64Http => self.x64.as_ref().err(),
            Arch::Arm64Efi | Arch::Arm64Http | Arch::Arm64Uboot => self.arm64.as_ref().err(),
            _ => None,
        }
    }
}

/// By which cards the machine is told to start what. Those by which it never asked are no part of it: they would keep
/// their wish for another day.
fn decide(
    what: NextBoot,
    netboot: &BootView,
    asks: &Asks,
    offer: &Offer,
) -> Result<(Vec<Mac>, Images), NextBootError> {
    if !matches!(netboot, BootView::Running { .. }) {
        return Err(NextBootError::NoNetworkBoot(netboot.sentence()));
    }
    if asks.cards.is_empty() {
        return Err(NextBootError::NeverAsked);
    }
    let images = offer.images();
    let starts = |arch: Arch| images.for_client(Client::Pxe, arch).is_ok();
    let cards: Vec<Mac> =
        asks.cards.iter().filter(|(_, arch)| starts(*arch)).map(|(card, _)| *card).collect();
    if cards.is_empty() {
        if let Some(why) = asks.cards.iter().find_map(|(_, arch)| offer.lacking(*arch)) {
            return Err(NextBootError::NotThere(why.clone()));
        }
        let mut asked: Vec<Arch> = asks.cards.iter().map(|(_, arch)| *arch).collect();
        asked.dedup();
        let why = "switch its firmware to UEFI with network boot, if it has that".to_owned();
        return Err(NextBootError::NoneForIt { what, asked, why });
    }
    match what {
        NextBoot::Rescue if asks.secure_boot => Err(NextBootError::SecureBoot),
        NextBoot::MemoryTest if asks.secure_boot && !offer.signed => Err(NextBootError::Unsigned),
        NextBoot::Rescue | NextBoot::MemoryTest => Ok((cards, images)),
    }
}

/// As which architecture the firmware behind this story last asked for a system where we answer.
fn firmware(events: &[Event]) -> Option<Arch> {
    events.iter().rev().find_map(|event| match event.what {
        What::DhcpAsked { client, arch, .. } if client != Client::System => arch,
        _ => None,
    })
}

/// A machine, as the owner names it.
pub enum Whom {
    Machine(Fingerprint),
    Node(Name),
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(key) => f.write_str(&cairn_wire::fingerprint::short(key)),
            Self::Node(name) => name.fmt(f),
        }
    }
}

/// Its cards, and whether its firmware has Secure Boot on.
fn look(core: &Core, whom: &Whom) -> Result<(Vec<Mac>, bool), NextBootError> {
    let file = core.book.file();
    let (node, key) = match whom {
        Whom::Node(name) => (Some(name.clone()), None),
        Whom::Machine(key) => (None, Some(*key)),
    };
    if let Some(name) = &node
        && file.cluster().node(name).is_none()
    {
        return Err(NextBootError::NoSuchNode(name.clone()));
    }
    let registry = core.registry();
    let machine = match (&node, key) {
        (_, Some(key)) => Some(registry.get(&key).ok_or(NextBootError::NoSuchMachine)?),
        (Some(name), None) => registry.machine_of(name, file.cluster()),
        (None, None) => None,
    };
    let inventory = machine.and_then(|it| it.contact.as_ref()).map(|it| &it.description.inventory);
    let secure_boot = inventory.is_some_and(|it| it.firmware == Firmware::Uefi { secure_boot: true });
    let cards = inventory.map(|it| cards(it.interfaces.iter().map(|card| card.mac.as_str())));
    let mut cards = cards.unwrap_or_default();
    if let Some(name) = &node {
        // of a node that has not spoken since the manager started
        cards.extend(core.book.journal(|journal| journal.cards_of(name)));
    }
    cards.sort();
    cards.dedup();
    Ok((cards, secure_boot))
}

/// What is no address of a card is left out: it comes from a machine.
pub fn cards<'a>(macs: impl Iterator<Item = &'a str>) -> Vec<Mac> {
    macs.filter_map(|mac| mac.parse().ok()).collect()
}

async fn offer(core: &Core, what: NextBoot) -> Offer {
    match what {
        NextBoot::MemoryTest => {
            let none = "this manager's node image has no memory test: build the image again (`make image`)";
            let image = core.image(ImageArch::X86_64).await;
            let (x64, signed) = match image {
                Ok(image) if image.path(MEMORY_TEST).is_file() => {
                    (Ok(MEMORY_TEST.to_owned()), image.signs(MEMORY_TEST))
                }
                Ok(_) => (Err(none.to_owned()), false),
                Err(error) => (Err(error.to_string()), false),
            };
            Offer { x64, arm64: Err("memtest86+ is for x86 machines only".to_owned()), signed }
        }
        NextBoot::Rescue => {
            let store: Arc<Artifacts> = Arc::clone(&core.artifacts);
            let found = spawn_blocking(move || {
                [ArtifactArch::Amd64, ArtifactArch::Arm64].map(|arch| store.program(RESCUE, arch))
            });
            let lost =
                || ["the artifacts could not be looked at; ask again"; 2].map(|why| Err(why.to_owned()));
            let [x64, arm64] = found.await.unwrap_or_else(|_| lost());
            Offer { x64, arm64, signed: false }
        }
    }
}

/// At its next network boot this machine starts that, once.
///
/// # Errors
/// Why it can't, and what to do.
pub async fn set(core: &Core, whom: &Whom, what: NextBoot) -> Result<(), NextBootError> {
    let (cards, secure_boot) = look(core, whom)?;
    let asked = |story: MachineStory| {
        cards.contains(&story.machine).then(|| firmware(&story.events).map(|arch| (story.machine, arch)))?
    };
    let asks = Asks { cards: core.story.machines().into_iter().filter_map(asked).collect(), secure_boot };
    let offer = offer(core, what).await;
    let netboot = core.network().netboot.clone();
    let (cards, images) = decide(what, &netboot, &asks, &offer)?;
    core.wishes.next(cards.clone(), what.name(), images);
    if let Err(error) = core.book.note(|journal| journal.wish(Wish { cards: cards.clone(), start: what })) {
        core.wishes.forget(&cards);
        return Err(error.into());
    }
    tracing::info!(machine = %whom, start = what.name(), "at its next network boot it starts this once");
    core.show();
    Ok(())
}

/// It starts what is usual after all.
///
/// # Errors
/// When there is no such machine, or the journal can't be written.
pub fn forget(core: &Core, whom: &Whom) -> Result<(), NextBootError> {
    let (cards, _) = look(core, whom)?;
    core.book.note(|journal| journal.grant(&cards))?;
    if let Some(start) = core.wishes.forget(&cards) {
        tracing::info!(machine = %whom, start, "at its next network boot it starts what is usual after all");
        core.show();
    }
    Ok(())
}

/// What waited when the manager ended waits again, with what there is to start by now.
pub async fn remember(core: &Core) {
    for Wish { cards, start } in core.book.journal(|journal| journal.next_boots.clone()) {
        let images = offer(core, start).await.images();
        core.wishes.next(cards, start.name(), images);
    }
}

/// Whoever asked waits no more, also after a restart. Whoever grants wishes calls this after every event of a card.
pub fn granted(core: &Core, card: Mac) {
    let waited = core.book.journal(|journal| journal.wishes(&[card]));
    if waited && core.wishes.waiting(&[card]).is_none() {
        if let Err(error) = core.book.note(|journal| journal.grant(&[card])) {
            tracing::warn!(%error, machine = %card, "what it starts this once would be started again after a restart");
        }
        core.show();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Way;

    const CARD: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn running() -> BootView {
        BootView::Running { interface: "eth1".into(), way: Way::OwnCable, base: "http://m".into() }
    }

    fn asks(archs: &[Arch]) -> Asks {
        Asks { cards: [CARD, OTHER].into_iter().zip(archs.iter().copied()).collect(), secure_boot: false }
    }

    fn offer() -> Offer {
        let arm64 = Err("run `cairn artifacts pull`".to_owned());
        Offer { x64: Ok("rescue.efi".into()), arm64, signed: false }
    }

    #[test]
    fn a_machine_is_told_by_the_cards_by_which_it_asked_and_can_start_it() {
        for (archs, cards) in [
            (vec![Arch::X64Efi], vec![CARD]),
            (vec![Arch::X64Efi, Arch::X64Http], vec![CARD, OTHER]),
            (vec![Arch::Bios, Arch::X64Efi], vec![OTHER]),
        ] {
            let decided = decide(NextBoot::Rescue, &running(), &asks(&archs), &offer());
            assert_eq!(decided, Ok((cards, Images::x64("rescue.efi"))), "{archs:?}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_said_with_what_to_do() {
        let secure = Asks { secure_boot: true, ..asks(&[Arch::X64Efi]) };
        let (off, none) = (BootView::Off, Asks::default());
        let absent = Offer { x64: Err("run `cairn artifacts pull`".into()), ..offer() };
        let (x64, bios) = (asks(&[Arch::X64Efi]), asks(&[Arch::Bios]));
        let cases = [
            (NextBoot::Rescue, off, &x64, offer(), "Network boot is off"),
            (NextBoot::Rescue, running(), &none, offer(), "put network boot before the disk"),
            (NextBoot::Rescue, running(), &x64, absent, "cairn artifacts pull"),
            (NextBoot::Rescue, running(), &asks(&[Arch::Arm64Efi]), offer(), "cairn artifacts pull"),
            (NextBoot::MemoryTest, running(), &bios, offer(), "switch its firmware to UEFI"),
            (NextBoot::Rescue, running(), &secure, offer(), "Secure Boot"),
            (NextBoot::MemoryTest, running(), &secure, offer(), "could not be signed"),
        ];
        for (what, netboot, asks, offer, words) in cases {
            let refused = decide(what, &netboot, asks, &offer).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
        let signed = Offer { signed: true, ..offer() };
        assert!(decide(NextBoot::MemoryTest, &running(), &secure, &signed).is_ok());
        let rescue = decide(NextBoot::Rescue, &running(), &secure, &signed);
        assert_eq!(rescue, Err(NextBootError::SecureBoot));
    }

    #[test]
    fn only_firmware_that_asked_us_counts() {
        use cairn_netboot::dhcp::Kind;
        let event = |what| Event { number: 1, unix_millis: 0, machine: Some(CARD), what };
        let asked = |client, arch| event(What::DhcpAsked { message: Kind::Discover, client, arch });
        let (pxe, http) = (asked(Client::Pxe, Some(Arch::X64Efi)), asked(Client::Http, Some(Arch::X64Http)));
        let system = asked(Client::System, None);
        let elsewhere =
            What::DhcpOverheard { message: Kind::Discover, client: Client::Pxe, arch: Some(Arch::X64Efi) };
        assert_eq!(firmware(&[pxe, http, system.clone()]), Some(Arch::X64Http));
        assert_eq!(firmware(&[system, event(elsewhere)]), None);
    }
}
