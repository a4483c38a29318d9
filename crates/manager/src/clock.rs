//! Machines without a clock get the time from the manager. So do those whose clock is right when they can't know that:
//! they tell it to others from then on.

use crate::core::Core;
use crate::enrol::ActError;
use cairn_model::cluster::Fingerprint;
use cairn_wire::client::{Client, ClientError};
use cairn_wire::message::{Description, Request, Response};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Below it lie the seconds that are not told, and the time that an answer takes.
const OFF: u64 = 5;
/// One that does not keep the time is not told it with every word, but after each start.
const TELL_AGAIN: Duration = Duration::from_secs(600);

/// Whether a machine that says this now has to be told the time.
pub fn is_off(description: &Description, unix_now: u64, told: Option<Instant>, now: Instant) -> bool {
    let Some(vitals) = &description.vitals else { return false };
    let told_lately = told.is_some_and(|told| {
        let ago = now.saturating_duration_since(told);
        ago < TELL_AGAIN && ago <= Duration::from_secs(vitals.uptime_seconds)
    });
    let off = vitals.clock.abs_diff(unix_now) > OFF || vitals.clock_known == Some(false);
    off && !told_lately
}

/// # Errors
/// When the machine refuses, or the conversation breaks.
pub async fn set(core: &Core, client: &mut Client, key: &Fingerprint) -> Result<(), ActError> {
    // told or not: what it refuses it refuses in a moment, too, and it gets its key all the same
    core.machine(key, |machine| {
        machine.clock_set = Some(Instant::now());
        machine.wake.notify_one();
    });
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
    match client.ask(&Request::SetClock { unix_ms }).await? {
        Response::Done => {
            tracing::info!(machine = cairn_wire::fingerprint::short(key), "it was told what time it is");
            Ok(())
        }
        _ => Err(ClientError::Unexpected.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::description;
    use cairn_model::vitals::Vitals;
    use cairn_wire::message::AgentState;

    #[test]
    fn a_machine_is_told_the_time_when_it_is_off_and_not_again_at_once() {
        let now = Instant::now();
        let said = |clock, uptime_seconds| {
            let mut said = description(AgentState::Fresh);
            said.vitals = Some(Vitals { clock, uptime_seconds, ..Vitals::default() });
            said
        };
        let off = |clock, told| is_off(&said(clock, 3_600), 1_764_000_000, told, now);
        assert!(!off(1_764_000_000, None) && !off(1_764_000_005, None) && !off(1_763_999_995, None));
        assert!(off(0, None) && off(1_764_000_006, None) && off(3_155_760_000, None));
        assert!(!off(0, Some(now)));
        let later =
            |seconds, up| is_off(&said(0, up), 1_764_000_000, Some(now), now + Duration::from_secs(seconds));
        assert!(!later(599, 3_600) && later(600, 3_600));
        assert!(later(60, 59) && !later(60, 60), "what it was told before it restarted it may have lost");
        let mut unsure = said(1_764_000_000, 3_600);
        unsure.vitals.as_mut().unwrap().clock_known = Some(false);
        assert!(is_off(&unsure, 1_764_000_000, None, now), "right, and does not know it");
        assert!(!is_off(&unsure, 1_764_000_000, Some(now), now));
        unsure.vitals.as_mut().unwrap().clock_known = Some(true);
        assert!(!is_off(&unsure, 1_764_000_000, None, now));
        assert!(
            !is_off(&description(AgentState::Fresh), 1_764_000_000, None, now),
            "an older one tells nothing"
        );
    }
}
