//! Upstream's checksum file, in the format of `sha256sum` (coreutils).

use crate::sum::Sum;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumsError {
    #[error("it names no file '{0}'")]
    Missing(String),
    #[error("it names '{0}' twice, with different checksums")]
    Ambiguous(String),
}

/// The checksum of the file of this name; a folder before the name does not count. Lines of any other
/// form are passed over: such files have titles and remarks.
///
/// # Errors
/// When there is not exactly one.
pub fn find(text: &str, name: &str) -> Result<Sum, ChecksumsError> {
    let mut found: Option<Sum> = None;
    for (sum, _) in text.lines().filter_map(line).filter(|(_, file)| *file == name) {
        if found.is_some_and(|known| known != sum) {
            return Err(ChecksumsError::Ambiguous(name.to_owned()));
        }
        found = Some(sum);
    }
    found.ok_or_else(|| ChecksumsError::Missing(name.to_owned()))
}

/// `SUM  NAME`, or `SUM *NAME` for binary mode.
fn line(line: &str) -> Option<(Sum, &str)> {
    let (sum, name) = line.trim_end().split_once(' ')?;
    let name = name.strip_prefix([' ', '*']).unwrap_or(name);
    let name = name.rsplit('/').next().unwrap_or(name);
    Some((sum.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_right_line_is_found_among_others() {
        let (one, two, three) = (Sum::of_bytes(b"1"), Sum::of_bytes(b"2"), Sum::of_bytes(b"3"));
        let text = format!(
            "# made by hand\n\n{one}  k3s-airgap-images-amd64.tar\r\n{two}  k3s\n{three} *dist/x.efi\n"
        );
        assert_eq!(find(&text, "k3s"), Ok(two));
        assert_eq!(find(&text, "k3s-airgap-images-amd64.tar"), Ok(one));
        assert_eq!(find(&text, "x.efi"), Ok(three));
        assert_eq!(find(&text, "k3s-arm64"), Err(ChecksumsError::Missing("k3s-arm64".into())));
        let twice = format!("{text}{one}  k3s\n");
        assert_eq!(find(&twice, "k3s"), Err(ChecksumsError::Ambiguous("k3s".into())));
    }

    proptest! {
        #[test]
        fn a_sum_that_is_found_stands_before_the_name(text in "([0-9a-f]{64}[ *]{0,2}[a-c/]{0,3}\n|.{0,80}\n){0,8}") {
            if let Ok(sum) = find(&text, "a") {
                let stands = |line: &str| line.to_lowercase().starts_with(&sum.to_string()) && line.trim_end().ends_with('a');
                prop_assert!(text.lines().any(stands));
            }
        }
    }
}
