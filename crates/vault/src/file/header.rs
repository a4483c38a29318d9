//! The header of the age file inside the armour, looked at before any work is done for it.
//!
//! ```text
//! age-encryption.org/v1
//! -> scrypt <salt, 22 characters> 17
//! <wrapped file key, 43 characters>
//! --- <checksum, 43 characters>
//! ```
//!
//! What Cairn writes has exactly this form, so nothing else is given to age: its own reader takes headers of
//! any length, parses them anew with every byte, and begins the work of scrypt before it sees their end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::OpenError;

/// scrypt's cost, 2^17 (128 MiB, about half a second). Fixed: age by itself takes as much as the machine that
/// writes can bear, and then a phone or a Pi can't read.
pub(super) const WORK_FACTOR: u8 = 17;
/// What a later Cairn may write without another format: 256 MiB, about a second.
pub(super) const MOST_WORK: u8 = 18;

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
/// The header is 150 bytes, which are 200 characters of base64 without a rest.
const BASE64_CHARACTERS: usize = 200;

/// Whether the armoured text begins as one of ours and asks for no more work than ours.
///
/// # Errors
///
/// [`OpenError::ForeignWork`], or [`OpenError::Edited`] when it is not of the form above.
pub(super) fn check(armour: &str) -> Result<(), OpenError> {
    let body = armour.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or(OpenError::Edited)?;
    let start: String = body.chars().filter(|c| *c != '\n').take(BASE64_CHARACTERS).collect();
    let bytes = STANDARD.decode(start).map_err(|_| OpenError::Edited)?;
    let header = std::str::from_utf8(&bytes).map_err(|_| OpenError::Edited)?;
    match work_factor(header).ok_or(OpenError::Edited)? {
        WORK_FACTOR..=MOST_WORK => Ok(()),
        factor => Err(OpenError::ForeignWork { factor }),
    }
}

fn work_factor(header: &str) -> Option<u8> {
    let mut lines = header.split('\n');
    let magic = lines.next()? == "age-encryption.org/v1";
    let (salt, factor) = lines.next()?.strip_prefix("-> scrypt ")?.split_once(' ')?;
    let key = lines.next()?;
    let checksum = lines.next()?.strip_prefix("--- ")?;
    // with a number of another length the header's end lies elsewhere; it is refused for the number
    let whole = factor.len() != 2 || (checksum.len() == 43 && lines.next() == Some(""));
    let known = magic && salt.len() == 22 && key.len() == 43 && whole && !factor.starts_with(['+', '0']);
    factor.parse().ok().filter(|_| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armoured(header: &str) -> String {
        let body = STANDARD.encode(format!("{header}{}", "x".repeat(60)));
        let lines: Vec<&str> =
            body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("{BEGIN}\n{}\n{END}", lines.join("\n"))
    }

    fn header(factor: &str) -> String {
        let (salt, key) = ("s".repeat(22), "k".repeat(43));
        format!("age-encryption.org/v1\n-> scrypt {salt} {factor}\n{key}\n--- {key}\n")
    }

    #[test]
    fn only_the_work_that_cairn_asks_for_is_done() {
        for (factor, expected) in [
            ("17", Ok(())),
            ("18", Ok(())),
            ("1", Err(OpenError::ForeignWork { factor: 1 })),
            ("16", Err(OpenError::ForeignWork { factor: 16 })),
            ("19", Err(OpenError::ForeignWork { factor: 19 })),
            ("30", Err(OpenError::ForeignWork { factor: 30 })),
            ("255", Err(OpenError::ForeignWork { factor: 255 })),
            ("300", Err(OpenError::Edited)),
            ("-1", Err(OpenError::Edited)),
            ("+17", Err(OpenError::Edited)),
            ("017", Err(OpenError::Edited)),
            ("+7", Err(OpenError::Edited)),
            ("", Err(OpenError::Edited)),
        ] {
            assert_eq!(check(&armoured(&header(factor))), expected, "{factor}");
        }
    }

    #[test]
    fn a_header_of_any_other_form_is_not_given_to_age() {
        let good = header("17");
        for other in [
            good.replace("scrypt", "X25519"),
            good.replace("v1", "v2"),
            good.replace("--- ", "-> another\n--- "),
            good.replace("kk\n", "k\n"),
            good.replace("17", "17 17"),
            String::new(),
        ] {
            assert_eq!(check(&armoured(&other)), Err(OpenError::Edited), "{other}");
        }
        let whole = armoured(&good);
        for other in [whole.replace(BEGIN, ""), whole.replace(END, ""), good, String::new(), BEGIN.to_owned()]
        {
            assert_eq!(check(&other), Err(OpenError::Edited), "{other}");
        }
    }
}
