//! How far a machine came on its way from the network, and where it stands still: a pure function of its
//! story and the time.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::dhcp::{Kind, Told};
use crate::policy::{Arch, Client};
use crate::story::{Event, Via, What};
use crate::words::megabytes;

/// Silent for so long between an answer and the next step, firmware has given up: its own patience in PXE
/// (four tries, doubling from 4 s) is over after a minute, but what it was told it does at once.
const STEP: u64 = 20_000;
/// A transfer without progress for so long stands still.
const STALL: u64 = 30_000;
/// From the last byte to the system's first question: a slow machine unpacks kernel and initrd.
const START: u64 = 120_000;

/// How far a machine came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It asked where nothing of ours answers.
    Elsewhere,
    /// It asked for an address and for nothing to start.
    AddressOnly,
    /// It asked and was not answered.
    Unanswered,
    /// It was offered an address and has not taken it.
    Offered,
    /// It has an address and was given nothing to start.
    NothingToStart,
    /// It was sent on to its own disk.
    LocalDisk,
    /// It was told what to fetch and has not come for it.
    Told,
    /// It asked for a file that is not served.
    Refused,
    /// It fetches.
    Fetching,
    /// Its transfer broke off.
    BrokenOff,
    /// It has everything and starts it.
    Fetched,
    /// What it fetched runs and has asked for an address.
    Started,
}

/// What a machine fetches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// By which protocol.
    pub via: Via,
    /// The file's name.
    pub file: String,
    /// Bytes that have arrived.
    pub bytes: u64,
    /// Of so many.
    pub size: u64,
}

/// What a machine's story comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// When it last asked anything of DHCP, in milliseconds since 1970.
    pub last_asked: Option<u64>,
    /// The architecture that it named when it last wanted something to start.
    pub arch: Option<Arch>,
    /// The address that it was given.
    pub address: Option<Ipv4Addr>,
    /// Its latest transfer.
    pub transfer: Option<Transfer>,
    /// How far it came.
    pub stage: Stage,
    /// It will not go on by itself.
    pub stuck: bool,
    /// All of it in a sentence, with what to do.
    pub sentence: String,
}

/// One power-on, as far as it can be told.
#[derive(Debug, Default)]
struct Course {
    last_asked: Option<u64>,
    arch: Option<Arch>,
    address: Option<Ipv4Addr>,
    transfer: Option<Transfer>,
    told: Option<String>,
    because: String,
    state: Option<Stage>,
    /// When the state was reached, or last moved.
    since: u64,
}

impl Course {
    fn reach(&mut self, stage: Stage, at: u64) {
        (self.state, self.since) = (Some(stage), at);
    }

    fn asked(&mut self, message: Kind, client: Client, arch: Option<Arch>, heard: Stage, at: u64) {
        self.last_asked = Some(at);
        match client {
            // The system that was fetched asks anew; a system that asks again only keeps its address.
            Client::System => match self.state {
                Some(Stage::Fetched | Stage::Started) => self.reach(Stage::Started, at),
                None | Some(Stage::AddressOnly | Stage::LocalDisk) => self.reach(Stage::AddressOnly, at),
                // Firmware's own HTTP client, or what came after a transfer that was not ours to see.
                Some(_) => {}
            },
            Client::Pxe | Client::Http | Client::Ipxe | Client::Uboot | Client::RaspberryPi => {
                self.arch = arch.or(self.arch);
                // Only the first message of an exchange begins a new attempt.
                if message == Kind::Discover {
                    (self.transfer, self.told, self.address) = (None, None, None);
                    self.because.clear();
                    self.reach(heard, at);
                }
            }
        }
    }

