//! Which version a Raspberry Pi starts, as two files of one sector each say it.
//!
//! The firmware reads `config.txt`, or, when it was told so before a restart, once `tryboot.txt`. Each names one of two
//! folders. Both files are always there and always name something whole, so every change is one sector of one file:
//!
//! ```text
//!            config  tryboot
//!   good       A        A
//!              A        A     folder B is filled
//!   fresh      A      B+3
//!   trying     A      B+2-1   restarted with the flag: B runs. Anything else starts A again
//!   failed     A      B+0-3   B is not tried again
//!   committed  B      B+2-1   B was sound
//!   good       B        B
//! ```

use crate::boot_entry::{BootEntry, Counter, TRIES};
use crate::plan::Slot;

/// The files' size, always: one sector.
pub const SECTOR: usize = 512;

const VERSION: &str = "#version=";
/// `os_prefix` goes before the names of all files that belong to a version; the firmware ignores it when there is no
/// kernel or device tree. A 64-bit kernel may be called anything. `enable_uart` also keeps the clock still that the
/// serial port on the header gets its speed from. Without a screen worth a driver the GPU needs little memory.
const SETTINGS: &str = "arm_64bit=1
kernel=linux
initramfs initrd followkernel
cmdline=cmdline.txt
upstream_kernel=1
enable_uart=1
gpu_mem=32
disable_splash=1
";

/// A version in one of the two folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub slot: Slot,
    pub entry: BootEntry,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChoiceError {
    #[error("the version `{0}` is the one that this card starts; there is nothing to try")]
    Current(String),
    #[error("the card holds no version `{0}` to be tried: transfer it first")]
    NoEntry(String),
    #[error("the version `{0}` was started as often as it may be and did not come up: it is not tried again")]
    Failed(String),
}

/// The folder's name, with the slash that `os_prefix` wants.
pub fn folder(slot: Slot) -> &'static str {
    match slot {
        Slot::A => "cairn-a/",
        Slot::B => "cairn-b/",
    }
}

impl Choice {
    pub fn good(slot: Slot, entry: &BootEntry) -> Self {
        Self { slot, entry: entry.good() }
    }

    /// The file. A version has at most 64 characters, so it always fits.
    pub fn encode(&self) -> [u8; SECTOR] {
        let Self { slot, entry } = self;
        let name = entry.name();
        let name = name.strip_suffix(".efi").unwrap_or(&name);
        let text = format!("{VERSION}{name}\nos_prefix={}\n{SETTINGS}", folder(*slot));
        let mut bytes = [b'\n'; SECTOR];
        bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        bytes
    }

    /// `None` for what Cairn did not write: the owner may have edited it, and the firmware obeys whatever stands there.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let name = text.lines().next()?.strip_prefix(VERSION)?;
        let entry = BootEntry::parse(&format!("{name}.efi"))?;
        let choice = [Slot::A, Slot::B].map(|slot| Self { slot, entry: entry.clone() });
        choice.into_iter().find(|choice| choice.encode() == bytes)
    }

    fn with(&self, counter: Option<Counter>) -> Self {
        Self { slot: self.slot, entry: BootEntry { stem: self.entry.stem.clone(), counter } }
    }
}

/// One write, whole or not at all; only `Fill` is more than a sector, into a folder that nothing names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Fill(Choice),
    /// `tryboot.txt`
    Offer(Choice),
    /// `config.txt`
    Commit(Choice),
}

/// What the two files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub config: Choice,
    pub tryboot: Choice,
}

impl Card {
    /// The version that is tried, or was.
    fn trial(&self) -> Option<&Choice> {
        Some(&self.tryboot).filter(|tryboot| tryboot.slot != self.config.slot)
    }

    pub fn entries(&self) -> Vec<BootEntry> {
        [Some(&self.config), self.trial()].into_iter().flatten().map(|choice| choice.entry.clone()).collect()
    }

    /// What the firmware starts: `flag` is what it was told before this restart, and has forgotten already.
    pub fn starts(&self, flag: bool) -> &Choice {
        if flag { &self.tryboot } else { &self.config }
    }

