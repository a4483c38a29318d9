//! Programs of all shapes are signed; sbverify (Debian's sbsigntool) and OpenSSL are the judges.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // in helpers of tests, where Clippy does not see the test

use cairn_secureboot::{SignError, SigningKey, sign};
use object::pe::{
    IMAGE_FILE_EXECUTABLE_IMAGE, IMAGE_FILE_MACHINE_AMD64, IMAGE_SCN_CNT_INITIALIZED_DATA,
    IMAGE_SCN_MEM_READ, IMAGE_SUBSYSTEM_EFI_APPLICATION,
};
use object::write::pe::{NtHeaders, Writer};
use proptest::prelude::*;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::derive(&[7; 32], "Cairn home").unwrap());

/// A UEFI program with these sections, and perhaps something behind them.
fn program(sections: &[Vec<u8>], behind: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(true, 4096, 512, &mut bytes);
    writer.reserve_dos_header_and_stub();
    writer.reserve_nt_headers(16);
    writer.reserve_section_headers(u16::try_from(sections.len()).unwrap());
    let mut places = Vec::new();
    for (section, place) in sections.iter().zip(0..) {
        let length = u32::try_from(section.len()).unwrap();
        let name = [b'.', b'a' + place, 0, 0, 0, 0, 0, 0];
        let flags = IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ;
        places.push(writer.reserve_section(name, flags, length, length).file_offset);
    }
    writer.write_dos_header_and_stub().unwrap();
    writer.write_nt_headers(NtHeaders {
        machine: IMAGE_FILE_MACHINE_AMD64,
        time_date_stamp: 0,
        characteristics: IMAGE_FILE_EXECUTABLE_IMAGE,
        major_linker_version: 0,
        minor_linker_version: 0,
        address_of_entry_point: 0,
        image_base: 0,
        major_operating_system_version: 0,
        minor_operating_system_version: 0,
        major_image_version: 0,
        minor_image_version: 0,
        major_subsystem_version: 0,
        minor_subsystem_version: 0,
        subsystem: IMAGE_SUBSYSTEM_EFI_APPLICATION,
        dll_characteristics: 0,
        size_of_stack_reserve: 0,
        size_of_stack_commit: 0,
        size_of_heap_reserve: 0,
        size_of_heap_commit: 0,
    });
    writer.write_section_headers();
    for (section, place) in sections.iter().zip(places) {
        writer.write_section(place, section);
    }
    bytes.extend(behind);
    bytes
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().expect("openssl is there");
    [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}

/// Whether sbverify finds the signature of our certificate good.
fn verifies(folder: &Path, program: &[u8]) -> bool {
    let [der, pem, file] = ["c.der", "c.pem", "p.efi"].map(|name| folder.join(name).display().to_string());
    std::fs::write(&der, KEY.certificate()).unwrap();
    std::fs::write(&file, program).unwrap();
    openssl(&["x509", "-inform", "der", "-in", &der, "-out", &pem]);
    let judge = Command::new("sbverify").args(["--cert", &pem, &file]).output();
    judge.expect("sbverify is there: `make setup` installs it").status.success()
}

fn sections() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..3000), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_signed_verifies_and_changed_it_does_not(
        sections in sections(),
        behind in proptest::collection::vec(any::<u8>(), 0..20),
        place in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let plain = program(&sections, &behind);
        let signed = sign(plain.clone(), &KEY).unwrap();
        prop_assert!(verifies(folder.path(), &signed));
        prop_assert!(matches!(sign(signed.clone(), &KEY), Err(SignError::Signed)));
        // behind the headers, of which checksum and place of the signature are not signed
        let mut changed = signed;
        let at = plain.len() - 1 - place.index(512);
        changed[at] ^= 1;
        prop_assert!(!verifies(folder.path(), &changed), "byte {at} of {}", plain.len());
    }
}

proptest! {
    #[test]
    fn whatever_is_given_is_signed_or_refused(
        sections in sections(),
        changes in proptest::collection::vec((0..1024_usize, any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = program(&sections, &[]);
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = sign(bytes, &KEY);
    }
}

/// Its headers are written by hand, and half a kernel's.
#[test]
fn a_memory_test_is_signed() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.state/tools/debian13");
    let plain = std::fs::read(tools.join("boot/memtest86+x64.efi"));
    let plain = plain.expect("memtest86+ is there: `make setup` fetches it");
    let signed = sign(plain, &KEY).unwrap();
    assert!(verifies(tempfile::tempdir().unwrap().path(), &signed));
}

#[test]
fn what_is_no_program_is_refused() {
    assert!(matches!(sign(b"#!/bin/sh".to_vec(), &KEY), Err(SignError::NoProgram(_))));
    assert!(matches!(sign(Vec::new(), &KEY), Err(SignError::NoProgram(_))));
}

#[test]
fn the_certificate_is_one_that_firmware_takes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.der").display().to_string();
    std::fs::write(&file, KEY.certificate()).unwrap();
    let text = openssl(&["x509", "-inform", "der", "-in", &file, "-noout", "-text"]);
    for words in [
        "Public-Key: (2048 bit)",
        "Exponent: 65537",
        "Signature Algorithm: sha256WithRSAEncryption",
        "CN = Cairn home",
        "Code Signing",
    ] {
        assert!(text.contains(words), "no '{words}' in {text}");
    }
    let pem = folder.path().join("c.pem").display().to_string();
    openssl(&["x509", "-inform", "der", "-in", &file, "-out", &pem]);
    let verified = openssl(&["verify", "-CAfile", &pem, &pem]);
    assert!(verified.contains("OK"), "{verified}");
}
