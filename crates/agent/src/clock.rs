//! The system's clock. Small machines have none that goes on without power, and begin with the oldest time that systemd
//! accepts; the manager says what time it is, and a node remembers that it was so late already.

use crate::files;
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
/// A small machine's card is written once an hour, and the clock is behind by at most that much after a power cut.
pub const REMEMBER_EVERY: Duration = Duration::from_secs(3600);

#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    #[error("the manager's own clock is wrong: it says {} s after 1970, and Cairn was made between 2025 and 2100; set that clock first", .0.as_secs())]
    Implausible(Duration),
    #[error("the kernel did not take the time")]
    Kernel(#[source] io::Error),
}

/// # Errors
/// When that can't be the time, and when the kernel refuses.
pub fn set(since_1970: Duration) -> Result<(), ClockError> {
    write(plausible(since_1970)?)
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

/// What the clock has to be set to when it stands before the latest time that was seen.
fn behind(now: SystemTime, seen: SystemTime) -> Option<Duration> {
    let seen = seen.duration_since(UNIX_EPOCH).ok().filter(|seen| plausible(*seen).is_ok())?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    (now < seen).then_some(seen)
}

/// Sets the clock to the latest time that this node has seen, when it stands before it: as after a start without a
/// manager, by the recovery key.
///
/// # Errors
/// When the kernel refuses.
pub fn catch_up() -> Result<(), ClockError> {
    let seen = std::fs::metadata(LATEST_SEEN).and_then(|file| file.modified());
    match seen.ok().and_then(|seen| behind(SystemTime::now(), seen)) {
        Some(seen) => write(seen),
        None => Ok(()),
    }
}

/// Remembers that it is so late.
///
/// # Errors
/// When the file can't be written.
pub fn remember() -> io::Result<()> {
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
        assert_eq!(behind(at(earlier), at(later)), Some(Duration::from_secs(later)));
        assert_eq!(behind(at(0), at(later)), Some(Duration::from_secs(later)));
        assert_eq!(behind(at(later), at(earlier)), None);
        assert_eq!(behind(at(later), at(later)), None);
    }

    #[test]
    fn a_time_that_can_not_be_is_not_believed() {
        for seconds in [0, 1_735_689_599, 4_102_444_800, u64::MAX] {
            let error = plausible(Duration::from_secs(seconds)).unwrap_err().to_string();
            assert!(error.contains("set that clock first"), "{error}");
            assert_eq!(behind(at(1_000), at(seconds.min(5_000_000_000))), None);
        }
        assert!(plausible(Duration::from_secs(1_764_000_000)).is_ok());
    }
}
