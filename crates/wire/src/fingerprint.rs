//! The fingerprint of a key: how a machine is known before it has a name.

pub use cairn_model::cluster::Fingerprint;
use x509_parser::prelude::{FromDer, X509Certificate};

#[derive(Debug, thiserror::Error)]
#[error("this is no X.509 certificate")]
pub struct NotACertificate;

/// The fingerprint of the key in a certificate (DER).
///
/// # Errors
/// When the bytes are no certificate.
pub fn of_certificate(der: &[u8]) -> Result<Fingerprint, NotACertificate> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| NotACertificate)?;
    Ok(cairn_vault::fingerprint_of(certificate.public_key().raw))
}

/// Twelve hexadecimal digits: enough to tell the machines of a house apart in a list or a host name;
/// never compared for trust.
pub fn short(fingerprint: &Fingerprint) -> String {
    hex::encode(fingerprint.as_bytes().get(..6).unwrap_or_default())
}
