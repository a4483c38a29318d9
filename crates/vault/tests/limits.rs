//! What a cluster file can cost before its passphrase is checked, measured by all that is allocated meanwhile:
//! scrypt can't run without its memory, and nothing that takes long takes none. One test alone in its process,
//! because the meter is.

#![cfg(feature = "file")]
#![cfg(test)]

use std::alloc::System;
use std::path::Path;

use cairn_vault::file::{ClusterFile, OpenError, Passphrase, Sealed, disk};
use sha2::{Digest as _, Sha256};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static METER: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Of the bytes allocated, none taken back: more than are ever held at once.
fn allocated<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let region = Region::new(METER);
    let result = work();
    (result, region.change().bytes_allocated)
}

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";

/// A file with this inside its armour and a checksum that fits, by the rule that the `envelope` module states.
fn signed(content: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(content);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let head = "# cluster: home\n# generation: 1\n# format: 1";
    let armour = format!("{BEGIN}\n{}\n{END}", lines.join("\n"));
    let covered = format!("{head}\n{armour}");
    let sum = format!("{}-{}", covered.len(), &hex::encode(Sha256::digest(&covered))[..32]);
    let short = &hex::encode(Sha256::digest(&sum))[..8];
    format!("{head}\n# checksum: {sum}-{short}\n{armour}\n")
}

fn age_file(factor: &str, stanzas: usize) -> Vec<u8> {
    let (salt, key) = ("s".repeat(22), "k".repeat(43));
    let more = "-> more\n\n".repeat(stanzas);
    format!("age-encryption.org/v1\n-> scrypt {salt} {factor}\n{key}\n{more}--- {key}\n{}", "x".repeat(64))
        .into_bytes()
}

#[test]
fn nothing_costs_much_before_the_passphrase_is_checked_and_checking_it_stays_below_300_mb() {
    let passphrase = Passphrase::new("correct horse battery staple").unwrap();
    let file = ClusterFile::new("home".parse().unwrap(), 3, 10, 2).unwrap();
    let whole = file.seal(&passphrase).unwrap();

    let wrong = Passphrase::new("correct horse").unwrap();
    let (refused, checking) = allocated(|| ClusterFile::open(&whole, &wrong).err());
    assert_eq!(refused, Some(OpenError::WrongPassphrase));
    assert!((128 << 20..300_000_000).contains(&checking), "scrypt was not seen, or took {checking} bytes");

    let (_, reading) = allocated(|| Sealed::parse(whole.as_str()).map(drop).unwrap());
    assert!(reading < 1 << 20, "a whole file takes {reading} bytes to read");

    let one_more = "x".repeat((128 << 10) + 1);
    for (what, text, expected) in [
        ("one byte too many", one_more.clone(), OpenError::TooLong),
        ("100 MB", "# Cairn\n".repeat(12_500_000), OpenError::TooLong),
        ("nothing but line ends", "\n".repeat(128 << 10), OpenError::NotACairnFile),
        (
            "nothing but checksums",
            "# checksum: 1-2\n".repeat(8 << 10),
            OpenError::Truncated { missing: None },
        ),
        ("work of 2^30", signed(&age_file("30", 0)), OpenError::ForeignWork { factor: 30 }),
        ("work of 2^19", signed(&age_file("19", 0)), OpenError::ForeignWork { factor: 19 }),
        ("work of 2^1", signed(&age_file("1", 0)), OpenError::ForeignWork { factor: 1 }),
        ("a header of many parts", signed(&age_file("17", 4_000)), OpenError::Edited),
        ("no header at all", signed(&[b'x'; 45_000]), OpenError::Edited),
    ] {
        let (refused, cost) = allocated(|| Sealed::parse(&text).err());
        assert_eq!(refused, Some(expected), "{what}");
        assert!(cost < 4 << 20, "{what} took {cost} bytes");
    }
    let (endless, cost) = allocated(|| disk::load(Path::new("/dev/zero")).is_err());
    assert!(endless && cost < 4 << 20, "a file without an end took {cost} bytes");
}
