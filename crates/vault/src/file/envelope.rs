//! The plain lines around the sealed content, and the checksum that tells damage from a wrong passphrase.
//!
//! ```text
//! # Cairn cluster file: keep this whole text in your password manager.
//! # Only its passphrase opens it. Nobody can recover a lost passphrase.
//! # cluster: home
//! # generation: 3
//! # format: 1
//! # checksum: 1234-<32 hexadecimal digits>-<8 hexadecimal digits>
//! -----BEGIN AGE ENCRYPTED FILE-----
//! ```
//!
//! The checksum covers all other lines, without the white space around them and without empty lines, so that
//! a text survives being pasted. It is made of their length, their hash, and a short hash of these two: so a
//! damaged checksum is not taken for a text that is too short. This rule holds for every format to come;
//! without it an edited file could pass for one of a newer format.

use cairn_model::cluster::{Cluster, Name};
use sha2::{Digest as _, Sha256};

use super::OpenError;

/// The format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

const TITLE: &str = "# Cairn cluster file: keep this whole text in your password manager.";
const ADVICE: &str = "# Only its passphrase opens it. Nobody can recover a lost passphrase.";
const CLUSTER: &str = "# cluster: ";
const GENERATION: &str = "# generation: ";
const FORMAT_LINE: &str = "# format: ";
const CHECKSUM: &str = "# checksum: ";

/// What the plain lines say, once the checksum was found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) cluster: Name,
    pub(super) generation: u64,
    /// The armoured content.
    pub(super) armour: String,
}

/// The whole text for this content.
pub(super) fn write(cluster: &Cluster, armour: &str) -> String {
    let Cluster { name, generation, .. } = cluster;
    let head =
        format!("{TITLE}\n{ADVICE}\n{CLUSTER}{name}\n{GENERATION}{generation}\n{FORMAT_LINE}{FORMAT}\n");
    let armour = normal_lines(armour).collect::<Vec<_>>().join("\n");
    let checksum = checksum(&format!("{head}{armour}"));
    format!("{head}{CHECKSUM}{checksum}\n{armour}\n")
}

/// Reads the plain lines of any text.
pub(super) fn read(text: &str) -> Result<Envelope, OpenError> {
    let lines: Vec<&str> = normal_lines(text).collect();
    let value = |key: &str| lines.iter().find_map(|line| line.strip_prefix(key));
    let given = value(CHECKSUM);
    if given.is_none() && !lines.contains(&TITLE) {
        return Err(OpenError::NotACairnFile);
    }
    let mut armour = lines.iter().filter(|line| !line.starts_with('#')).copied().peekable();
    if armour.peek().is_none() {
        return Err(OpenError::Truncated { missing: None });
    }
    let covered: Vec<&str> = lines.iter().filter(|line| !line.starts_with(CHECKSUM)).copied().collect();
    compare(given.ok_or(OpenError::Edited)?, &covered.join("\n"))?;

    // from here on the text is as some Cairn wrote it
    let number = |key: &str| value(key).and_then(|text| text.parse::<u64>().ok()).ok_or(OpenError::Edited);
    let format = number(FORMAT_LINE)?;
    if format > u64::from(FORMAT) {
        return Err(OpenError::NewerFormat { format });
    }
    let generation = number(GENERATION)?;
    let cluster = value(CLUSTER).and_then(|text| text.parse().ok()).ok_or(OpenError::Edited)?;
    Ok(Envelope { cluster, generation, armour: armour.collect::<Vec<_>>().join("\n") })
}

fn compare(given: &str, covered: &str) -> Result<(), OpenError> {
    if given == checksum(covered) {
        return Ok(());
    }
    let (body, own) = given.rsplit_once('-').ok_or(OpenError::Edited)?;
    let length = body.split_once('-').and_then(|(length, _)| length.parse::<usize>().ok());
    match length {
        // the checksum itself is undamaged, so the length that it names can be believed
        Some(length) if own == short_hash(body) && covered.len() < length => {
            Err(OpenError::Truncated { missing: Some(length.saturating_sub(covered.len())) })
        }
        _ => Err(OpenError::Edited),
    }
}

fn checksum(covered: &str) -> String {
    let digest = hex::encode(Sha256::digest(covered.as_bytes()));
    let body = format!("{}-{}", covered.len(), first(&digest, 32));
    format!("{body}-{}", short_hash(&body))
}

fn short_hash(body: &str) -> String {
    first(&hex::encode(Sha256::digest(body.as_bytes())), 8)
}

fn first(text: &str, count: usize) -> String {
    text.chars().take(count).collect()
}

/// The lines that count, as password managers, mail programs and other systems leave them.
fn normal_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}'))
        .filter(|line| !line.is_empty())
}

/// The text with a checksum that fits: what somebody could make who knows how.
#[cfg(any(test, fuzzing))]
pub fn resign(text: &str) -> String {
    let covered: Vec<&str> = normal_lines(text).filter(|line| !line.starts_with(CHECKSUM)).collect();
    let checksum = checksum(&covered.join("\n"));
    let line = |line: &str| match line.starts_with(CHECKSUM) {
        true => format!("{CHECKSUM}{checksum}\n"),
        false => format!("{line}\n"),
    };
    normal_lines(text).map(line).collect()
}
