//! The encrypted volume of a node: LUKS2 on the data partition, ext4 inside.

use crate::command::{self, CommandError};
use cairn_model::secret::Secret;
use std::io::Read;
use std::path::Path;
use uuid::Uuid;

/// The name below `/dev/mapper`.
pub const MAPPED: &str = "cairn-data";

/// The opened volume.
pub const MAPPED_DEVICE: &str = "/dev/mapper/cairn-data";

/// The recovery key has 160 random bits, so a slow key derivation protects nothing; and Argon2's
/// memory is not there on a machine of 512 MB (LUKS2 asks for at least 1000 iterations).
const ITERATIONS: &str = "1000";

/// `cryptsetup` exits with this when no key slot opens with the key (cryptsetup(8)).
const NO_PERMISSION: i32 = 2;

#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("this is not the key of the data partition")]
    WrongKey,
    #[error("the data partition could not be encrypted or opened")]
    Cryptsetup(#[source] CommandError),
    #[error("no file system could be made on the data partition")]
    MakeFileSystem(#[source] CommandError),
}

/// What a CPU does fast: Adiantum is made for those without AES instructions.
fn cipher(aes: bool) -> [&'static str; 4] {
    if aes {
        ["--cipher", "aes-xts-plain64", "--key-size", "512"]
    } else {
        ["--cipher", "xchacha12,aes-adiantum-plain64", "--key-size", "256"]
    }
}

/// Encrypts a partition anew. What was in it is lost.
///
/// # Errors
/// When cryptsetup refuses, in its words.
pub fn format(partition: &Path, uuid: Uuid, key: &Secret, aes: bool) -> Result<(), VolumeError> {
    let (partition, uuid) = (partition.to_string_lossy(), uuid.to_string());
    let mut arguments = vec!["luksFormat", "--batch-mode", "--type", "luks2", "--label", MAPPED];
    arguments.extend(["--uuid", &uuid, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", ITERATIONS]);
    arguments.extend(cipher(aes));
    arguments.extend(["--key-file", "-", &partition]);
    command::run("cryptsetup", &arguments, key.expose().as_bytes()).map(drop).map_err(VolumeError::Cryptsetup)
}

/// Opens a volume; one that is open stays so.
///
/// # Errors
/// A wrong key is told from everything else.
pub fn open(partition: &Path, key: &Secret) -> Result<(), VolumeError> {
    if Path::new(MAPPED_DEVICE).exists() {
        return Ok(());
    }
    let partition = partition.to_string_lossy();
    let arguments = ["open", "--type", "luks2", "--key-file", "-", &partition, MAPPED];
    match command::run("cryptsetup", &arguments, key.expose().as_bytes()) {
        Ok(_) => Ok(()),
        Err(CommandError::Failed { status, .. }) if status.code() == Some(NO_PERMISSION) => {
            Err(VolumeError::WrongKey)
        }
        Err(error) => Err(VolumeError::Cryptsetup(error)),
    }
}

/// # Errors
/// When it is in use.
pub fn close() -> Result<(), VolumeError> {
    command::run("cryptsetup", &["close", MAPPED], b"").map(drop).map_err(VolumeError::Cryptsetup)
}

/// Makes the file system in the opened volume.
///
/// # Errors
/// When mkfs refuses, in its words.
pub fn make_file_system() -> Result<(), VolumeError> {
    let arguments =
        ["-q", "-F", "-L", "cairn-var", "-m", "1", "-E", "lazy_itable_init=1,nodiscard", MAPPED_DEVICE];
    command::run("mkfs.ext4", &arguments, b"").map(drop).map_err(VolumeError::MakeFileSystem)
}

/// The UUID in a LUKS2 header, `None` where there is no such header.
pub fn header_uuid(partition: &Path) -> Option<Uuid> {
    let mut head = [0; 208];
    std::fs::File::open(partition).ok()?.read_exact(&mut head).ok()?;
    parse_header(&head)
}

/// LUKS2 On-Disk Format 1.1.3, section 2.1: magic, big-endian version, and the UUID as text at 168.
fn parse_header(head: &[u8]) -> Option<Uuid> {
    if head.get(..8)? != b"LUKS\xba\xbe\x00\x02" {
        return None;
    }
    let text = std::str::from_utf8(head.get(168..208)?).ok()?;
    Uuid::parse_str(text.trim_end_matches('\0')).ok()
}

/// The LUKS UUID of the opened volume, as device-mapper keeps it (`CRYPT-LUKS2-<uuid>-<name>`).
pub fn open_volume_uuid() -> Option<Uuid> {
    let block = std::fs::read_dir("/sys/block").ok()?;
    block.flatten().find_map(|entry| {
        let read = |name: &str| std::fs::read_to_string(entry.path().join("dm").join(name)).ok();
        (read("name")?.trim() == MAPPED).then(|| parse_mapper_uuid(read("uuid")?.trim())).flatten()
    })
}

fn parse_mapper_uuid(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text.strip_prefix("CRYPT-LUKS2-")?.get(..32)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_header_gives_its_uuid_and_opens_with_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("volume");
        std::fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
        assert_eq!(header_uuid(&image), None);
        let uuid = Uuid::new_v4();
        let key = Secret::new("cbdefghi jklnrtuv".to_owned());
        format(&image, uuid, &key, true).unwrap();
        assert_eq!(header_uuid(&image), Some(uuid));
        let path = image.to_string_lossy();
        let test = |key: &[u8]| {
            command::run("cryptsetup", &["open", "--test-passphrase", "--key-file", "-", &path], key)
        };
        test(key.expose().as_bytes()).unwrap();
        let error = test(b"wrong").unwrap_err();
        assert!(
            matches!(&error, CommandError::Failed { status, .. } if status.code() == Some(NO_PERMISSION))
        );
    }

    #[test]
    fn a_machine_without_aes_gets_adiantum() {
        assert!(cipher(false).contains(&"xchacha12,aes-adiantum-plain64"));
        assert!(cipher(true).contains(&"aes-xts-plain64"));
    }

    #[test]
    fn device_mapper_tells_the_uuid_without_dashes() {
        let text = "CRYPT-LUKS2-0f6c1cf5bd6447e9a4e9f2e6d2f0b3a1-cairn-data";
        assert_eq!(parse_mapper_uuid(text).unwrap().to_string(), "0f6c1cf5-bd64-47e9-a4e9-f2e6d2f0b3a1");
        assert_eq!(parse_mapper_uuid("CRYPT-VERITY-00"), None);
    }
}
