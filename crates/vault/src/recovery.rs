//! A volume's recovery key, in the form in which a person types it at a console.
//!
//! The text is the passphrase, character by character. Its alphabet is modhex, as in systemd's recovery keys:
//! sixteen letters that lie on the same keys of American, German, French and other keyboards, because the
//! console of a node knows only the American one. For the same reason its groups are parted by spaces: a
//! hyphen does not lie on the same key.

use cairn_model::secret::Secret;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const ALPHABET: &[u8; 16] = b"cbdefghijklnrtuv";
/// 160 bits, in 40 letters; no guess ever gets there, and every letter more is one more to mistype.
const SECRET_BYTES: usize = 20;
/// 32 bits, in the last 8 letters: tells a typing error from a wrong key before a volume is asked.
const CHECK_BYTES: usize = 4;
const GROUP: usize = 8;

/// The recovery key of one volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryKey(Secret);

/// Why a typed text is no recovery key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryKeyError {
    /// A letter of no recovery key.
    #[error("a recovery key has only the letters b to l without a, n, r, t, u and v; '{0}' is none of them")]
    Letter(char),
    /// Too short or too long.
    #[error("a recovery key has 48 letters in 6 groups, and this has {0}; compare it with the printed one")]
    Length(usize),
    /// The check letters don't fit.
    #[error("a letter of the recovery key is wrong; compare it with the printed one, group by group")]
    Mistyped,
}

impl RecoveryKey {
    pub(crate) fn from_secret(secret: &Zeroizing<[u8; 32]>) -> Self {
        let secret: Zeroizing<Vec<u8>> = Zeroizing::new(secret.iter().copied().take(SECRET_BYTES).collect());
        Self::from_body(&secret)
    }

    fn from_body(secret: &[u8]) -> Self {
        let check = check(secret);
        let nibbles = secret.iter().chain(&check).flat_map(|byte| [byte >> 4, byte & 0xf]);
        let mut text = String::with_capacity(2 * (SECRET_BYTES + CHECK_BYTES) + 8);
        for (index, nibble) in nibbles.enumerate() {
            if index > 0 && index.is_multiple_of(GROUP) {
                text.push(' ');
            }
            // a nibble is below 16
            text.extend(ALPHABET.get(usize::from(nibble)).copied().map(char::from));
        }
        Self(Secret::new(text))
    }

    /// Reads a key as a person typed or pasted it: in any case, grouped in any way.
    ///
    /// # Errors
    ///
    /// When it can't be right.
    pub fn parse(typed: &str) -> Result<Self, RecoveryKeyError> {
        let mut nibbles = Zeroizing::new(Vec::with_capacity(2 * (SECRET_BYTES + CHECK_BYTES)));
        for letter in typed.chars().filter(|letter| !letter.is_whitespace() && *letter != '-') {
            let lower = letter.to_ascii_lowercase();
            let value = (0u8..16).zip(ALPHABET).find(|(_, known)| char::from(**known) == lower);
            nibbles.push(value.ok_or(RecoveryKeyError::Letter(letter))?.0);
        }
        if nibbles.len() != 2 * (SECRET_BYTES + CHECK_BYTES) {
            return Err(RecoveryKeyError::Length(nibbles.len()));
        }
        let pairs = nibbles.chunks_exact(2);
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(
            pairs.map(|pair| pair.iter().fold(0, |byte, nibble| (byte << 4) | nibble)).collect(),
        );
        let (secret, given) = bytes.split_at(SECRET_BYTES);
        if check(secret) != given {
            return Err(RecoveryKeyError::Mistyped);
        }
        Ok(Self::from_body(secret))
    }

    /// The passphrase for cryptsetup: this text exactly, without a newline.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The key as the secret that a message carries.
    pub fn into_secret(self) -> Secret {
        self.0
    }
}

fn check(secret: &[u8]) -> Vec<u8> {
    Sha256::digest(secret).into_iter().take(CHECK_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(bytes: [u8; 32]) -> RecoveryKey {
        RecoveryKey::from_secret(&Zeroizing::new(bytes))
    }

    #[test]
    fn a_key_has_six_groups_of_eight_letters() {
        let key = key([0xa5; 32]);
        assert_eq!(key.expose().split(' ').map(str::len).collect::<Vec<_>>(), [8; 6]);
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        assert_eq!(format!("{:?}", key([1; 32])), "RecoveryKey(Secret(..))");
    }

    proptest! {
        #[test]
        fn a_key_typed_in_any_case_and_grouping_is_the_same_key(bytes: [u8; 32]) {
            let key = key(bytes);
            let typed = key.expose().replace(' ', "-").to_uppercase();
            prop_assert_eq!(RecoveryKey::parse(&typed), Ok(key.clone()));
            prop_assert_eq!(RecoveryKey::parse(&key.expose().replace(' ', "")), Ok(key));
        }

        #[test]
        fn one_wrong_letter_is_found(bytes: [u8; 32], at in 0usize..48, other in 1u8..16) {
            let mut letters: Vec<u8> = key(bytes).expose().bytes().filter(|it| *it != b' ').collect();
            let value = ALPHABET.iter().position(|it| *it == letters[at]).unwrap();
            letters[at] = ALPHABET[(value + usize::from(other)) % 16];
            let typed = String::from_utf8(letters).unwrap();
            prop_assert_eq!(RecoveryKey::parse(&typed), Err(RecoveryKeyError::Mistyped));
        }

        #[test]
        fn any_text_is_a_key_or_an_error(text in ".*") {
            let _ = RecoveryKey::parse(&text);
        }
    }
}
