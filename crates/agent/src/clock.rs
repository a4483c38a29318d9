//! The system's clock. Small machines have none that goes on without power, and begin with the oldest time that systemd
//! accepts; the manager says what time it is, or the other nodes do ([`crate::running::peers`]), and a node remembers that
//! it was so late already.

use crate::files;
use cairn_wire::message::Response;
use rustix::time::{ClockId, Timespec, clock_settime};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 2025-01-01, before there was any of this: who believes in an earlier time has no clock either.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);
/// 2100-01-01. A hardware clock that lost its century stands in 2070.
const LATEST: Duration = Duration::from_secs(4_102_444_800);
/// Its time of change is the latest that this node has seen. On the encrypted volume: who has the card does not decide
/// what time it is.
const LATEST_SEEN: &str = "/var/lib/cairn/clock";
/// What is known of the time since the start: `/run` is memory that initrd and root share, gone with the power.
const STATE: &str = "/run/cairn/clock";
const KNOWN: &str = "known";
const CAUGHT_UP: &str = "caught up";
/// Nobody leaves a node switched off for longer; a hardware clock whose battery is empty may stand anywhere.
const LONGEST_OFF: Duration = Duration::from_secs(366 * 24 * 3600);
/// A small machine's card is written once an hour, and the clock is behind by at most that much after a power cut.
pub const REMEMBER_EVERY: Duration = Duration::from_secs(3600);

#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    #[error("the clock of who tells the time is wrong: it says {} s after 1970, and Cairn was made between 2025 and 2100; set that clock first", .0.as_secs())]
    Implausible(Duration),
    #[error("the kernel did not take the time")]
    Kernel(#[source] io::Error),
}

/// # Errors
/// When that can't be the time, and when the kernel refuses.
pub fn set(since_1970: Duration) -> Result<(), ClockError> {
    write(plausible(since_1970)?)?;
    trust();
    Ok(())
}

/// From now on this clock is worth telling others.
pub fn trust() {
    note(KNOWN);
}

fn note(state: &str) {
    if let Err(error) = files::write_with_mode(Path::new(STATE), state.as_bytes(), 0o644) {
        tracing::warn!(%error, "what is known of the time can't be written down");
    }
}

/// Whether the clock was set since the start, or went on while the machine was off.
pub fn is_known() -> bool {
    std::fs::read_to_string(STATE).is_ok_and(|state| state == KNOWN)
}

/// What another node hears who asks for the time.
pub fn tell() -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Response::Time { unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX), known: is_known() }
}

fn plausible(since_1970: Duration) -> Result<Duration, ClockError> {
    let inside = (EARLIEST..LATEST).contains(&since_1970);
    if inside { Ok(since_1970) } else { Err(ClockError::Implausible(since_1970)) }
}

fn write(since_1970: Duration) -> Result<(), ClockError> {
    let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
    let time = Timespec { tv_sec: seconds, tv_nsec: since_1970.subsec_nanos().into() };
    clock_settime(ClockId::Realtime, time).map_err(|error| ClockError::Kernel(error.into()))
}

/// What a clock is worth that nobody has set since the start, by the latest time that this node has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It stands before that time, and is set to it.
    Behind(Duration),
    /// It went on while the machine was off.
    WentOn,
    Unknown,
}

fn standing(now: SystemTime, seen: Option<SystemTime>) -> Standing {
    let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let Some(seen) = seen.map(since_1970).filter(|seen| plausible(*seen).is_ok()) else {
        return Standing::Unknown;
    };
    match since_1970(now).checked_sub(seen) {
        None => Standing::Behind(seen),
        Some(off) if off <= LONGEST_OFF => Standing::WentOn,
        Some(_) => Standing::Unknown,
    }
}

fn now_standing() -> Standing {
    let seen = std::fs::metadata(LATEST_SEEN).and_then(|file| file.modified());
    standing(SystemTime::now(), seen.ok())
}

/// Sets the clock to the latest time that this node has seen, when it stands before it: as after a start without a
/// manager, by the recovery key. Does so once after each start, and not where the manager told the time already.
///
/// # Errors
/// When the kernel refuses.
pub fn catch_up() -> Result<(), ClockError> {
    if Path::new(STATE).exists() {
        return Ok(());
    }
    match now_standing() {
        Standing::Behind(seen) => {
            write(seen)?;
            note(CAUGHT_UP);
        }
        Standing::WentOn => note(KNOWN),
        Standing::Unknown => {}
    }
    Ok(())
}

/// Remembers that it is so late, unless nothing speaks for it.
///
/// # Errors
/// When the file can't be written.
pub fn remember() -> io::Result<()> {
    if !is_known() && now_standing() == Standing::Unknown {
        return Ok(());
    }
    files::write_with_mode(Path::new(LATEST_SEEN), b"", 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_clock_only_catches_up_and_never_goes_back_by_itself() {
        let (earlier, later) = (1_764_000_000, 1_764_000_600);
        let behind = Standing::Behind(Duration::from_secs(later));
        assert_eq!(standing(at(earlier), Some(at(later))), behind);
        assert_eq!(standing(at(0), Some(at(later))), behind);
        assert_eq!(standing(at(later), Some(at(earlier))), Standing::WentOn);
        assert_eq!(standing(at(later), Some(at(later))), Standing::WentOn);
    }

    #[test]
    fn a_clock_that_nothing_speaks_for_is_not_told_to_others() {
        let seen = 1_764_000_000;
        let year = LONGEST_OFF.as_secs();
        assert_eq!(standing(at(seen), None), Standing::Unknown);
        assert_eq!(standing(at(seen + year), Some(at(seen))), Standing::WentOn);
        // 2070: the hardware clock lost its century
        for now in [seen + year + 1, 3_155_760_000] {
            assert_eq!(standing(at(now), Some(at(seen))), Standing::Unknown);
        }
    }

    #[test]
    fn a_time_that_can_not_be_is_not_believed() {
        for seconds in [0, 1_735_689_599, 4_102_444_800, u64::MAX] {
            let error = plausible(Duration::from_secs(seconds)).unwrap_err().to_string();
            assert!(error.contains("set that clock first"), "{error}");
            assert_eq!(standing(at(1_000), Some(at(seconds.min(5_000_000_000)))), Standing::Unknown);
        }
        assert!(plausible(Duration::from_secs(1_764_000_000)).is_ok());
    }
}