    fn take(&mut self, event: &Event) {
        let at = event.unix_millis;
        match &event.what {
            What::DhcpAsked { message, client, arch } => {
                self.asked(*message, *client, *arch, Stage::Unanswered, at);
            }
            What::DhcpOverheard { message, client, arch } => {
                self.asked(*message, *client, *arch, Stage::Elsewhere, at);
            }
            What::DhcpLeftToDisk => self.reach(Stage::LocalDisk, at),
            What::DhcpAnswered { message, address, told, because, style: _ } => {
                self.address = address.or(self.address);
                match (told, because) {
                    // An address of another network is denied, and the machine asks anew at once.
                    _ if *message == Kind::Nak => {}
                    (Told::NotAsked, _) => {}
                    // Beside a router an offer is all that some firmware needs, and carries no address.
                    _ if *message == Kind::Offer && address.is_some() => self.reach(Stage::Offered, at),
                    (Told::Boot(file), _) => {
                        self.told = Some(file.clone());
                        self.reach(Stage::Told, at);
                    }
                    (Told::LocalDisk, _) => self.reach(Stage::LocalDisk, at),
                    (Told::Unable(unable), because) => {
                        self.because = because.clone().unwrap_or_else(|| unable.to_string());
                        self.reach(Stage::NothingToStart, at);
                    }
                }
            }
            What::DhcpIgnored { because } => {
                self.because.clone_from(because);
                self.reach(Stage::Unanswered, at);
            }
            What::FetchStarted { via, file, size, .. } => {
                self.transfer = Some(Transfer { via: *via, file: file.clone(), bytes: 0, size: *size });
                // A running system fetches the rest of itself; that is no step back.
                if self.state != Some(Stage::Started) {
                    self.reach(Stage::Fetching, at);
                }
            }
            What::FetchProgress { bytes, .. } => self.arrived(*bytes, None, at),
            What::FetchDone { bytes, .. } => self.arrived(*bytes, Some(Stage::Fetched), at),
            What::FetchAborted { bytes, because, .. } => {
                self.because.clone_from(because);
                self.arrived(*bytes, Some(Stage::BrokenOff), at);
            }
            What::FetchRefused { file, .. } => {
                self.told = Some(file.clone());
                self.reach(Stage::Refused, at);
            }
            What::AddressInUse { .. } | What::Troubled { .. } | What::Stopped { .. } => {}
        }
    }

    fn arrived(&mut self, bytes: u64, end: Option<Stage>, at: u64) {
        if let Some(transfer) = &mut self.transfer {
            transfer.bytes = bytes;
        }
        let stage = match self.state {
            Some(Stage::Started) => Stage::Started,
            _ => end.unwrap_or(Stage::Fetching),
        };
        self.reach(stage, at);
    }

    /// Whether it stands still, and the sentence.
    fn verdict(&self, stage: Stage, quiet: u64) -> (bool, String) {
        let told = self.told.as_deref().unwrap_or("its system");
        let fetched = self.transfer.as_ref();
        let file = fetched.map_or(told, |transfer| transfer.file.as_str());
        let far = fetched
            .map_or_else(String::new, |it| format!("{} of {}", megabytes(it.bytes), megabytes(it.size)));
        match stage {
            Stage::Elsewhere => (
                true,
                "It asked to be started from the network where Cairn does not answer: plug it into a cable that Cairn serves, or start it from a prepared medium.".to_owned(),
            ),
            Stage::AddressOnly => (
                true,
                "It asked only for an address, so a system of its own runs on it: to make it a node, put network boot first in its firmware, or start it from a prepared medium.".to_owned(),
            ),
            Stage::Unanswered if self.because.is_empty() => (quiet > STEP, "It asked, and is not answered yet.".to_owned()),
            Stage::Unanswered => (true, format!("It was not answered: {}.", self.because)),
            Stage::Offered if quiet <= STEP => (false, "It was offered an address.".to_owned()),
            Stage::Offered => (
                true,
                "It was offered an address and did not take it: it was switched off, or its cable carries only one way. Try another cable or port.".to_owned(),
            ),
            Stage::NothingToStart => (true, format!("It was given nothing to start: {}.", self.because)),
            Stage::LocalDisk => (false, "It was sent on to its own disk, because it is installed.".to_owned()),
            Stage::Told if quiet <= STEP => (false, format!("It was told to fetch {told}.")),
            Stage::Told => (
                true,
                format!("It was told to fetch {told} and never came for it: a firewall on this machine closes UDP port 69 or TCP port 4280, or its firmware gave up. Switch it off and on: in a home network it is then answered in another way."),
            ),
            Stage::Refused => (true, format!("It asked for {told:?}, which is not served here.")),
            Stage::Fetching if quiet <= STALL => (false, format!("It fetches {file}: {far}.")),
            Stage::Fetching => (
                true,
                format!("It stopped fetching {file} at {far}: it was switched off, or its cable is loose."),
            ),
            Stage::BrokenOff => (quiet > STEP, format!("Its transfer of {file} broke off at {far}: {}.", self.because)),
            Stage::Fetched if quiet <= START => (false, format!("It has fetched {file} and starts it.")),
            Stage::Fetched => (
                true,
                match self.arch {
                    Some(Arch::Bios) => format!("It has fetched {file}, and what it fetched did not start: look at its screen. It starts the old way (BIOS): switch its firmware to UEFI, without which it can't become a node anyway."),
                    _ => format!("It has fetched {file}, and what it fetched did not start: if Secure Boot is on in its firmware, put the certificate there or switch it off; and look at its screen."),
                },
            ),
            Stage::Started => (false, "It has started Cairn.".to_owned()),
        }
    }
}

