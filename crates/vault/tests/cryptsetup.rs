//! Whether cryptsetup takes the recovery key as a program gives it and as a person types it.

#![cfg(feature = "file")]
#![cfg(test)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cairn_vault::file::ClusterFile;
use uuid::Uuid;

fn cryptsetup(image: &Path, arguments: &[&str], input: &str) -> bool {
    let mut child = Command::new("cryptsetup")
        .args(arguments)
        .arg(image)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn a_volume_made_with_the_derived_key_opens_when_a_person_types_it_and_with_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("volume");
    std::fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    let uuid = Uuid::from_u128(0x9d2d_1e4c);
    let file = ClusterFile::new("home".parse().unwrap(), 3, 1, 0).unwrap();
    let key = file.keyring().recovery_key_of(uuid);

    // a random key needs no slow derivation
    let format =
        ["luksFormat", "-q", "--type=luks2", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", "--uuid"];
    let uuid = uuid.to_string();
    let format = [&format[..], &[uuid.as_str(), "--key-file=-"]].concat();
    assert!(cryptsetup(&image, &format, key.expose()));

    let open = ["open", "--test-passphrase"];
    assert!(cryptsetup(&image, &open, &format!("{}\n", key.expose())));
    let other = file.keyring().recovery_key_of(Uuid::from_u128(1));
    assert!(!cryptsetup(&image, &open, &format!("{}\n", other.expose())));
}
