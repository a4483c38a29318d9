//! The passphrase: generated from words unless the owner insists on another.

use age::secrecy::{ExposeSecret as _, SecretString};
use bip39::Language;
use cairn_model::secret::Secret;
use zeroize::Zeroizing;

use crate::seed::{RandomError, random};

/// Seven of 2,048 words: 77 bits, at 2^17 rounds of scrypt for each guess. The words of BIP-39 differ in their
/// first four letters and have at most eight.
const WORDS: usize = 7;

/// A passphrase. Has no `Debug`; wiped when dropped.
#[derive(Clone)]
pub struct Passphrase(SecretString);

/// Why a text is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Nothing there.
    #[error("the passphrase is empty; give the one that opens the cluster file")]
    Empty,
}

impl Passphrase {
    /// A new passphrase of random words.
    ///
    /// # Errors
    ///
    /// When there are no random bytes.
    pub fn generate() -> Result<Self, RandomError> {
        let list = Language::English.word_list();
        let random = random()?;
        let mut text = Zeroizing::new(String::with_capacity(WORDS * 9));
        for pair in random.chunks_exact(2).take(WORDS) {
            let number = pair.iter().fold(0_usize, |number, byte| (number << 8) | usize::from(*byte));
            // 2,048 divides 65,536: every word is as likely as any other
            let word = list.get(number % list.len()).copied().unwrap_or_default();
            if !text.is_empty() {
                text.push('-');
            }
            text.push_str(word);
        }
        Ok(Self(SecretString::from(text.as_str().to_owned())))
    }

    /// A passphrase as it was typed, pasted or read; white space around it does not count.
    ///
    /// # Errors
    ///
    /// When nothing is left.
    pub fn new(text: &str) -> Result<Self, PassphraseError> {
        match text.trim() {
            "" => Err(PassphraseError::Empty),
            text => Ok(Self(SecretString::from(text.to_owned()))),
        }
    }

    /// The text, to be shown to the owner once.
    pub fn to_secret(&self) -> Secret {
        Secret::new(self.0.expose_secret().to_owned())
    }

    pub(super) fn secret(&self) -> SecretString {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_generated_passphrase_has_seven_words_of_the_list() {
        let passphrase = Passphrase::generate().unwrap().to_secret();
        let words: Vec<&str> = passphrase.expose().split('-').collect();
        assert_eq!(words.len(), 7);
        assert!(words.iter().all(|word| Language::English.word_list().contains(word)));
    }

    #[test]
    fn no_passphrase_is_generated_twice() {
        let seen: HashSet<String> =
            (0..100).map(|_| Passphrase::generate().unwrap().to_secret().expose().to_owned()).collect();
        assert_eq!(seen.len(), 100);
    }

    #[test]
    fn white_space_around_a_passphrase_does_not_count() {
        assert_eq!(Passphrase::new(" a b\r\n").unwrap().to_secret().expose(), "a b");
        assert!(matches!(Passphrase::new(" \n"), Err(PassphraseError::Empty)));
    }
}
