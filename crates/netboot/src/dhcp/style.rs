//! The two ways in which firmware takes a boot answer beside a router's, and which one a machine gets.
//!
//! EDK2 knows an offer with PXE's discovery control (option 43, `ProxyPxe10`), which it follows at once, and one
//! without (`ProxyBinl`), after which it asks again on port 4011. Firmware has been released that ignores either
//! of them, and none of it says so: a machine that comes back without having fetched anything gets the other.

use serde::{Deserialize, Serialize};

use super::Told;
use crate::story::{Event, What};

/// A machine that asks again sooner than this repeats a packet, or asks through a second card: EDK2, iPXE and
/// PXE 2.1 wait four seconds for the first offers.
const SAME_ATTEMPT: u64 = 2_000;
/// A machine that was sent to its disk fetches nothing. Firmware that did not understand it asks again within
/// a minute (PXE 2.1: after 4, 8, 16 and 32 s); later it was switched on anew.
const SAME_POWER_ON: u64 = 60_000;

/// How a boot answer beside a router is worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// The offer says that its file is to be fetched.
    InOffer,
    /// The offer says no such thing, and the machine asks again on port 4011.
    On4011,
}

impl Style {
    /// What a machine gets of which nothing is known.
    pub const FIRST: Self = Self::InOffer;

    fn other(self) -> Self {
        match self {
            Self::InOffer => Self::On4011,
            Self::On4011 => Self::InOffer,
        }
    }
}

/// The last answer in one of the styles: where it stands in the story, and what it said.
fn last(events: &[Event]) -> Option<(usize, Style, &Told)> {
    events.iter().enumerate().rev().find_map(|(at, event)| match &event.what {
        What::DhcpAnswered { style: Some(style), told, .. } => Some((at, *style, told)),
        _ => None,
    })
}

/// The style in which a machine's exchange was begun, for the rest of it.
pub fn of_exchange(events: &[Event]) -> Style {
    // Nobody asks on port 4011 who was not sent there, by us or by an answer that is forgotten.
    last(events).map_or(Style::On4011, |(_, style, _)| style)
}

/// The style for a machine whose story, oldest event first, is this, when it begins anew at `now` (milliseconds
/// since 1970).
pub fn choose(events: &[Event], now: u64) -> Style {
    let Some((at, style, told)) = last(events) else { return Style::FIRST };
    let since = events.get(at..).unwrap_or_default();
    let fetched = |event: &Event| matches!(event.what, What::FetchStarted { .. } | What::FetchRefused { .. });
    let passed = now.saturating_sub(since.first().map_or(0, |event| event.unix_millis));
    let followed = since.iter().any(fetched) || *told == Told::LocalDisk && passed > SAME_POWER_ON;
    match followed || passed < SAME_ATTEMPT {
        true => style,
        false => style.other(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::Kind;
    use crate::story::Via;
    use proptest::prelude::*;

    fn told(style: Style, told: Told) -> What {
        What::DhcpAnswered { message: Kind::Offer, address: None, told, because: None, style: Some(style) }
    }

    fn boot(style: Style) -> What {
        told(style, Told::Boot("cairn.efi".into()))
    }

    fn fetched() -> What {
        What::FetchStarted { fetch: 1, via: Via::Tftp, file: "cairn.efi".into(), size: 1 }
    }

    fn refused() -> What {
        What::FetchRefused { via: Via::Http, file: "x".into(), because: "no".into() }
    }

    /// These events a second apart, and a question so many milliseconds after the last.
    fn after(whats: &[What], silent: u64) -> Style {
        let event = |(number, what): (u64, &What)| Event {
            number,
            unix_millis: number * 1000,
            machine: None,
            what: what.clone(),
        };
        let events: Vec<Event> = (1..).zip(whats).map(event).collect();
        choose(&events, events.last().map_or(0, |event| event.unix_millis) + silent)
    }

    #[test]
    fn a_machine_that_comes_back_without_having_fetched_gets_the_other_style() {
        use Style::{InOffer, On4011};
        let disk = |style| told(style, Told::LocalDisk);
        let cases: [(&str, &[What], u64, Style); 11] = [
            ("unknown", &[], 0, Style::FIRST),
            ("never answered", &[fetched()], 9000, Style::FIRST),
            ("came back", &[boot(InOffer)], 4000, On4011),
            ("came back again", &[boot(InOffer), boot(On4011)], 4000, InOffer),
            ("came back the next day", &[boot(InOffer)], 86_400_000, On4011),
            ("followed", &[boot(On4011), fetched()], 86_400_000, On4011),
            ("asked for what is not served", &[boot(On4011), refused()], 4000, On4011),
            ("followed, then not", &[boot(InOffer), fetched(), boot(InOffer)], 4000, On4011),
            ("a repeated packet", &[boot(InOffer)], 500, InOffer),
            ("sent to its disk, understood nothing", &[disk(InOffer)], 8000, On4011),
            ("sent to its disk, switched on anew", &[disk(InOffer)], 600_000, InOffer),
        ];
        for (name, whats, silent, expected) in cases {
            assert_eq!(after(whats, silent), expected, "{name}");
        }
    }

    #[test]
    fn an_exchange_ends_in_the_style_in_which_it_began() {
        let event = Event { number: 1, unix_millis: 0, machine: None, what: boot(Style::InOffer) };
        assert_eq!(of_exchange(&[event]), Style::InOffer);
        assert_eq!(of_exchange(&[]), Style::On4011);
    }

    proptest! {
        #[test]
        fn who_never_follows_is_offered_both_in_turn_and_who_follows_keeps_its_own(follows: Option<bool>, pauses in prop::collection::vec(2_001_u64..500_000, 2..20)) {
            let (mut events, mut now, mut styles) = (Vec::<Event>::new(), 0, Vec::new());
            for pause in pauses {
                now += pause;
                let style = choose(&events, now);
                styles.push(style);
                let mut add = |what| events.push(Event { number: 0, unix_millis: now, machine: None, what });
                add(boot(style));
                if follows == Some(style == Style::InOffer) {
                    add(fetched());
                }
            }
            match follows {
                None => prop_assert!(styles.windows(2).all(|two| two[0] != two[1])),
                // After at most one wrong try it is right for good.
                Some(in_offer) => prop_assert!(styles.iter().skip(1).all(|style| (*style == Style::InOffer) == in_offer)),
            }
        }
    }
}