    /// A new version goes where the one that is started does not lie.
    pub fn add(&self, entry: &BootEntry) -> Result<Vec<Step>, ChoiceError> {
        if self.config.entry.stem == entry.stem {
            return Err(ChoiceError::Current(entry.stem.clone()));
        }
        let new = Choice { slot: self.config.slot.other(), entry: entry.clone() };
        let fresh = new.with(Some(Counter { left: TRIES, done: 0 }));
        // Nothing may name the folder while it changes.
        let withdrawn = self.trial().map(|_| Step::Offer(self.config.clone()));
        Ok(withdrawn.into_iter().chain([Step::Fill(new), Step::Offer(fresh)]).collect())
    }

    /// Gives a version another counter; without one it is started from now on.
    pub fn recount(&self, to: &BootEntry) -> Result<Vec<Step>, ChoiceError> {
        let tryboot = self.tryboot.with(to.counter);
        let offer = (tryboot != self.tryboot).then(|| Step::Offer(tryboot.clone()));
        if self.config.entry.stem == to.stem {
            // Good already; the power may have gone before the other file said so too.
            let same = self.trial().is_none() && to.is_good();
            return Ok(offer.filter(|_| same).into_iter().collect());
        }
        if self.trial().is_none_or(|trial| trial.entry.stem != to.stem) {
            return Err(ChoiceError::NoEntry(to.stem.clone()));
        }
        let commit = to.is_good().then_some(Step::Commit(tryboot));
        Ok(commit.into_iter().chain(offer).collect())
    }

