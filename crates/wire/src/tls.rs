//! TLS 1.3 with a certificate on both sides, and the ways of knowing who the other side is.
//!
//! Nothing here depends on a clock that is right: certificates of Cairn are valid from 1970 until
//! 9999, and what ends a trust is the roster.

use crate::fingerprint::{self, NotACertificate};
use cairn_model::cluster::Fingerprint;
use cairn_vault::PrivateKey;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore, ServerConfig,
    SignatureScheme,
};
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the certificate or key is not valid PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("the certificate and the key do not fit together, or the CA can't be used")]
    Tls(#[source] TlsError),
    #[error("the CA certificate can't be used for checking others")]
    Ca(#[source] rustls::server::VerifierBuilderError),
    #[error(transparent)]
    Certificate(#[from] NotACertificate),
    #[error("a certificate for this key could not be made")]
    SelfSign(#[source] rcgen::Error),
    #[error("{0:?} is no name for a certificate")]
    Name(String),
}

/// A certificate with its key.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// # Errors
    /// When either text is not PEM.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, IdentityError> {
        Ok(Self {
            certificate: CertificateDer::from_pem_slice(certificate.as_bytes())
                .map_err(IdentityError::Pem)?,
            key: PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(IdentityError::Pem)?,
        })
    }

    /// An identity that says no more than its key: that of a machine which nobody knows yet.
    ///
    /// # Errors
    /// When the key can't sign.
    pub fn self_signed(key: &PrivateKey) -> Result<Self, IdentityError> {
        let key = key.to_pem();
        let pair = rcgen::KeyPair::from_pem(key.expose()).map_err(IdentityError::SelfSign)?;
        let mut parameters = rcgen::CertificateParams::default();
        parameters.not_before = rcgen::date_time_ymd(1970, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(9999, 12, 31);
        let certificate = parameters.self_signed(&pair).map_err(IdentityError::SelfSign)?;
        Self::from_pem(&certificate.pem(), key.expose())
    }

    /// # Errors
    /// When the certificate can't be parsed.
    pub fn fingerprint(&self) -> Result<Fingerprint, IdentityError> {
        Ok(fingerprint::of_certificate(&self.certificate)?)
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { certificate: self.certificate.clone(), key: self.key.clone_key() }
    }
}

/// Whom the dialling side expects.
#[derive(Clone, Debug)]
pub enum Expect {
    /// The owner of this key: a machine that has no certificate yet, known from its announcement.
    Key(Fingerprint),
    /// A certificate of this CA (PEM) for this name.
    Named { ca: String, name: String },
}

/// Whose connections the listening side takes. A certificate is always asked for.
#[derive(Clone, Debug)]
pub enum Callers {
    /// Anyone who holds the key of some certificate; what they may ask is decided per request.
    Anyone,
    /// Only the manager of the cluster with this CA (PEM).
    ManagerOf { ca: String },
    /// The manager of the cluster with this CA (PEM), and its nodes, which may ask for the time and nothing else.
    MembersOf { ca: String },
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(ca_pem: &str) -> Result<Arc<RootCertStore>, IdentityError> {
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(IdentityError::Pem)?;
    let mut store = RootCertStore::empty();
    store.add(ca).map_err(IdentityError::Tls)?;
    Ok(Arc::new(store))
}

/// # Errors
/// When the identity or the CA can't be used.
pub fn client_config(identity: &Identity, expect: &Expect) -> Result<ClientConfig, IdentityError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(IdentityError::Tls)?;
    let builder = match expect {
        Expect::Key(fingerprint) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(PinnedKey {
                fingerprint: *fingerprint,
                algorithms: provider().signature_verification_algorithms,
            }))
        }
        Expect::Named { ca, .. } => builder.with_root_certificates(roots(ca)?),
    };
    builder
        .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())
        .map_err(IdentityError::Tls)
}

/// # Errors
/// When the identity or the CA can't be used.
pub fn server_config(identity: &Identity, callers: &Callers) -> Result<ServerConfig, IdentityError> {
    let verifier: Arc<dyn ClientCertVerifier> = match callers {
        Callers::Anyone => Arc::new(AnyClient { algorithms: provider().signature_verification_algorithms }),
        Callers::ManagerOf { ca } | Callers::MembersOf { ca } => {
            WebPkiClientVerifier::builder_with_provider(roots(ca)?, provider())
                .build()
                .map_err(IdentityError::Ca)?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(IdentityError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![identity.certificate.clone()], identity.key.clone_key())
        .map_err(IdentityError::Tls)?;
    // Every connection proves its key anew.
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Whether `leaf` (DER) was issued by the CA (PEM) for `name`.
pub fn issued_for(ca_pem: &str, leaf: &[u8], name: &str) -> bool {
    let check = || -> Option<()> {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots(ca_pem).ok()?, provider()).build().ok()?;
        let name = ServerName::try_from(name.to_owned()).ok()?;
        verifier
            .verify_server_cert(&CertificateDer::from(leaf.to_vec()), &[], &name, &[], UnixTime::now())
            .ok()
            .map(drop)
    };
    check().is_some()
}

/// Whether a certificate whose chain was already checked carries `name`.
pub fn carries_name(leaf: &[u8], name: &str) -> bool {
    let certificate = CertificateDer::from(leaf.to_vec());
    let Ok(parsed) = ParsedCertificate::try_from(&certificate) else { return false };
    let Ok(name) = ServerName::try_from(name.to_owned()) else { return false };
    verify_server_name(&parsed, &name).is_ok()
}

/// # Errors
/// When the text is no PEM certificate.
pub fn pem_to_der(pem: &str) -> Result<Vec<u8>, IdentityError> {
    Ok(CertificateDer::from_pem_slice(pem.as_bytes()).map_err(IdentityError::Pem)?.to_vec())
}

/// Takes exactly one key, whatever else its certificate says.
#[derive(Debug)]
struct PinnedKey {
    fingerprint: Fingerprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match fingerprint::of_certificate(certificate) {
            Ok(found) if found == self.fingerprint => Ok(ServerCertVerified::assertion()),
            _ => Err(TlsError::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes any certificate whose key the caller holds: a fresh machine can't know its manager yet.
#[derive(Debug)]
struct AnyClient {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
