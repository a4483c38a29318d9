//! From the seed to every other secret: HKDF-SHA256 (RFC 5869) with labels that name version, class, epoch
//! and context.
//!
//! A label is a promise: changing one changes the secret behind it in every cluster there is.

use cairn_model::cluster::SecretClass;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::seed::RootSeed;

/// The secret of this class, epoch and context. `context` must not be ambiguous within its class: names are
/// RFC 1123 labels and hold no `/`.
pub(crate) fn derive(seed: &RootSeed, class: SecretClass, epoch: u32, context: &str) -> Zeroizing<[u8; 32]> {
    expand(seed, &format!("cairn/v1/{}/{epoch}/{context}", class.label()))
}

/// Bytes that are no secret but depend on the seed, such as those that choose the network.
#[cfg(feature = "file")]
pub(crate) fn public(seed: &RootSeed, what: &str) -> [u8; 32] {
    *expand(seed, &format!("cairn/v1/public/{what}"))
}

#[expect(
    clippy::expect_used,
    reason = "HKDF-SHA256 gives up to 8,160 bytes; going on with zeros would be worse"
)]
fn expand(seed: &RootSeed, label: &str) -> Zeroizing<[u8; 32]> {
    let mut output = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, seed.bytes())
        .expand(label.as_bytes(), output.as_mut())
        .expect("32 bytes are fewer than 8,160");
    output
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn seed() -> RootSeed {
        RootSeed::from_bytes(Zeroizing::new([7; 32]))
    }

    #[test]
    fn what_was_derived_once_is_derived_for_ever() {
        // checked against an independent implementation: see the openssl test in tests/openssl.rs
        let token = derive(&seed(), SecretClass::K3sToken, 1, "token");
        assert_eq!(hex::encode(token.as_slice()), include_str!("../tests/known-derivation.txt").trim());
    }

    #[test]
    fn class_epoch_and_context_each_change_the_secret() {
        let mut seen = HashSet::new();
        for class in SecretClass::ALL {
            for epoch in 1..4 {
                for context in ["", "a", "b"] {
                    assert!(seen.insert(*derive(&seed(), class, epoch, context)));
                }
            }
        }
    }
}
