//! The password manager's entry: its password is the passphrase, its notes are the sealed text.
//!
//! Two import files, both with all of the entry in the clear, so to be deleted once imported:
//!
//! - [`Entry::bitwarden`]: Bitwarden's unencrypted JSON export. KeePassXC's window reads the same since 2.7.7
//!   (Database, Import, Bitwarden), without asking anything about it.
//! - [`Entry::keepass`]: KeePass 2's XML, for `keepassxc-cli import`, KeePass 2, and KeePassXC before 2.7.7.
//!
//! Not CSV: KeePassXC then asks which column is what and whether the first line counts, and it takes `#` for
//! the beginning of a comment, which is how the lines of a cluster file begin.

use cairn_model::secret::Secret;
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{NOTE_CHARACTERS, Passphrase, Room, Sealed};

/// One entry. Has no `Debug`: it holds all that opens the cluster.
#[derive(Clone)]
pub struct Entry {
    sealed: Sealed,
    password: Secret,
}

/// What is wrong with an entry that was pasted back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasteError {
    /// The password is another.
    #[error("this is not the passphrase of this cluster file; copy the entry's password again")]
    Password,
    /// The notes are damaged, or of another file or generation.
    #[error(
        "these notes are not this cluster file as it is now; copy them again, from the first line to the last"
    )]
    Notes,
}

/// Why there is no import file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Bitwarden would refuse it or cut it.
    #[error(
        "the cluster file has {0} characters, and a note of Bitwarden keeps {NOTE_CHARACTERS} of them, so there is no import file for it; keep the file as an attachment, or take the import file for KeePass"
    )]
    TooLong(usize),
    /// JSON has no room for it, which can't happen with text.
    #[error("the import file could not be written; this is a fault of Cairn")]
    Encode,
    /// XML 1.0 knows no control characters.
    #[error(
        "the passphrase has a control character, which this kind of import file can't hold; copy it by hand"
    )]
    ControlCharacter,
}

impl Entry {
    /// The entry for a sealed file and the passphrase that it was sealed with.
    pub fn new(sealed: Sealed, passphrase: &Passphrase) -> Self {
        Self { sealed, password: passphrase.to_secret() }
    }

    /// What the entry is called.
    pub fn title(&self) -> String {
        format!("Cairn cluster {}", self.sealed.cluster())
    }

    /// The entry's password.
    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// The entry's notes.
    pub fn notes(&self) -> &str {
        self.sealed.as_str()
    }

    /// How many characters the notes have.
    pub fn characters(&self) -> usize {
        self.sealed.characters()
    }

    /// Whether a note keeps all of it.
    pub fn room(&self) -> Room {
        self.sealed.room()
    }

    /// Whether the password manager kept what it was given. White space around lines does not count. Costs
    /// no work of scrypt: what is pasted is compared with what was shown.
    ///
    /// # Errors
    ///
    /// Which of the two is not what it was.
    pub fn compare(&self, password: &str, notes: &str) -> Result<(), PasteError> {
        if password.trim() != self.password.expose() {
            return Err(PasteError::Password);
        }
        match Sealed::parse(notes) {
            Ok(pasted) if pasted.same_as(&self.sealed) => Ok(()),
            _ => Err(PasteError::Notes),
        }
    }

    /// Bitwarden's unencrypted JSON with one login, to be saved as `.json`.
    ///
    /// # Errors
    ///
    /// It does not fit into a note of Bitwarden, or can't be encoded.
    pub fn bitwarden(&self) -> Result<Secret, ImportError> {
        if !self.room().fits_a_note() {
            return Err(ImportError::TooLong(self.characters()));
        }
        let login = Login { uris: [], username: None, password: self.password.expose() };
        let name = self.title();
        let item = Item {
            id: Uuid::new_v4(),
            organization_id: None,
            folder_id: None,
            kind: LOGIN,
            reprompt: 0,
            name: &name,
            notes: self.notes(),
            favorite: false,
            login,
            collection_ids: None,
        };
        let export = Export { encrypted: false, folders: [], items: [item] };
        // never moved while it grows, so that nothing of it stays behind in freed memory
        let mut json = Zeroizing::new(Vec::with_capacity(self.most_bytes()));
        serde_json::to_writer(&mut *json, &export).map_err(|_| ImportError::Encode)?;
        String::from_utf8(std::mem::take(&mut *json)).map(Secret::new).map_err(|_| ImportError::Encode)
    }

    /// KeePass 2's XML with one entry, to be saved as `.xml`.
    ///
    /// # Errors
    ///
    /// When the passphrase has a character that XML can't hold.
    pub fn keepass(&self) -> Result<Secret, ImportError> {
        if self.password.expose().chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
            return Err(ImportError::ControlCharacter);
        }
        let mut xml = String::with_capacity(self.most_bytes());
        xml.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<KeePassFile>\n<Meta><Generator>Cairn</Generator></Meta>\n<Root><Group><UUID>");
        xml.push_str(&uuid());
        xml.push_str("</UUID><Name>Cairn</Name><Entry><UUID>");
        xml.push_str(&uuid());
        xml.push_str("</UUID>\n");
        let title = self.title();
        let fields =
            [("Title", title.as_str()), ("Notes", self.notes()), ("Password", self.password.expose())];
        for (key, value) in fields {
            // not to be shown in lists, as any password
            let protect = if key == "Password" { " ProtectInMemory=\"True\"" } else { "" };
            xml.push_str(&format!("<String><Key>{key}</Key><Value{protect}>"));
            push_escaped(&mut xml, value);
            xml.push_str("</Value></String>\n");
        }
        xml.push_str("</Entry></Group></Root>\n</KeePassFile>\n");
        Ok(Secret::new(xml))
    }

    /// Bytes that an import file surely does not exceed: each byte of notes and password takes at most six,
    /// as `\u001f` in JSON; and the rest.
    fn most_bytes(&self) -> usize {
        self.notes()
            .len()
            .saturating_add(self.password.expose().len())
            .saturating_mul(6)
            .saturating_add(2_048)
    }
}

/// KeePass writes UUIDs in base64.
fn uuid() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(Uuid::new_v4().as_bytes())
}

fn push_escaped(xml: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            // a reader may turn a bare one into a line end
            '\r' => xml.push_str("&#13;"),
            other => xml.push(other),
        }
    }
}

/// Bitwarden's word for a login among its kinds of items.
const LOGIN: u8 = 1;

/// <https://bitwarden.com/help/condition-bitwarden-import/>. KeePassXC wants `folders` to be there.
#[derive(Serialize)]
struct Export<'a> {
    encrypted: bool,
    folders: [(); 0],
    items: [Item<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    id: Uuid,
    organization_id: Option<Uuid>,
    folder_id: Option<Uuid>,
    #[serde(rename = "type")]
    kind: u8,
    reprompt: u8,
    name: &'a str,
    notes: &'a str,
    favorite: bool,
    login: Login<'a>,
    collection_ids: Option<[Uuid; 0]>,
}

/// Without `totp`, of which KeePassXC would make an empty one.
#[derive(Serialize)]
struct Login<'a> {
    uris: [(); 0],
    username: Option<&'a str>,
    password: &'a str,
}

#[cfg(test)]
mod tests;
