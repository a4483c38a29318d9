//! The signature in a UEFI program.

use crate::key::SigningKey;
use authenticode::{
    DigestInfo, PeOffsets, PeTrait as _, SPC_INDIRECT_DATA_OBJID, SpcAttributeTypeAndOptionalValue,
    SpcIndirectDataContent, WIN_CERT_REVISION_2_0, WIN_CERT_TYPE_PKCS_SIGNED_DATA, authenticode_digest,
};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use der::asn1::{Any, ObjectIdentifier, OctetString, SetOfVec};
use der::{Decode as _, Encode as _, Tag};
use object::read::pe::PeFile64;
use sha2::{Digest as _, Sha256};
use spki::AlgorithmIdentifierOwned;
use x509_cert::Certificate;
use x509_cert::attr::Attribute;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const SPC_PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");
/// SpcPeImageData without its tag and length: no flags, and an empty name of a file.
const NO_IMAGE_DATA: &[u8] = b"\x03\x01\x00\xa0\x04\xa2\x02\x80\x00";
/// Entries of the certificate table begin at multiples of it.
const ALIGNMENT: usize = 8;
/// Length, revision and type of an entry.
const ENTRY_HEADER: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("it is no 64-bit UEFI program (PE32+)")]
    NoProgram(#[source] object::Error),
    #[error("it is a damaged UEFI program: what it says of its own parts can't be")]
    Damaged,
    #[error("it is signed already")]
    Signed,
    #[error("the signature can't be encoded")]
    Encode(#[from] der::Error),
    #[error("the key refused to sign")]
    Key,
}

/// The program with a signature. The same program and key give the same bytes.
///
/// # Errors
/// When it is no program, or one that is signed already.
pub fn sign(mut program: Vec<u8>, key: &SigningKey) -> Result<Vec<u8>, SignError> {
    program.resize(program.len().next_multiple_of(ALIGNMENT), 0);
    let (digest, offsets) = digest(&program)?;
    let signature = signature(&digest, key)?;
    let begin = program.len();
    let length = ENTRY_HEADER + signature.len().next_multiple_of(ALIGNMENT);
    let [begin, length] = [begin, length].map(|number| u32::try_from(number).map_err(|_| SignError::Damaged));
    let (begin, length) = (begin?, length?);
    program.extend(length.to_le_bytes());
    program.extend(WIN_CERT_REVISION_2_0.to_le_bytes());
    program.extend(WIN_CERT_TYPE_PKCS_SIGNED_DATA.to_le_bytes());
    program.extend(&signature);
    program.resize(program.len().next_multiple_of(ALIGNMENT), 0);
    // a checksum of 0 is none; neither it nor the place of the table is part of what is signed
    put(&mut program, offsets.check_sum, 0)?;
    put(&mut program, offsets.security_data_dir, begin)?;
    put(&mut program, offsets.security_data_dir + 4, length)?;
    Ok(program)
}

fn put(program: &mut [u8], at: usize, number: u32) -> Result<(), SignError> {
    let place = program.get_mut(at..at.saturating_add(4)).ok_or(SignError::Damaged)?;
    place.copy_from_slice(&number.to_le_bytes());
    Ok(())
}

fn digest(program: &[u8]) -> Result<(Vec<u8>, PeOffsets), SignError> {
    let file = PeFile64::parse(program).map_err(SignError::NoProgram)?;
    if file.certificate_table_range().map_err(|_| SignError::Damaged)?.is_some() {
        return Err(SignError::Signed);
    }
    let offsets = file.offsets().map_err(|_| SignError::Damaged)?;
    let mut digest = Sha256::new();
    authenticode_digest(&file, &mut digest).map_err(|_| SignError::Damaged)?;
    Ok((digest.finalize().to_vec(), offsets))
}

/// PKCS #7 (RFC 2315) around the digest: what CMS (RFC 5652) calls version 1, but for its content, which stands there
/// as itself and not in a string of octets.
fn signature(digest: &[u8], key: &SigningKey) -> Result<Vec<u8>, SignError> {
    let sha256 = AlgorithmIdentifierOwned { oid: SHA256, parameters: Some(Any::null()) };
    let content = SpcIndirectDataContent {
        data: SpcAttributeTypeAndOptionalValue {
            value_type: SPC_PE_IMAGE_DATA,
            value: Any::new(Tag::Sequence, NO_IMAGE_DATA)?,
        },
        message_digest: DigestInfo { digest_algorithm: sha256.clone(), digest: OctetString::new(digest)? },
    };
    let content = Any::encode_from(&content)?;
    let attributes = SetOfVec::try_from(vec![
        attribute(CONTENT_TYPE, Any::encode_from(&SPC_INDIRECT_DATA_OBJID)?)?,
        // of the content without its own tag and length
        attribute(MESSAGE_DIGEST, Any::new(Tag::OctetString, Sha256::digest(content.value()).to_vec())?)?,
    ])?;
    let certificate = Certificate::from_der(key.certificate())?;
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: certificate.tbs_certificate.issuer.clone(),
            serial_number: certificate.tbs_certificate.serial_number.clone(),
        }),
        digest_alg: sha256.clone(),
        signature: OctetString::new(key.sign(&attributes.to_der()?).map_err(|_| SignError::Key)?)?,
        signed_attrs: Some(attributes),
        signature_algorithm: AlgorithmIdentifierOwned { oid: RSA, parameters: Some(Any::null()) },
        unsigned_attrs: None,
    };
    let signed = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::try_from(vec![sha256])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: SPC_INDIRECT_DATA_OBJID,
            econtent: Some(content),
        },
        certificates: Some(CertificateSet::try_from(vec![CertificateChoices::Certificate(certificate)])?),
        crls: None,
        signer_infos: SignerInfos::try_from(vec![signer])?,
    };
    let info = ContentInfo { content_type: SIGNED_DATA, content: Any::encode_from(&signed)? };
    Ok(info.to_der()?)
}

fn attribute(oid: ObjectIdentifier, value: Any) -> Result<Attribute, der::Error> {
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
}
