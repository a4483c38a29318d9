//! The owner's key, and the certificate that firmware is to trust.

use crypto_primes::{Flavor, is_prime};
use hkdf::Hkdf;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, SerialNumber,
};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::{BoxedUint, PrivateKey};
use sha2::{Digest as _, Sha256};
use time::macros::datetime;
use zeroize::Zeroizing;

/// Of each of the two primes.
const PRIME_BYTES: usize = 128;
const PRIME_BITS: u32 = 1024;
const PUBLIC_EXPONENT: u32 = 65_537;
/// One candidate in 355 is a prime (the prime number theorem, for odd numbers of 1,024 bits), so not one secret in
/// 10^20 gets so far.
const MOST_CANDIDATES: u32 = 20_000;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("no key follows from this secret")]
    NoPrime,
    #[error("the signing key can't be put together")]
    Rsa(#[source] rsa::Error),
    #[error("the signing key can't be encoded")]
    Encode(#[source] rsa::pkcs8::Error),
    #[error("the signing key is refused: {0}")]
    Refused(String),
    #[error("the certificate of the signing key can't be made")]
    Certificate(#[source] rcgen::Error),
}

/// An RSA key with its certificate.
pub struct SigningKey {
    pair: RsaKeyPair,
    certificate: Vec<u8>,
}

impl SigningKey {
    /// The key that follows from this secret. The same secret and name give the same key and certificate for ever:
    /// firmware that trusts one must never be asked to trust another. Takes about a second.
    ///
    /// # Errors
    /// When no key follows, which has never happened.
    pub fn derive(secret: &[u8; 32], name: &str) -> Result<Self, KeyError> {
        let [p, q] = [prime(secret, "p")?, prime(secret, "q")?];
        let key = PrivateKey::from_p_q(p, q, BoxedUint::from(PUBLIC_EXPONENT)).map_err(KeyError::Rsa)?;
        let der = key.to_pkcs8_der().map_err(KeyError::Encode)?;
        let pair = RsaKeyPair::from_pkcs8(der.as_bytes());
        let pair = pair.map_err(|rejected| KeyError::Refused(rejected.to_string()))?;
        let certificate = certificate(der.as_bytes(), name).map_err(KeyError::Certificate)?;
        Ok(Self { pair, certificate })
    }

    /// What firmware has to be given, in the form that it takes (DER).
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
        Ok(signature)
    }
}

/// The first prime in a stream of numbers that follows from the secret. The stream is a promise: another one would
/// be another key.
fn prime(secret: &[u8; 32], which: &str) -> Result<BoxedUint, KeyError> {
    let stream = Hkdf::<Sha256>::new(None, secret);
    for place in 0..MOST_CANDIDATES {
        let mut bytes = Zeroizing::new([0; PRIME_BYTES]);
        let label = format!("cairn/secure-boot/v1/{which}/{place}");
        stream.expand(label.as_bytes(), bytes.as_mut()).map_err(|_| KeyError::NoPrime)?;
        // the two highest bits make a product of 2,048 bits (FIPS 186-5, A.1.3), the lowest an odd number
        if let [first, .., last] = bytes.as_mut_slice() {
            *first |= 0b1100_0000;
            *last |= 1;
        }
        if fits_exponent(bytes.as_slice()) {
            let candidate = BoxedUint::from_be_slice(bytes.as_slice(), PRIME_BITS);
            let candidate = candidate.map_err(|_| KeyError::NoPrime)?;
            if is_prime(Flavor::Any, &candidate) {
                return Ok(candidate);
            }
        }
    }
    Err(KeyError::NoPrime)
}

/// Whether the number less one is no multiple of the public exponent, and the number itself of no small prime, which
/// spares most of the long tests.
fn fits_exponent(bytes: &[u8]) -> bool {
    const SMALL: [u32; 14] = [3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47];
    let remainder = |by: u32| {
        let fold = |rest: u64, byte: &u8| (rest * 256 + u64::from(*byte)) % u64::from(by);
        bytes.iter().fold(0, fold)
    };
    remainder(PUBLIC_EXPONENT) != 1 && SMALL.iter().all(|small| remainder(*small) != 0)
}

/// Self-signed. Its dates are wide, since firmware looks at no clock and no other certificate may ever follow.
fn certificate(pkcs8: &[u8], name: &str) -> Result<Vec<u8>, rcgen::Error> {
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.into(), &PKCS_RSA_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number =
        Some(SerialNumber::from_slice(Sha256::digest(key.public_key_raw()).get(..16).unwrap_or_default()));
    params.not_before = datetime!(2000-01-01 00:00 UTC);
    params.not_after = datetime!(2999-12-31 23:59:59 UTC);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    Ok(params.self_signed(&key)?.der().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_derived_once_is_derived_for_ever() {
        let one = SigningKey::derive(&[7; 32], "Cairn home").unwrap();
        let hash = hex::encode(Sha256::digest(one.certificate()));
        assert_eq!(hash, include_str!("../tests/known-certificate.txt").trim());
        let other = SigningKey::derive(&[8; 32], "Cairn home").unwrap();
        assert_ne!(one.certificate(), other.certificate());
    }
}