/// What these events of one machine, oldest first, come to at `now` (milliseconds since 1970). `None` as
/// long as they say nothing about starting.
pub fn diagnose(events: &[Event], now: u64) -> Option<Diagnosis> {
    let mut course = Course::default();
    events.iter().for_each(|event| course.take(event));
    let stage = course.state?;
    let (stuck, sentence) = course.verdict(stage, now.saturating_sub(course.since));
    let Course { last_asked, arch, address, transfer, .. } = course;
    Some(Diagnosis { last_asked, arch, address, transfer, stage, stuck, sentence })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::Unable;
    use proptest::prelude::*;

    const PXE: (Client, Option<Arch>) = (Client::Pxe, Some(Arch::X64Efi));
    const SYSTEM: (Client, Option<Arch>) = (Client::System, None);

    fn asked(message: Kind, (client, arch): (Client, Option<Arch>)) -> What {
        What::DhcpAsked { message, client, arch }
    }

    fn overheard((client, arch): (Client, Option<Arch>)) -> What {
        What::DhcpOverheard { message: Kind::Discover, client, arch }
    }

    fn answered(message: Kind, told: Told) -> What {
        let because = match &told {
            Told::Unable(unable) => Some(unable.to_string()),
            _ => None,
        };
        What::DhcpAnswered { message, address: Some([10, 0, 0, 100].into()), told, because, style: None }
    }

    fn beside() -> What {
        let told = Told::Boot("cairn.efi".into());
        let style = Some(crate::dhcp::Style::InOffer);
        What::DhcpAnswered { message: Kind::Offer, address: None, told, because: None, style }
    }

    fn booted() -> Vec<What> {
        let told = || Told::Boot("cairn.efi".into());
        let (discover, request) = (asked(Kind::Discover, PXE), asked(Kind::Request, PXE));
        vec![discover, answered(Kind::Offer, told()), request, answered(Kind::Ack, told())]
    }

    fn started() -> What {
        What::FetchStarted { fetch: 1, via: Via::Tftp, file: "cairn.efi".into(), size: 80_000_000 }
    }

    fn then(mut begin: Vec<What>, more: impl IntoIterator<Item = What>) -> Vec<What> {
        begin.extend(more);
        begin
    }

    /// One event a second; then it is silent for so many seconds.
    fn after(whats: Vec<What>, silent: u64) -> Option<Diagnosis> {
        let mut at = 1_000_000;
        let events: Vec<Event> = (1..)
            .zip(whats)
            .map(|(number, what)| {
                at += 1000;
                Event { number, unix_millis: at, machine: None, what }
            })
            .collect();
        diagnose(&events, at + silent * 1000)
    }

    #[test]
    fn every_place_where_a_machine_can_stop_is_told_apart() {
        let done = || What::FetchDone { fetch: 1, bytes: 80_000_000, millis: 9000 };
        let progress = || What::FetchProgress { fetch: 1, bytes: 12_340_000, size: 80_000_000 };
        let aborted = || What::FetchAborted { fetch: 1, bytes: 500_000, because: "its port closed".into() };
        let bios = || answered(Kind::Ack, Told::Unable(Unable::Bios));
        let cases: [(Vec<What>, u64, Stage, bool, &str); 19] = [
            (vec![overheard(PXE)], 0, Stage::Elsewhere, true, "where Cairn does not answer"),
            (vec![overheard(SYSTEM)], 0, Stage::AddressOnly, true, "put network boot first"),
            (
                vec![asked(Kind::Discover, SYSTEM), answered(Kind::Offer, Told::NotAsked)],
                0,
                Stage::AddressOnly,
                true,
                "only for an address",
            ),
            (vec![asked(Kind::Discover, PXE)], 1, Stage::Unanswered, false, "not answered yet"),
            (
                vec![
                    asked(Kind::Discover, PXE),
                    What::DhcpIgnored { because: "all addresses are in use".into() },
                ],
                1,
                Stage::Unanswered,
                true,
                "all addresses are in use",
            ),
            (booted().into_iter().take(2).collect(), 5, Stage::Offered, false, "was offered"),
            (booted().into_iter().take(2).collect(), 60, Stage::Offered, true, "did not take it"),
            (vec![asked(Kind::Discover, PXE), bios()], 1, Stage::NothingToStart, true, "needs UEFI"),
            (
                vec![asked(Kind::Discover, PXE), answered(Kind::Ack, Told::LocalDisk)],
                500,
                Stage::LocalDisk,
                false,
                "own disk",
            ),
            (vec![asked(Kind::Discover, PXE), beside()], 5, Stage::Told, false, "told to fetch cairn.efi"),
            (
                vec![asked(Kind::Discover, PXE), What::DhcpLeftToDisk],
                500,
                Stage::LocalDisk,
                false,
                "own disk",
            ),
            (booted(), 1, Stage::Told, false, "told to fetch cairn.efi"),
            (booted(), 60, Stage::Told, true, "UDP port 69"),
            (then(booted(), [started(), progress()]), 5, Stage::Fetching, false, "12.3 MB of 80.0 MB"),
            (
                then(booted(), [started(), progress()]),
                90,
                Stage::Fetching,
                true,
                "stopped fetching cairn.efi at 12.3 MB",
            ),
            (then(booted(), [started(), aborted()]), 60, Stage::BrokenOff, true, "its port closed"),
            (then(booted(), [started(), done()]), 10, Stage::Fetched, false, "starts it"),
            (then(booted(), [started(), done()]), 300, Stage::Fetched, true, "Secure Boot"),
            (
                then(booted(), [started(), done(), asked(Kind::Discover, SYSTEM), started()]),
                300,
                Stage::Started,
                false,
                "has started Cairn",
            ),
        ];
        for (whats, silent, stage, stuck, words) in cases {
            let found = after(whats.clone(), silent).unwrap();
            assert_eq!((found.stage, found.stuck), (stage, stuck), "{whats:?}");
            assert!(found.sentence.contains(words), "{}", found.sentence);
        }
    }

    #[test]
    fn firmware_that_first_asks_for_the_size_alone_is_not_broken() {
        let size_only = [started(), What::FetchAborted { fetch: 1, bytes: 0, because: "x".into() }];
        let found = after(then(then(booted(), size_only), [started()]), 1).unwrap();
        assert_eq!((found.stage, found.stuck), (Stage::Fetching, false));
    }

    #[test]
    fn switched_off_and_on_a_machine_begins_anew() {
        let done = What::FetchDone { fetch: 1, bytes: 80_000_000, millis: 9000 };
        let found = after(then(then(booted(), [started(), done]), [asked(Kind::Discover, PXE)]), 1).unwrap();
        assert_eq!((found.stage, found.transfer, found.address), (Stage::Unanswered, None, None));
        assert_eq!(found.arch, Some(Arch::X64Efi));
    }

    #[test]
    fn the_reason_of_an_earlier_attempt_is_not_told_of_a_new_one() {
        let ignored = What::DhcpIgnored { because: "all addresses are in use".into() };
        let ask = || asked(Kind::Discover, PXE);
        let found = after(vec![ask(), ignored, ask()], 1).unwrap();
        assert_eq!((found.stuck, found.sentence.as_str()), (false, "It asked, and is not answered yet."));
    }

    fn anything() -> impl Strategy<Value = What> {
        let who = prop_oneof![Just(PXE), Just(SYSTEM), Just((Client::Ipxe, None))];
        let told = prop_oneof![
            Just(Told::NotAsked),
            Just(Told::LocalDisk),
            Just(Told::Boot("x".into())),
            Just(Told::Unable(Unable::NoArch))
        ];
        let kind = prop_oneof![
            Just(Kind::Discover),
            Just(Kind::Offer),
            Just(Kind::Request),
            Just(Kind::Ack),
            Just(Kind::Nak)
        ];
        prop_oneof![
            (kind.clone(), who).prop_map(|(kind, who)| asked(kind, who)),
            (kind, told).prop_map(|(kind, told)| answered(kind, told)),
            Just(overheard(PXE)),
            Just(beside()),
            Just(What::DhcpLeftToDisk),
            Just(started()),
            any::<u64>().prop_map(|bytes| What::FetchProgress { fetch: 1, bytes, size: 1 }),
            any::<u64>().prop_map(|bytes| What::FetchDone { fetch: 1, bytes, millis: bytes }),
            Just(What::FetchRefused { via: Via::Http, file: "y".into(), because: "z".into() }),
        ]
    }

    proptest! {
        #[test]
        fn every_story_ends_in_one_whole_sentence(whats in proptest::collection::vec(anything(), 0..30), silent in 0..10_000_u64) {
            let told = whats.iter().map(ToString::to_string).collect::<Vec<_>>();
            if let Some(found) = after(whats, silent) {
                prop_assert!(found.sentence.ends_with('.') && !found.sentence.contains(".."), "{told:?}: {}", found.sentence);
            }
        }
    }
}
