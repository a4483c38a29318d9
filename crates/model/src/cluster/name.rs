//! Names of clusters and nodes: RFC 1123 labels in lower case, so that they are host names as they stand.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// RFC 1123, section 2.1.
const LONGEST: usize = 63;
/// `manager` has a certificate of its own that no node may ever be given.
const RESERVED: &[&str] = &["manager", "localhost", "cairn"];

/// The name of a cluster or of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "schema",
    schema(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length = 63, example = "etcd-1")
)]
#[serde(into = "String", try_from = "String")]
pub struct Name(String);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not an RFC 1123 label in lower case.
    #[error("'{0}' is not a name; use 1 to 63 of a-z, 0-9 and '-', without '-' at either end")]
    NotALabel(String),
    /// A name with a meaning of its own.
    #[error("the name '{0}' is taken by Cairn itself; choose another")]
    Reserved(String),
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let label = (1..=LONGEST).contains(&text.len())
            && text.chars().all(letters)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if !label {
            return Err(NameError::NotALabel(text.to_owned()));
        }
        if RESERVED.contains(&text) {
            return Err(NameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_are_no_host_names_are_refused() {
        for text in ["", "-a", "a-", "A", "a.b", "a_b", "a b", "ä", "a/b", &"a".repeat(64)] {
            assert!(matches!(text.parse::<Name>(), Err(NameError::NotALabel(_))), "{text}");
        }
    }

    #[test]
    fn no_node_can_be_called_manager() {
        assert!(matches!("manager".parse::<Name>(), Err(NameError::Reserved(_))));
    }

    proptest! {
        #[test]
        fn any_text_is_a_label_or_refused(text in ".*") {
            if let Ok(name) = text.parse::<Name>() {
                prop_assert_eq!(name.as_str(), text.as_str());
            }
        }
    }
}
