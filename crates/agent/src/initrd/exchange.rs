//! The machine's side of the code exchange: a state machine without I/O.

use cairn_model::cluster::Fingerprint;
use cairn_wire::code::{Commitment, Nonce, ShortCode, commit};
use std::time::Duration;

/// Each exchange is one guess for somebody in between, and each changes the code on the console.
const MIN_INTERVAL: Duration = Duration::from_secs(2);

/// The newest exchange; there is only ever one, so the console shows only one code.
#[derive(Debug, Default)]
pub struct Exchange {
    started: Option<Duration>,
    open: Option<Open>,
    agreed: Option<Agreed>,
}

#[derive(Debug)]
struct Open {
    commitment: Commitment,
    nonce: Nonce,
}

/// Both sides know the code now.
#[derive(Clone, Debug)]
pub struct Agreed {
    pub code: ShortCode,
    /// The CA (PEM) of which the manager proved to be.
    pub ca: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    #[error("a code was asked for a moment ago; wait two seconds")]
    TooSoon,
    #[error("the exchange of codes has to begin with a commitment")]
    NotBegun,
    #[error("the manager's nonce and CA are not those that it committed to; somebody may be in between")]
    BrokenPromise,
}

impl Exchange {
    /// The manager commits; the machine shows its nonce. `now` is any monotonic time.
    ///
    /// # Errors
    /// When the last exchange began too short a time ago.
    pub fn begin(
        &mut self,
        commitment: Commitment,
        nonce: Nonce,
        now: Duration,
    ) -> Result<Nonce, ExchangeError> {
        if self.started.is_some_and(|then| now.saturating_sub(then) < MIN_INTERVAL) {
            return Err(ExchangeError::TooSoon);
        }
        *self = Self { started: Some(now), open: Some(Open { commitment, nonce }), agreed: None };
        Ok(nonce)
    }

    /// The manager reveals; the code follows.
    ///
    /// # Errors
    /// When it reveals something else than it committed to, or did not commit at all.
    pub fn reveal(
        &mut self,
        machine: &Fingerprint,
        ca: &Fingerprint,
        ca_pem: &str,
        nonce: &Nonce,
    ) -> Result<ShortCode, ExchangeError> {
        let open = self.open.take().ok_or(ExchangeError::NotBegun)?;
        if commit(nonce, ca) != open.commitment {
            return Err(ExchangeError::BrokenPromise);
        }
        let code = ShortCode::new(machine, ca, &open.nonce, nonce);
        self.agreed = Some(Agreed { code: code.clone(), ca: ca_pem.to_owned() });
        Ok(code)
    }

    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(100);

    fn fp(byte: u8) -> Fingerprint {
        Fingerprint::from_bytes([byte; 32])
    }

    #[test]
    fn both_sides_get_the_same_code() {
        let mut exchange = Exchange::default();
        let theirs = exchange.begin(commit(&[5; 16], &fp(2)), [6; 16], T).unwrap();
        let code = exchange.reveal(&fp(1), &fp(2), "pem", &[5; 16]).unwrap();
        assert_eq!(code, ShortCode::new(&fp(1), &fp(2), &theirs, &[5; 16]));
        assert_eq!(exchange.agreed().unwrap().ca, "pem");
    }

    #[test]
    fn another_nonce_or_another_ca_than_promised_is_refused_and_the_exchange_is_over() {
        for (nonce, ca) in [([9; 16], fp(2)), ([5; 16], fp(3))] {
            let mut exchange = Exchange::default();
            exchange.begin(commit(&[5; 16], &fp(2)), [6; 16], T).unwrap();
            assert_eq!(exchange.reveal(&fp(1), &ca, "", &nonce), Err(ExchangeError::BrokenPromise));
            assert_eq!(exchange.reveal(&fp(1), &fp(2), "", &[5; 16]), Err(ExchangeError::NotBegun));
            assert!(exchange.agreed().is_none());
        }
    }

    #[test]
    fn codes_can_not_be_asked_for_in_a_burst() {
        let mut exchange = Exchange::default();
        exchange.begin([0; 32], [0; 16], T).unwrap();
        assert_eq!(exchange.begin([0; 32], [0; 16], T + Duration::from_secs(1)), Err(ExchangeError::TooSoon));
        exchange.begin([0; 32], [0; 16], T + Duration::from_secs(2)).unwrap();
    }

    #[test]
    fn a_new_exchange_takes_back_the_old_code() {
        let mut exchange = Exchange::default();
        exchange.begin(commit(&[5; 16], &fp(2)), [6; 16], T).unwrap();
        exchange.reveal(&fp(1), &fp(2), "", &[5; 16]).unwrap();
        exchange.begin([0; 32], [0; 16], T * 2).unwrap();
        assert!(exchange.agreed().is_none());
    }
}
