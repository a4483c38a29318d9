//! Where a sealed text can be kept, by its length alone.

use std::fmt;

/// What fits into a note of every password manager. Bitwarden cuts a note at 10,000 characters after its own
/// encryption, which is about 7,400 before; with some left for what the owner writes beside it.
pub const NOTE_CHARACTERS: usize = 7_000;

/// The longest text that is sealed: the 245 nodes that a /24 has numbers for, with the longest names, stay below.
pub const MOST_CHARACTERS: usize = 120_000;

/// What a node adds when it is enrolled: its keys and its volume, in base64 twice over.
const ENROLLED: usize = 300;

/// How many characters a cluster file has, and what that means for who keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    characters: usize,
}

impl Room {
    /// For a text of so many characters.
    pub fn of(characters: usize) -> Self {
        Self { characters }
    }

    /// What it will be once another node is enrolled, a little more rather than less.
    pub fn with_another_node(self) -> Self {
        Self { characters: self.characters.saturating_add(ENROLLED) }
    }

    /// Whether a note of Bitwarden keeps all of it.
    pub fn fits_a_note(self) -> bool {
        self.characters <= NOTE_CHARACTERS
    }

    /// How many more characters a note could have.
    pub fn left(self) -> usize {
        NOTE_CHARACTERS.saturating_sub(self.characters)
    }

    /// What the owner has to do otherwise than with a small file.
    pub fn advice(self) -> Option<&'static str> {
        (!self.fits_a_note()).then_some(
            "It no longer fits into a note of Bitwarden, which keeps 7,000 characters of it: keep the passphrase as \
             the entry's password, and the file as its attachment. KeePassXC keeps it either way, as note or as \
             attachment; Bitwarden takes attachments only in its paid plans, so without one keep the file beside it, \
             in two places that you trust.",
        )
    }
}

/// Such as `6131 characters, 869 left in a note`.
impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let characters = self.characters;
        if self.fits_a_note() {
            write!(f, "{characters} characters, {} left in a note", self.left())
        } else {
            write!(f, "{characters} characters, {} too many for a note", characters - NOTE_CHARACTERS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_fits_into_a_note_needs_no_advice_and_a_longer_one_says_what_to_do() {
        assert_eq!(Room::of(7_000).to_string(), "7000 characters, 0 left in a note");
        assert_eq!(Room::of(7_000).advice(), None);
        assert_eq!(Room::of(7_001).to_string(), "7001 characters, 1 too many for a note");
        assert!(Room::of(7_001).advice().unwrap().contains("attachment"));
    }
}