    /// Counts an attempt, before the restart that makes it.
    pub fn try_once(&self, entry: &BootEntry) -> Result<Vec<Step>, ChoiceError> {
        match self.trial().filter(|trial| trial.entry.stem == entry.stem) {
            None => Err(ChoiceError::NoEntry(entry.stem.clone())),
            Some(trial) if trial.entry.is_failed() => Err(ChoiceError::Failed(entry.stem.clone())),
            Some(trial) => Ok(vec![Step::Offer(trial.with(trial.entry.attempted().counter))]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(version: &str) -> BootEntry {
        BootEntry::fresh(version).unwrap()
    }

    fn card() -> Card {
        let good = Choice::good(Slot::A, &entry("1"));
        Card { config: good.clone(), tryboot: good }
    }

    /// The card and what is whole in its folders.
    #[derive(Clone, Debug)]
    struct World {
        card: Card,
        whole: [Option<String>; 2],
    }

    impl World {
        fn new() -> Self {
            Self { card: card(), whole: [Some("cairn_1".to_owned()), None] }
        }

        fn folder(&mut self, slot: Slot) -> &mut Option<String> {
            let [a, b] = &mut self.whole;
            if slot == Slot::A { a } else { b }
        }

        /// `torn`: the power goes in the middle. A sector is written or not, a folder is neither.
        fn take(&mut self, step: Step, torn: bool) {
            match step {
                Step::Fill(choice) => {
                    *self.folder(choice.slot) = (!torn).then(|| choice.entry.stem.clone());
                }
                Step::Offer(choice) if !torn => self.card.tryboot = choice,
                Step::Commit(choice) if !torn => self.card.config = choice,
                _ => {}
            }
        }

        /// The version that runs after a start, if anything does.
        fn start(&mut self, flag: bool) -> Option<String> {
            let choice = self.card.starts(flag).clone();
            self.folder(choice.slot).clone().filter(|stem| *stem == choice.entry.stem)
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Add(u8),
        Try,
        Restore,
        Count,
        Bless,
        PowerOn,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (0..4_u8).prop_map(Act::Add),
            Just(Act::Try),
            Just(Act::Restore),
            Just(Act::Count),
            Just(Act::Bless),
            Just(Act::PowerOn),
        ]
    }

    proptest! {
        #[test]
        fn a_power_cut_between_any_two_writes_leaves_a_card_that_starts(
            acts in prop::collection::vec((act(), prop::option::weighted(0.3, 0..3_usize)), 1..40),
        ) {
            let mut world = World::new();
            let mut running = "cairn_1".to_owned();
            let mut blessed = running.clone();
            for (act, cut) in acts {
                let own = BootEntry { stem: running.clone(), counter: None };
                let found = world.card.entries().into_iter().find(|e| e.stem == running).unwrap_or(own);
                let mut flag = false;
                let steps = match act {
                    // an update is brought by the version that is good
                    Act::Add(n) if running == world.card.config.entry.stem => world.card.add(&entry(&n.to_string())),
                    Act::Try => {
                        let trial = world.card.trial().map(|trial| trial.entry.clone());
                        let steps = world.card.try_once(&trial.unwrap_or(found));
                        flag = steps.is_ok();
                        steps
                    }
                    Act::Restore => world.card.recount(&found.restored()),
                    Act::Count => world.card.recount(&found.attempted()),
                    Act::Bless => world.card.recount(&found.good()),
                    _ => Ok(Vec::new()),
                };
                let steps = steps.unwrap_or_default();
                let whole = cut.is_none_or(|cut| cut >= steps.len());
                for (number, step) in steps.into_iter().enumerate() {
                    if cut.is_some_and(|cut| number > cut) {
                        break;
                    }
                    world.take(step, cut == Some(number));
                    let config = world.card.config.entry.stem.clone();
                    prop_assert_eq!(world.start(false), Some(config), "{:?}", world);
                    prop_assert!(world.start(true).is_some(), "{:?}", world);
                    prop_assert!(world.card.config.entry.is_good());
                    if matches!(act, Act::Bless) && world.card.config.entry.stem == running {
                        blessed.clone_from(&running);
                    }
                }
                prop_assert_eq!(&world.card.config.entry.stem, &blessed, "only what was called good is good");
                match act {
                    Act::Try if flag && whole => running = world.start(true).unwrap(),
                    Act::PowerOn => running = world.start(false).unwrap(),
                    _ if !whole => running = world.start(false).unwrap(),
                    _ => {}
                }
            }
            prop_assert_eq!(world.start(false), Some(blessed), "what is not committed falls back");
        }

        #[test]
        fn a_choice_is_read_back_and_fills_its_sector(
            version in "[a-z0-9][a-z0-9.+-]{0,63}", b in any::<bool>(), count in prop::option::of((0..9_u32, 0..9_u32)),
        ) {
            let counter = count.map(|(left, done)| Counter { left, done });
            let choice = Choice { slot: if b { Slot::B } else { Slot::A }, entry: BootEntry { counter, ..entry(&version) } };
            let bytes = choice.encode();
            prop_assert!(bytes.ends_with(b"\n"));
            prop_assert_eq!(Choice::parse(&bytes), Some(choice));
        }

        #[test]
        fn any_bytes_are_a_choice_or_none(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Choice::parse(&bytes);
        }
    }

    #[test]
    fn a_version_that_fails_runs_out_of_tries_and_waiting_for_the_key_costs_none() {
        let mut world = World::new();
        let run = |world: &mut World, steps: Result<Vec<Step>, ChoiceError>| {
            steps.unwrap().into_iter().for_each(|step| world.take(step, false));
        };
        let new = entry("2");
        let steps = world.card.add(&new);
        run(&mut world, steps);
        let waits = |world: &World| world.card.tryboot.entry.restored();
        let steps = world.card.try_once(&new);
        run(&mut world, steps);
        assert_eq!(world.start(true).as_deref(), Some("cairn_2"));
        let steps = world.card.recount(&waits(&world));
        run(&mut world, steps);
        assert_eq!(world.card.tryboot.entry, new);
        for _ in 0..TRIES {
            let steps = world.card.try_once(&new);
            run(&mut world, steps);
            assert_eq!(world.start(false).as_deref(), Some("cairn_1"));
        }
        assert_eq!(world.card.try_once(&new), Err(ChoiceError::Failed("cairn_2".to_owned())));
    }

    #[test]
    fn the_running_version_is_not_written_over_and_an_unknown_one_not_tried() {
        let (one, two) = (entry("1"), entry("2"));
        assert_eq!(card().add(&one), Err(ChoiceError::Current("cairn_1".to_owned())));
        assert_eq!(card().try_once(&two), Err(ChoiceError::NoEntry("cairn_2".to_owned())));
        assert_eq!(card().recount(&two.good()), Err(ChoiceError::NoEntry("cairn_2".to_owned())));
        assert_eq!(card().recount(&one.good()), Ok(Vec::new()));
    }

    #[test]
    fn a_file_that_somebody_edited_is_not_taken_for_ours() {
        let mut bytes = card().config.encode();
        assert!(Choice::parse(&bytes).is_some());
        bytes[SECTOR - 1] = b'#';
        assert_eq!(Choice::parse(&bytes), None);
    }
}
