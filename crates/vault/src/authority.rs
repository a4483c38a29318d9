//! A certificate authority derived from the seed, and what it issues.
//!
//! Nothing depends on a clock: everything is valid from 1970 (rustls knows no earlier date) to 9999
//! (RFC 5280, section 4.1.2.5, for "no end"). What ends a trust is the roster. Everything is also the same
//! byte for byte whenever it is made again, so that no certificate has to be kept.

use std::time::Duration;

use cairn_model::cluster::{Name, SecretClass};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber,
};
use sha2::{Digest as _, Sha256};

use crate::key::{KeyError, PrivateKey, SigningRequest};
use crate::leaf::Leaf;

/// One of the cluster's authorities.
pub struct Authority {
    class: SecretClass,
    issuer: Issuer<'static, PrivateKey>,
    pem: String,
    der: Vec<u8>,
}

/// A certificate and the authority that it is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// The certificate in DER.
    pub certificate_der: Vec<u8>,
    /// Its authority's certificate in PEM.
    pub authority_pem: String,
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The authority's key.
    #[error("the authority's key could not be derived")]
    Key(#[from] KeyError),
    /// A kind of certificate that another authority issues.
    #[error("the authority '{}' does not issue this kind of certificate", .0.label())]
    WrongAuthority(SecretClass),
    /// The encoder refused.
    #[error("the certificate could not be made")]
    Encode(#[from] rcgen::Error),
}

impl Authority {
    pub(crate) fn new(
        cluster: &Name,
        class: SecretClass,
        epoch: u32,
        key: PrivateKey,
    ) -> Result<Self, IssueError> {
        let mut params = timeless();
        params.distinguished_name.push(DnType::OrganizationName, cluster.as_str());
        params.distinguished_name.push(DnType::CommonName, format!("Cairn {} {epoch}", class.label()));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial("authority", &key.public_key_der()));
        let certificate = params.self_signed(&key)?;
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Ok(Self { class, issuer: Issuer::new(params, key), pem, der })
    }

    /// The authority's certificate in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The authority's certificate in DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// The authority's public key as SubjectPublicKeyInfo in DER.
    pub fn public_key_der(&self) -> Vec<u8> {
        self.issuer.key().public_key_der()
    }

    /// A certificate of this kind for the request's key.
    ///
    /// # Errors
    ///
    /// When another authority issues this kind.
    pub fn issue(&self, leaf: &Leaf, request: &SigningRequest) -> Result<Issued, IssueError> {
        if leaf.authority() != self.class {
            return Err(IssueError::WrongAuthority(self.class));
        }
        let mut params = timeless();
        params.distinguished_name.push(DnType::CommonName, leaf.common_name());
        for name in leaf.dns_names() {
            params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
        }
        params.subject_alt_names.extend(leaf.addresses().into_iter().map(SanType::IpAddress));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if leaf.is_server() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if leaf.is_client() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial(&leaf.identity(), &request.public_key_der()));
        let certificate = params.signed_by(request.public_key(), &self.issuer)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            authority_pem: self.pem.clone(),
        })
    }

    pub(crate) fn key(&self) -> &PrivateKey {
        self.issuer.key()
    }
}

/// Parameters without a name and without an end.
fn timeless() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31) + Duration::from_secs(24 * 60 * 60 - 1);
    params
}

/// A serial number that follows from what is certified: the same certificate has the same number, another
/// one another. 120 bits of a hash, positive, well below RFC 5280's 20 octets.
fn serial(kind: &str, public_key_der: &[u8]) -> SerialNumber {
    let hash = Sha256::new_with_prefix(b"cairn/v1/serial/")
        .chain_update(kind)
        .chain_update([0])
        .chain_update(public_key_der)
        .finalize();
    // a leading 1 keeps the number positive and its length fixed
    SerialNumber::from(std::iter::once(1).chain(hash.into_iter().take(15)).collect::<Vec<u8>>())
}
