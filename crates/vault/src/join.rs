//! The join key of a prepared medium: one-time, expiring, for one node, and stored nowhere else.
//!
//! The machine proves that it holds the key without sending it, over its own public key and a number that the
//! manager chose, so that neither a listener nor a replay gains anything. Whether the key was used before
//! is in the manager's journal and the cluster file; [`Use`] is how the caller says so.

use cairn_model::cluster::{Fingerprint, Name, Role};
use hmac::{Hmac, Mac};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const DOMAIN: &[u8] = b"cairn/v1/join-proof\0";

/// Where the machine that is started from a medium becomes a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Onto {
    /// The medium itself is the node from then on.
    #[default]
    Medium,
    /// A disk in the machine; the medium is an installer stick.
    InnerDisk,
}

impl Onto {
    fn is_medium(&self) -> bool {
        *self == Self::Medium
    }
}

/// What a join key stands for. The machine repeats it to the manager; the key is derived from it, so that
/// changing any of it takes another key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinTerms {
    /// The fingerprint of the cluster's agents' authority.
    pub cluster: Fingerprint,
    /// The node whose place it gives.
    pub node: Name,
    /// Tells two keys for the same node apart.
    pub key_id: Uuid,
    /// From then on it is refused, in seconds since 1970 by the manager's clock; the machine may have none.
    pub expires: u64,
    /// Where the node is made.
    #[serde(default, skip_serializing_if = "Onto::is_medium")]
    pub onto: Onto,
}

/// The secret of a prepared medium.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct JoinKey([u8; 32]);

/// All that a prepared medium carries, `cairn/join.json` on its boot partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinMaterial {
    /// The cluster's name, to be shown on the console.
    pub cluster_name: Name,
    /// The node's role, to be shown on the console; the manager's file decides.
    pub role: Option<Role>,
    /// The agents' authority: the only one whose manager the machine believes.
    pub authority_pem: String,
    /// What the key stands for.
    pub terms: JoinTerms,
    /// The key.
    pub join_key: JoinKey,
}

/// What the caller knows about earlier uses of the key and the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// The node has a place in the cluster file that no machine has taken, and the key was not used.
    Unused,
    /// The key was used by the machine with this public key, perhaps this very one whose answer got lost.
    By(Fingerprint),
    /// The cluster file has no such node.
    NoSuchNode,
}

/// Why a join key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Another cluster's.
    #[error("the join key of this medium is another cluster's; prepare a medium with this cluster's file")]
    Foreign,
    /// Too old.
    #[error("the join key of this medium for '{0}' has expired; prepare the medium again")]
    Expired(Name),
    /// Not a node of this cluster.
    #[error(
        "this medium is for a node '{0}', which this cluster does not have; prepare one for a node that it has"
    )]
    WrongNode(Name),
    /// Another machine was faster.
    #[error(
        "the join key of this medium for '{0}' was used by another machine; if that was not you, remove that node, and prepare the medium again"
    )]
    Used(Name),
    /// The machine does not hold the key.
    #[error("the machine that asks to be '{0}' could not prove its join key; prepare the medium again")]
    BadProof(Name),
}

impl JoinTerms {
    /// Unambiguous: a fingerprint and a UUID have fixed lengths, and a name holds no `/`.
    pub(crate) fn context(&self) -> String {
        let Self { cluster, node, key_id, expires, onto } = self;
        let onto = match onto {
            Onto::Medium => "",
            Onto::InnerDisk => "/inner-disk",
        };
        format!("{cluster}/{node}/{key_id}/{expires}{onto}")
    }
}

impl JoinKey {
    pub(crate) fn from_secret(secret: Zeroizing<[u8; 32]>) -> Self {
        Self(*secret)
    }

    fn mac(&self, terms: &JoinTerms, public_key_der: &[u8], nonce: &[u8; 32]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0).expect("any length");
        // the public key stands last: everything before it has a length that can't be mistaken
        mac.chain_update(DOMAIN)
            .chain_update(nonce)
            .chain_update(terms.context())
            .chain_update([0])
            .chain_update(public_key_der)
    }
}

impl std::fmt::Debug for JoinKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinKey(..)")
    }
}

impl Serialize for JoinKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode(self.0)))
    }
}

impl<'de> Deserialize<'de> for JoinKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let mut bytes = [0; 32];
        // the error must not repeat the text
        hex::decode_to_slice(text.as_bytes(), &mut bytes)
            .map_err(|_| D::Error::custom("a join key has 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

/// The proof that whoever holds this public key (SubjectPublicKeyInfo in DER) also holds the join key; the
/// nonce is the manager's, fresh for each connection.
pub fn proof(material: &JoinMaterial, public_key_der: &[u8], nonce: &[u8; 32]) -> [u8; 32] {
    material.join_key.mac(&material.terms, public_key_der, nonce).finalize().into_bytes().into()
}

/// What a machine brings forward.
pub struct Claim<'a> {
    /// The terms that it repeats.
    pub terms: &'a JoinTerms,
    /// Its public key (SubjectPublicKeyInfo in DER), taken from the connection or the request.
    pub public_key_der: &'a [u8],
    /// The nonce that this manager gave it.
    pub nonce: &'a [u8; 32],
    /// Its proof.
    pub proof: &'a [u8],
}

/// Whether the claim is good now, in seconds since 1970. `cluster` is [`Keyring::identity`] and `key` is
/// [`Keyring::join_key`] of the claim's terms.
///
/// The proof is judged before the uses: only who holds the key learns about them.
///
/// # Errors
///
/// The first reason to refuse.
///
/// [`Keyring::identity`]: crate::Keyring::identity
/// [`Keyring::join_key`]: crate::Keyring::join_key
pub fn verify(
    claim: &Claim<'_>,
    cluster: &Fingerprint,
    key: &JoinKey,
    used: &Use,
    now: u64,
) -> Result<(), JoinError> {
    let Claim { terms, public_key_der, nonce, proof } = claim;
    let node = || terms.node.clone();
    if terms.cluster != *cluster {
        return Err(JoinError::Foreign);
    }
    // compares in constant time
    key.mac(terms, public_key_der, nonce).verify_slice(proof).map_err(|_| JoinError::BadProof(node()))?;
    if now >= terms.expires {
        return Err(JoinError::Expired(node()));
    }
    match used {
        Use::Unused => Ok(()),
        Use::By(machine) if *machine == crate::key::fingerprint_of(public_key_der) => Ok(()),
        Use::By(_) => Err(JoinError::Used(node())),
        Use::NoSuchNode => Err(JoinError::WrongNode(node())),
    }
}
