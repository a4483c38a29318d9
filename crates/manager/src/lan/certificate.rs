//! The certificate that the page shows on the network: self-signed, and the same from start to start.
//!
//! What the owner compares is its fingerprint, so it stays although addresses change. It lies in the working
//! directory, since it is needed before a cluster file is open; the key is ECDSA P-256, because browsers take no
//! Ed25519. See decision 10.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error as TlsError, ServerConfig};
use sha2::{Digest as _, Sha256};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::{Zeroize as _, Zeroizing};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Apple's devices take no certificate for a server that is valid for more than 825 days, whoever vouches for it
/// (support.apple.com/en-us/HT210176).
const VALID_DAYS: u32 = 820;
/// Another clock may be a little behind.
const BEFORE: Duration = DAY;
/// It is made anew while it is still good.
const LEFT: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("the page's certificate {} can't be read or written", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error(
        "the page's certificate {} is damaged; delete it, and the manager makes another, with another fingerprint", .0.display()
    )]
    Damaged(PathBuf, #[source] DamagedError),
    #[error("a certificate for the page could not be made")]
    Make(#[source] rcgen::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum DamagedError {
    #[error("there is no ECDSA P-256 key in it")]
    Key(#[source] rcgen::Error),
    #[error("there is no certificate in it")]
    Pem(#[source] pem::Error),
    #[error("its certificate can't be read")]
    Certificate(#[source] x509_parser::nom::Err<x509_parser::error::X509Error>),
    #[error("its key and certificate can't be used together")]
    Tls(#[from] TlsError),
}

/// What serves TLS, and what it is known by.
#[derive(Clone)]
pub struct Identity {
    pub config: Arc<ServerConfig>,
    /// `AB:CD:...`
    pub fingerprint: String,
}

impl Identity {
    /// That of the file, or a new one when there is none or it is about to expire. A new one names the given
    /// addresses.
    ///
    /// # Errors
    /// When the file can't be read, or no other can be made. A damaged one is not replaced in silence.
    pub fn load_or_make(
        path: &Path,
        addresses: &[IpAddr],
        now: SystemTime,
    ) -> Result<Self, CertificateError> {
        let wrong = |error| CertificateError::File(path.to_owned(), error);
        let damaged = |error| CertificateError::Damaged(path.to_owned(), error);
        match std::fs::read_to_string(path).map(Zeroizing::new) {
            Ok(text) => {
                let (identity, ends) = Self::parse(&text).map_err(damaged)?;
                if ends > OffsetDateTime::from(now + LEFT).unix_timestamp() {
                    return Ok(identity);
                }
                tracing::warn!(
                    "the page's certificate is made anew, since it expires soon: phones will show another fingerprint"
                );
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(error)),
        }
        let text = make(addresses, &host_name(), now).map_err(CertificateError::Make)?;
        save(path, &text).map_err(wrong)?;
        Ok(Self::parse(&text).map_err(damaged)?.0)
    }

    /// With the second at which it ends.
    fn parse(text: &str) -> Result<(Self, i64), DamagedError> {
        let mut key = KeyPair::from_pkcs8_pem_and_sign_algo(text, &PKCS_ECDSA_P256_SHA256)
            .map_err(DamagedError::Key)?;
        let der = Zeroizing::new(key.serialize_der());
        key.zeroize();
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).map_err(DamagedError::Pem)?;
        let (_, read) = X509Certificate::from_der(&certificate).map_err(DamagedError::Certificate)?;
        let ends = read.validity().not_after.timestamp();
        let fingerprint = fingerprint(&certificate);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_slice()));
        let pair = CertifiedKey::new(vec![certificate], ring::sign::any_ecdsa_type(&key)?);
        pair.keys_match()?;
        // Every browser that still gets updates speaks it.
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Self { config: Arc::new(config), fingerprint }, ends))
    }
}

/// As `openssl x509 -fingerprint -sha256` prints it.
fn fingerprint(certificate: &[u8]) -> String {
    let pairs: Vec<String> = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Key and certificate in PEM.
fn make(addresses: &[IpAddr], host: &str, now: SystemTime) -> Result<Zeroizing<String>, rcgen::Error> {
    let mut key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut wanted = CertificateParams::default();
    wanted.distinguished_name = DistinguishedName::new();
    // An owner with two managers sees which it is.
    wanted.distinguished_name.push(DnType::CommonName, format!("Cairn on {host}"));
    wanted.subject_alt_names = addresses.iter().copied().map(SanType::IpAddress).collect();
    if let Ok(name) = host.try_into() {
        wanted.subject_alt_names.push(SanType::DnsName(name));
    }
    wanted.not_before = OffsetDateTime::from(now - BEFORE);
    wanted.not_after = OffsetDateTime::from(now - BEFORE + DAY * VALID_DAYS);
    wanted.is_ca = IsCa::ExplicitNoCa;
    wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = wanted.self_signed(&key)?;
    let pem = Zeroizing::new(key.serialize_pem());
    key.zeroize();
    Ok(Zeroizing::new(format!("{}\n{}", pem.trim_end(), certificate.pem())))
}

/// Whole or not at all, and for its owner's eyes only.
fn save(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const HOME: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 5))];

    #[test]
    fn the_fingerprint_stays_although_addresses_change_and_only_the_owner_reads_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.pem");
        let first = Identity::load_or_make(&path, &HOME, SystemTime::now()).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let moved = ["10.0.0.7".parse().unwrap()];
        let later = Identity::load_or_make(&path, &moved, SystemTime::now() + DAY * 700).unwrap();
        assert_eq!(first.fingerprint, later.fingerprint);
        assert_eq!(first.fingerprint.len(), 32 * 3 - 1);
    }

    #[test]
    fn a_certificate_that_is_about_to_expire_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.pem");
        let now = SystemTime::now();
        let first = Identity::load_or_make(&path, &HOME, now).unwrap();
        let last = Identity::load_or_make(&path, &HOME, now + DAY * 800).unwrap();
        assert_ne!(first.fingerprint, last.fingerprint);
    }

    #[test]
    fn a_certificate_says_what_apples_devices_ask_for() {
        let now = SystemTime::now();
        let text = make(&HOME, "laptop", now).unwrap();
        let der = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let validity = certificate.validity();
        let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert!(seconds <= 825 * 24 * 3600 && seconds > 800 * 24 * 3600, "{seconds}");
        assert!(certificate.extended_key_usage().unwrap().unwrap().value.server_auth);
        let names = format!("{:?}", certificate.subject_alternative_name().unwrap().unwrap().value);
        assert!(names.contains("laptop") && names.contains("[192, 168, 1, 5]"), "{names}");
        assert!(!certificate.is_ca());
    }

    #[test]
    fn a_damaged_certificate_is_not_replaced_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.pem");
        let [one, other] = [(); 2].map(|()| make(&HOME, "laptop", SystemTime::now()).unwrap());
        let split = |text: &str| text.find("-----BEGIN CERTIFICATE").unwrap();
        let mixed = format!("{}{}", &one[..split(&one)], &other[split(&other)..]);
        for text in ["", "short", &one[..split(&one)], &one[split(&one)..], &mixed] {
            std::fs::write(&path, text).unwrap();
            let read = Identity::load_or_make(&path, &HOME, SystemTime::now());
            assert!(matches!(read, Err(CertificateError::Damaged(..))), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
