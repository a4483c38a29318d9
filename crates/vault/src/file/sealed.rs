//! The sealed text: age (age-encryption.org/v1) with a scrypt passphrase, in ASCII armour, inside the
//! [envelope](super::envelope).

use age::scrypt::{Identity, Recipient};
use age::{DecryptError, EncryptError};
use cairn_model::cluster::{Cluster, Name};
use zeroize::Zeroizing;

use super::envelope::{self, Envelope};
use super::header::{self, MOST_WORK, WORK_FACTOR};
use super::{MOST_CHARACTERS, Passphrase, Room};

/// The largest text that is looked at, in bytes: a file of [`MOST_CHARACTERS`] with some white space around its
/// lines. A server need not take more.
pub const MOST_BYTES: usize = 128 * 1024;

/// A text that is undamaged as far as can be told without its passphrase.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    text: String,
    envelope: Envelope,
}

/// Why a file was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// TOML could not hold it.
    #[error("the cluster could not be written as TOML; this is a fault of Cairn")]
    Encode,
    /// age failed.
    #[error("the cluster file could not be encrypted")]
    Encrypt(#[from] EncryptError),
    /// Nobody would read it.
    #[error(
        "the cluster file would have {0} characters, and Cairn reads no more than {MOST_CHARACTERS}; remove nodes that are no more"
    )]
    TooLong(usize),
    /// What was sealed did not read back.
    #[error("the cluster file does not read back as it was written; this is a fault of Cairn")]
    ReadBack(#[source] OpenError),
}

/// Why a text was not opened. Nothing was written, whatever it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Undamaged, but not this passphrase.
    #[error(
        "the passphrase does not open this cluster file; the file itself is undamaged, so look for another passphrase of the same entry in your password manager"
    )]
    WrongPassphrase,
    /// The end, or some of the middle, is missing.
    #[error(
        "the cluster file is cut off{}; copy it again from your password manager, to the line with END in it",
        missing_characters(*.missing)
    )]
    Truncated {
        /// How many characters are missing, where that can be told.
        missing: Option<usize>,
    },
    /// Changed since it was sealed.
    #[error(
        "the cluster file was changed after Cairn wrote it, perhaps by one character; copy it again from your password manager, or from its entry's history"
    )]
    Edited,
    /// Something else.
    #[error(
        "this is not a Cairn cluster file; it begins with the line '# Cairn cluster file' and ends with a line with END in it, so copy all of it"
    )]
    NotACairnFile,
    /// Written by a later Cairn.
    #[error(
        "the cluster file has the format {format}, which this Cairn does not know; open it with a newer one"
    )]
    NewerFormat {
        /// The format it has.
        format: u64,
    },
    /// The checksum is right and the passphrase too, and still it makes no sense.
    #[error(
        "the cluster file opens, but what it holds was not written by Cairn; take the last one that worked from your password manager's history"
    )]
    Content,
    /// Asks for other work than any Cairn does.
    #[error(
        "the cluster file asks for scrypt work of 2^{factor}, and Cairn does 2^{WORK_FACTOR} or 2^{MOST_WORK}; it was not written by Cairn"
    )]
    ForeignWork {
        /// The work that it asks for.
        factor: u8,
    },
    /// More than any cluster file.
    #[error(
        "this text is far longer than a cluster file, which has at most {MOST_CHARACTERS} characters; copy only its own lines, from '# Cairn cluster file' to the one with END in it"
    )]
    TooLong,
}

fn missing_characters(missing: Option<usize>) -> String {
    missing.map(|count| format!(", and {count} characters are missing")).unwrap_or_default()
}

impl Sealed {
    /// Reads a text and checks everything that can be checked without its passphrase, the work that it asks
    /// for included. Line ends, empty lines
    /// and white space around lines don't matter.
    ///
    /// # Errors
    ///
    /// All of [`OpenError`] except what needs the passphrase.
    pub fn parse(text: &str) -> Result<Self, OpenError> {
        if text.len() > MOST_BYTES {
            return Err(OpenError::TooLong);
        }
        let envelope = envelope::read(text)?;
        header::check(&envelope.armour)?;
        Ok(Self { text: text.to_owned(), envelope })
    }

    /// The text to be stored.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its length, as a password manager counts.
    pub fn characters(&self) -> usize {
        self.text.chars().count()
    }

    /// Whether both texts are one file, whatever white space they went through.
    pub fn same_as(&self, other: &Self) -> bool {
        self.envelope == other.envelope
    }

    /// The cluster's name, as the plain lines say.
    pub fn cluster(&self) -> &Name {
        &self.envelope.cluster
    }

    /// The generation, as the plain lines say.
    pub fn generation(&self) -> u64 {
        self.envelope.generation
    }

    /// Where it can be kept.
    pub fn room(&self) -> Room {
        Room::of(self.characters())
    }

    pub(super) fn seal(cluster: &Cluster, plain: &str, passphrase: &Passphrase) -> Result<Self, SealError> {
        let mut recipient = Recipient::new(passphrase.secret());
        recipient.set_work_factor(WORK_FACTOR);
        let armour = age::encrypt_and_armor(&recipient, plain.as_bytes())?;
        let text = envelope::write(cluster, &armour);
        let length = text.chars().count();
        if length > MOST_CHARACTERS {
            return Err(SealError::TooLong(length));
        }
        Self::parse(&text).map_err(SealError::ReadBack)
    }

    pub(super) fn decrypt(&self, passphrase: &Passphrase) -> Result<Zeroizing<String>, OpenError> {
        let mut identity = Identity::new(passphrase.secret());
        identity.set_max_work_factor(MOST_WORK);
        let plain = age::decrypt(&identity, self.envelope.armour.as_bytes()).map_err(open_error)?;
        match String::from_utf8(plain) {
            Ok(plain) => Ok(Zeroizing::new(plain)),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(OpenError::Content)
            }
        }
    }

    /// Whether the plain lines say what the sealed content says.
    pub(super) fn describes(&self, cluster: &Cluster) -> bool {
        self.envelope.cluster == cluster.name && self.envelope.generation == cluster.generation
    }
}

fn open_error(error: DecryptError) -> OpenError {
    match error {
        // the checksum was right, so a file key that does not decrypt means another passphrase
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => OpenError::WrongPassphrase,
        DecryptError::ExcessiveWork { required, .. } => OpenError::ForeignWork { factor: required },
        // the checksum was right and yet age's own checks fail: somebody made both
        _ => OpenError::Edited,
    }
}
