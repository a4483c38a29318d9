//! The HTTP client: how long it waits, and how often it tries.

use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(15);
const RESPONSE: Duration = Duration::from_secs(30);
/// There is no bound on silence alone, so a body that takes longer is cut, and goes on with the next
/// attempt where it was.
const BODY: Duration = Duration::from_secs(300);

/// How often something is tried that may work the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Tries in a row that got no further than those before.
    pub attempts: u32,
    /// After the first of them; each next pause is twice as long,
    pub first: Duration,
    /// up to this.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 5, first: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }
}

impl Patience {
    /// The pause after the `attempt`th failure in a row, counted from 1; `None` to give up.
    pub fn pause(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        Some(self.first.saturating_mul(factor).min(self.longest))
    }
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) agent: ureq::Agent,
    pub(crate) patience: Patience,
}

impl Client {
    /// For the house's own network: no proxy, and no TLS either, since the checksum is known.
    pub fn direct(patience: Patience) -> Self {
        Self { agent: config().proxy(None).build().into(), patience }
    }

    /// For the internet, through the proxy that the environment names.
    pub fn internet(patience: Patience) -> Self {
        Self { agent: config().build().into(), patience }
    }

    /// As [`Self::internet`], for what nothing but TLS vouches for.
    pub fn https_only(patience: Patience) -> Self {
        Self { agent: config().https_only(true).build().into(), patience }
    }
}

fn config() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(RESPONSE))
        .timeout_recv_body(Some(BODY))
        .http_status_as_error(false)
        .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let second = Duration::from_secs(1);
        let patience = Patience { attempts: 6, first: second, longest: 5 * second };
        let pauses: Vec<_> = (1..=7).map(|attempt| patience.pause(attempt).map(|p| p.as_secs())).collect();
        assert_eq!(pauses, [Some(1), Some(2), Some(4), Some(5), Some(5), None, None]);
        let endless = Patience { attempts: u32::MAX, ..patience };
        assert_eq!(endless.pause(4_000_000_000), Some(5 * second));
    }
}
