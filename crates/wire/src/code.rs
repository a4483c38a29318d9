//! The short code that an owner compares on the console and on the page.
//!
//! Both sides contribute a nonce. The manager commits to its nonce *and its CA key* before it learns
//! the machine's nonce; the machine's key is fixed by the TLS handshake before that. So nobody in
//! between can search for values that make two different conversations show the same code: one
//! attempt succeeds with a chance of one in a million, and each attempt changes the code that stands
//! on the console. (The scheme is that of ZRTP, RFC 6189 section 4.4.1.1, and of Bluetooth's numeric
//! comparison.)

use cairn_model::cluster::Fingerprint;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// 16 bytes from the system's random source.
pub type Nonce = [u8; 16];

/// What the manager sends before it knows the machine's nonce.
pub type Commitment = [u8; 32];

/// The manager's promise about its nonce and its CA.
pub fn commit(nonce: &Nonce, ca: &Fingerprint) -> Commitment {
    let mut hash = Sha256::new();
    hash.update(b"cairn/v1/code/commitment");
    hash.update(nonce);
    hash.update(ca.as_bytes());
    hash.finalize().into()
}

/// Six digits, shown as `123-456`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShortCode(String);

impl ShortCode {
    pub fn new(
        machine: &Fingerprint,
        ca: &Fingerprint,
        machine_nonce: &Nonce,
        manager_nonce: &Nonce,
    ) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"cairn/v1/code");
        hash.update(machine.as_bytes());
        hash.update(ca.as_bytes());
        hash.update(machine_nonce);
        hash.update(manager_nonce);
        let digest: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]) % 1_000_000;
        Self(format!("{:03}-{:03}", number / 1000, number % 1000))
    }

    /// Whether what a person typed is this code; spaces and dashes do not count.
    pub fn matches(&self, typed: &str) -> bool {
        let digits = |text: &str| text.chars().filter(|c| !matches!(c, '-' | ' ')).collect::<String>();
        digits(&self.0) == digits(typed)
    }
}

impl fmt::Display for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fp(byte: u8) -> Fingerprint {
        Fingerprint::from_bytes([byte; 32])
    }

    #[test]
    fn a_code_depends_on_both_keys_and_both_nonces() {
        let base = ShortCode::new(&fp(1), &fp(2), &[3; 16], &[4; 16]);
        assert_eq!(base, ShortCode::new(&fp(1), &fp(2), &[3; 16], &[4; 16]));
        assert_ne!(base, ShortCode::new(&fp(9), &fp(2), &[3; 16], &[4; 16]));
        assert_ne!(base, ShortCode::new(&fp(1), &fp(9), &[3; 16], &[4; 16]));
        assert_ne!(base, ShortCode::new(&fp(1), &fp(2), &[9; 16], &[4; 16]));
        assert_ne!(base, ShortCode::new(&fp(1), &fp(2), &[3; 16], &[9; 16]));
    }

    #[test]
    fn a_commitment_binds_the_nonce_and_the_ca() {
        assert_ne!(commit(&[1; 16], &fp(1)), commit(&[2; 16], &fp(1)));
        assert_ne!(commit(&[1; 16], &fp(1)), commit(&[1; 16], &fp(2)));
    }

    #[test]
    fn a_typed_code_may_leave_out_the_dash() {
        let code = ShortCode("012-345".into());
        assert!(code.matches("012345") && code.matches("012-345") && code.matches(" 012 345 "));
        assert!(!code.matches("12345") && !code.matches("") && !code.matches("012346"));
    }
}
