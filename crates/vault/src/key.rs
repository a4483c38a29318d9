//! Key pairs, and the requests with which a node shows that it holds one.
//!
//! Ed25519 everywhere (RFC 8410): short, the same signature for the same input, and spoken by rustls, Go and
//! OpenSSL alike.

use cairn_model::cluster::Fingerprint;
use cairn_model::secret::Secret;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, KeyPair, PKCS_ED25519, PublicKeyData,
    SignatureAlgorithm, SigningKey,
};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::seed::{RandomError, random};

/// PKCS#8 version 1 of an Ed25519 key, up to its 32 bytes (RFC 8410, section 7). Version 2, which ring itself
/// writes, carries the public key too and is refused by OpenSSL.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// An Ed25519 private key. Its encoding is wiped when it is dropped (ring keeps a copy that can't be); has no
/// `Debug`.
pub struct PrivateKey(KeyPair);

/// Why a key or a request can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No random bytes.
    #[error("no key could be made")]
    Random(#[from] RandomError),
    /// Not an Ed25519 key in PKCS#8.
    #[error("this is not an Ed25519 private key in PKCS#8 PEM; let the node make a new one")]
    NotAKey(#[source] rcgen::Error),
    /// Not a request, or one whose signature is not of the key that it names.
    #[error("this is not a certificate request signed with its own key; let the node make a new one")]
    NotARequest(#[source] rcgen::Error),
    /// Another algorithm than Ed25519.
    #[error("the request's key is not an Ed25519 key; Cairn's nodes use no other")]
    NotEd25519,
    /// The request could not be written.
    #[error("no certificate request could be made")]
    Request(#[source] rcgen::Error),
}

impl PrivateKey {
    /// A new key from the operating system's random generator.
    ///
    /// # Errors
    ///
    /// When there are no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_secret(&random()?)
    }

    /// The key of these 32 bytes, the same for the same bytes.
    pub(crate) fn from_secret(secret: &Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        let mut der = Zeroizing::new(Vec::with_capacity(48));
        der.extend_from_slice(&PKCS8_PREFIX);
        der.extend_from_slice(secret.as_slice());
        KeyPair::from_pkcs8_der_and_sign_algo(&der.as_slice().into(), &PKCS_ED25519)
            .map(Self)
            .map_err(KeyError::NotAKey)
    }

    /// Reads what [`Self::to_pem`] wrote.
    ///
    /// # Errors
    ///
    /// When the text is no Ed25519 key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ED25519).map(Self).map_err(KeyError::NotAKey)
    }

    /// The key in PKCS#8 PEM, which rustls, etcd, k3s and OpenSSL read.
    pub fn to_pem(&self) -> Secret {
        Secret::new(self.0.serialize_pem())
    }

    /// The key in PKCS#8 DER.
    pub fn to_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize_der())
    }

    /// The public key as SubjectPublicKeyInfo in DER.
    pub fn public_key_der(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// What the public key is known by.
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint_of(&self.public_key_der())
    }

    /// A certificate request (PKCS#10 PEM) that proves possession of the key. It names nothing: which names
    /// the certificate gets is the issuer's decision.
    ///
    /// # Errors
    ///
    /// When it can't be encoded, which no key causes.
    pub fn signing_request(&self) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serialize_request(self).and_then(|request| request.pem()).map_err(KeyError::Request)
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

/// A request of which the signature was checked. Only its public key is ever used.
pub struct SigningRequest(rcgen::PublicKey);

impl SigningRequest {
    /// Reads a PKCS#10 request in PEM and checks that it was signed with the key that it names.
    ///
    /// # Errors
    ///
    /// When it is none, or its signature or kind of key is wrong.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let request = CertificateSigningRequestParams::from_pem(pem).map_err(KeyError::NotARequest)?;
        if *request.public_key.algorithm() != PKCS_ED25519 {
            return Err(KeyError::NotEd25519);
        }
        Ok(Self(request.public_key))
    }

    /// A request for a key that the caller itself holds.
    ///
    /// # Errors
    ///
    /// When the key can't be encoded, which no key causes.
    pub fn of(key: &PrivateKey) -> Result<Self, KeyError> {
        Self::from_pem(&key.signing_request()?)
    }

    /// The public key as SubjectPublicKeyInfo in DER.
    pub fn public_key_der(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// What the public key is known by: compare it with the enrolled one before issuing.
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint_of(&self.public_key_der())
    }

    pub(crate) fn public_key(&self) -> &rcgen::PublicKey {
        &self.0
    }
}

/// The fingerprint of a public key given as SubjectPublicKeyInfo in DER.
pub fn fingerprint_of(public_key_der: &[u8]) -> Fingerprint {
    Fingerprint::from_bytes(Sha256::digest(public_key_der).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_reads_back_what_it_wrote() {
        let key = PrivateKey::generate().unwrap();
        let read = PrivateKey::from_pem(key.to_pem().expose()).unwrap();
        assert_eq!(read.fingerprint(), key.fingerprint());
    }

    #[test]
    fn two_new_keys_differ() {
        let fingerprint = || PrivateKey::generate().unwrap().fingerprint();
        assert_ne!(fingerprint(), fingerprint());
    }

    #[test]
    fn a_request_proves_possession_of_its_key() {
        let key = PrivateKey::generate().unwrap();
        let request = SigningRequest::from_pem(&key.signing_request().unwrap()).unwrap();
        assert_eq!(request.fingerprint(), key.fingerprint());
    }

    #[test]
    fn a_request_whose_signature_was_changed_is_refused() {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let pem = PrivateKey::generate().unwrap().signing_request().unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let mut der = STANDARD.decode(body).unwrap();
        *der.last_mut().unwrap() ^= 1;
        let pem = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            STANDARD.encode(der)
        );
        assert!(matches!(SigningRequest::from_pem(&pem), Err(KeyError::NotARequest(_))));
    }

    #[test]
    fn a_request_for_another_kind_of_key_is_refused() {
        let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let pem = CertificateParams::default().serialize_request(&other).unwrap().pem().unwrap();
        assert!(matches!(SigningRequest::from_pem(&pem), Err(KeyError::NotEd25519)));
    }

    proptest! {
        #[test]
        fn any_text_is_a_key_or_a_request_or_an_error(text in ".*") {
            let _ = PrivateKey::from_pem(&text);
            let _ = SigningRequest::from_pem(&text);
        }
    }
}
