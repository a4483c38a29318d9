//! The signed roster: what every member keeps and checks, since certificates alone never end a trust.
//!
//! The agents' authority signs it itself. A key of its own would need a certificate of its own and gain
//! nothing: both are derived from the same seed. What is signed begins with a text that no certificate can
//! begin with, so that neither signature can stand for the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_model::cluster::Roster;
use rcgen::SigningKey as _;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::authority::{Authority, IssueError};

const DOMAIN: &[u8] = b"cairn/v1/roster\0";

/// A roster and its signature. The roster stays text, because only these very bytes were signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRoster {
    roster: String,
    signature: String,
}

/// Why a roster was not made or not believed.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// The authority could not be derived.
    #[error("the roster can't be signed without its authority")]
    Authority(#[from] IssueError),
    /// It could not be written.
    #[error("the roster could not be signed")]
    Sign(#[from] rcgen::Error),
    /// The certificate to check against can't be read.
    #[error("the cluster's authority is no certificate in PEM; the node has to be enrolled again")]
    NotACertificate,
    /// The authority did not sign this.
    #[error("the roster was not signed by this cluster's authority; keep the one that is known")]
    WrongSignature,
    /// Signed, but not understood.
    #[error("the roster is of another version of Cairn; update this node")]
    Format(#[from] serde_json::Error),
}

impl SignedRoster {
    pub(crate) fn sign(roster: &Roster, authority: &Authority) -> Result<Self, RosterError> {
        let roster = serde_json::to_string(roster)?;
        let signature = STANDARD.encode(authority.key().sign(&signed_bytes(&roster))?);
        Ok(Self { roster, signature })
    }

    /// The roster, when the authority with this certificate signed it.
    ///
    /// # Errors
    ///
    /// When it did not, or one of the two can't be read. Whether the roster is newer than the known one is
    /// for the caller to judge: [`Roster::replaces`].
    pub fn verify(&self, authority_pem: &str) -> Result<Roster, RosterError> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(authority_pem.as_bytes())
            .map_err(|_| RosterError::NotACertificate)?;
        let (_, certificate) =
            X509Certificate::from_der(&pem.contents).map_err(|_| RosterError::NotACertificate)?;
        let key = UnparsedPublicKey::new(&ED25519, &certificate.public_key().subject_public_key.data);
        let signature = STANDARD.decode(&self.signature).map_err(|_| RosterError::WrongSignature)?;
        key.verify(&signed_bytes(&self.roster), &signature).map_err(|_| RosterError::WrongSignature)?;
        Ok(serde_json::from_str(&self.roster)?)
    }
}

fn signed_bytes(roster: &str) -> Vec<u8> {
    [DOMAIN, roster.as_bytes()].concat()
}
