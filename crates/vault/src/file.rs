//! The cluster file: the whole configuration and its one secret, sealed with a passphrase, in a text that for
//! fifteen nodes is small enough for a password manager's note.
//!
//! [`ClusterFile`] is the open one, [`Sealed`] the text, [`Passphrase`] goes between the two, [`Entry`] is
//! how a password manager keeps both, and [`disk`] keeps the text in a file.

pub mod disk;
mod editing;
mod entry;
mod envelope;
mod header;
pub mod lineage;
mod passphrase;
mod room;
mod sealed;
mod strength;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use cairn_model::address::Network;
use cairn_model::cluster::{Cluster, EditError, Name};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, Zeroizing};

pub use self::editing::{TextError, changes};
pub use self::entry::{Entry, ImportError, PasteError};
pub use self::envelope::FORMAT;
#[cfg(fuzzing)]
pub use self::envelope::resign;
pub use self::passphrase::{Passphrase, PassphraseError};
pub use self::room::{MOST_CHARACTERS, NOTE_CHARACTERS, Room};
pub use self::sealed::{MOST_BYTES, OpenError, SealError, Sealed};
pub use self::strength::{Strength, Verdict};
use crate::derive::public;
use crate::keyring::Keyring;
use crate::seed::{RandomError, RootSeed};

/// An open cluster file. Has no `Debug`: it holds the seed.
pub struct ClusterFile {
    seed: RootSeed,
    cluster: Cluster,
    /// The hash of the text that this was opened from or would be sealed as.
    hash: String,
}

/// Why a new cluster could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// No random bytes for the seed.
    #[error("no seed for the new cluster could be made")]
    Random(#[from] RandomError),
    /// Too many nodes.
    #[error("the new cluster's nodes could not be listed")]
    Edit(#[from] EditError),
    /// It could not be written.
    #[error("the new cluster could not be written down")]
    Seal(#[from] SealError),
}

/// Why there is no next generation.
#[derive(Debug, thiserror::Error)]
pub enum NextError {
    /// The change was refused.
    #[error("the cluster file was not changed")]
    Edit(#[from] EditError),
    /// It could not be written.
    #[error("the changed cluster could not be written down")]
    Seal(#[from] SealError),
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    seed: SeedText,
    cluster: Cluster,
}

/// The seed in base64, wiped when it is dropped.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct SeedText(String);

impl Drop for SeedText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ClusterFile {
    /// A new cluster with a new seed and places for this many nodes of each role.
    ///
    /// # Errors
    ///
    /// No random bytes, or more nodes than addresses.
    pub fn new(name: Name, etcd: u8, compute: u8, backup: u8) -> Result<Self, NewError> {
        Self::from_seed(RootSeed::generate()?, name, etcd, compute, backup)
    }

    fn from_seed(seed: RootSeed, name: Name, etcd: u8, compute: u8, backup: u8) -> Result<Self, NewError> {
        let network = Network::choose(&public(&seed, "network"));
        let cluster = Cluster::new(name, network, etcd, compute, backup)?;
        Ok(Self::with_hash(seed, cluster)?)
    }

    /// What the file says.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Every secret of the cluster.
    pub fn keyring(&self) -> Keyring<'_> {
        Keyring::new(&self.seed, &self.cluster)
    }

    /// What all generations of this cluster's file share and no other cluster's has. Unlike
    /// [`Keyring::identity`] it survives the rotation of the authority; no secret follows from it.
    pub fn lineage_id(&self) -> String {
        hex::encode(public(&self.seed, "lineage"))
    }

    /// The hash of this generation's content, which the next generation names as its parent: with it two
    /// copies of one generation are told from two that went different ways.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The next generation: the cluster as the change leaves it. A change that changes nothing gives the same
    /// generation again, so that a repeated step does not make the owner store the file again.
    ///
    /// # Errors
    ///
    /// When the change is refused; this generation stays as it is.
    pub fn next(
        &self,
        change: impl FnOnce(Cluster) -> Result<Cluster, EditError>,
    ) -> Result<Self, NextError> {
        let mut changed = change(self.cluster.clone())?;
        let seed = RootSeed::from_bytes(Zeroizing::new(*self.seed.bytes()));
        if changed == self.cluster {
            return Ok(Self { seed, cluster: changed, hash: self.hash.clone() });
        }
        changed.generation = self.cluster.generation.saturating_add(1);
        changed.parent = Some(self.hash.clone());
        changed.check()?;
        Ok(Self::with_hash(seed, changed)?)
    }

    /// The same content as a generation above this number, made from this one; unchanged where it is above already.
    ///
    /// # Errors
    ///
    /// When it can't be written down.
    pub fn raised_above(self, number: u64) -> Result<Self, SealError> {
        if self.cluster.generation > number {
            return Ok(self);
        }
        let Self { seed, mut cluster, hash } = self;
        cluster.generation = number.saturating_add(1);
        cluster.parent = Some(hash);
        Self::with_hash(seed, cluster)
    }

    /// The text to be stored.
    ///
    /// # Errors
    ///
    /// When it would be longer than [`MOST_CHARACTERS`], or can't be encoded.
    pub fn seal(&self, passphrase: &Passphrase) -> Result<Sealed, SealError> {
        Sealed::seal(&self.cluster, &self.plain()?, passphrase)
    }

    /// Opens a stored text.
    ///
    /// # Errors
    ///
    /// One for each thing that can be wrong with it; see [`OpenError`].
    pub fn open(sealed: &Sealed, passphrase: &Passphrase) -> Result<Self, OpenError> {
        let plain = sealed.decrypt(passphrase)?;
        // the parser's own error would quote the line, which may be the seed's
        let document: Document = toml::from_str(&plain).map_err(|_| OpenError::Content)?;
        let Document { format, seed, cluster } = document;
        let mut bytes = Zeroizing::new([0; 32]);
        let decoded = STANDARD_NO_PAD.decode_slice(&seed.0, bytes.as_mut());
        let consistent = cluster.check().is_ok() && sealed.describes(&cluster) && format == FORMAT;
        if decoded != Ok(32) || !consistent {
            return Err(OpenError::Content);
        }
        Ok(Self { seed: RootSeed::from_bytes(bytes), cluster, hash: hash(&plain) })
    }

    fn with_hash(seed: RootSeed, cluster: Cluster) -> Result<Self, SealError> {
        let mut file = Self { seed, cluster, hash: String::new() };
        file.hash = hash(&file.plain()?);
        Ok(file)
    }

    fn plain(&self) -> Result<Zeroizing<String>, SealError> {
        let document = Document {
            format: FORMAT,
            seed: SeedText(STANDARD_NO_PAD.encode(self.seed.bytes())),
            cluster: self.cluster.clone(),
        };
        toml::to_string(&document).map(Zeroizing::new).map_err(|_| SealError::Encode)
    }
}

/// Half of SHA-256 in hexadecimal: enough that no two generations share it, and short enough to compare.
/// Showing it gives nothing away, since the content holds the 256-bit seed.
fn hash(plain: &str) -> String {
    let digest = Sha256::digest(plain.as_bytes());
    hex::encode(digest.into_iter().take(16).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests;
