//! The fingerprint of a key: how a machine is named before it has a name.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use x509_parser::prelude::{FromDer, X509Certificate};

/// SHA-256 of a SubjectPublicKeyInfo in DER (RFC 7469's pin).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    #[error("a fingerprint has 64 hexadecimal digits, and this has not: {0:?}")]
    NotHex(String),
    #[error("this is no X.509 certificate")]
    NotACertificate,
}

impl Fingerprint {
    pub fn of_public_key(spki_der: &[u8]) -> Self {
        Self(Sha256::digest(spki_der).into())
    }

    /// # Errors
    /// When the bytes are no certificate.
    pub fn of_certificate(der: &[u8]) -> Result<Self, FingerprintError> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| FingerprintError::NotACertificate)?;
        Ok(Self::of_public_key(certificate.public_key().raw))
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Twelve digits: enough to tell the machines of a house apart in a list; never compared for trust.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.short())
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| FingerprintError::NotHex(text.chars().take(80).collect()))?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}
