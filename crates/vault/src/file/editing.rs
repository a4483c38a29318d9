//! The configuration as a text for the owner's editor, without the seed, and back.

use std::collections::BTreeMap;

use cairn_model::cluster::{Cluster, HandEditError};
use toml::{Table, Value};

use super::{ClusterFile, NextError, SealError};

/// Far more than any configuration, which has to fit into the sealed file.
const MOST_BYTES: usize = 64 * 1024;

/// Why an edited text makes no new generation; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// Not TOML, or not a cluster's. The source names the line; the seed is in none of them.
    #[error("the text is not a cluster's configuration")]
    Toml(#[source] Box<toml::de::Error>),
    /// Something that can't be changed this way.
    #[error("the change can't be made")]
    Refused(#[from] HandEditError),
    /// Another text altogether.
    #[error("the text is far too long for a cluster's configuration")]
    TooLong,
    /// It makes no generation.
    #[error("the changed configuration makes no cluster file")]
    Next(#[from] NextError),
}

impl ClusterFile {
    /// The configuration as TOML, with a word on what may be changed. The seed is not in it.
    ///
    /// # Errors
    ///
    /// When it can't be encoded.
    pub fn text(&self) -> Result<String, SealError> {
        let Cluster { name, generation, .. } = &self.cluster;
        let plain = toml::to_string(&self.cluster).map_err(|_| SealError::Encode)?;
        let next = generation.saturating_add(1);
        Ok(format!(
            "# The cluster '{name}', generation {generation}. Its seed is not in this text and stays as it is.\n\
             # Save and leave the editor to get generation {next}; leave it unchanged to keep all as it is.\n\
             # generation, parent and epochs are counted by Cairn. A new node takes next_number as its\n\
             # number; one with a 'boot' key has a machine, and can only be removed as a whole.\n\n{plain}"
        ))
    }

    /// The next generation, as this text says; the same one when it says nothing new.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn with_text(&self, text: &str) -> Result<Self, TextError> {
        if text.len() > MOST_BYTES {
            return Err(TextError::TooLong);
        }
        let wanted: Cluster = toml::from_str(text).map_err(|error| TextError::Toml(Box::new(error)))?;
        let wanted = self.cluster.edited_by_hand(wanted)?;
        Ok(self.next(|_| Ok(wanted))?)
    }
}

/// What differs between two configurations, a line each, for the owner to look over.
pub fn changes(before: &Cluster, after: &Cluster) -> Vec<String> {
    let (before, after) = (settings(before), settings(after));
    let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    let mut lines: Vec<String> = keys
        .filter_map(|key| match (before.get(key), after.get(key)) {
            (Some(old), Some(new)) if old == new => None,
            (Some(old), Some(new)) => Some(format!("{key}: {old} becomes {new}")),
            (Some(old), None) => Some(format!("{key}: {old} is removed")),
            (None, Some(new)) => Some(format!("{key}: {new} is new")),
            (None, None) => None,
        })
        .collect();
    lines.sort();
    lines
}

/// Every value by its place in the file, so that a field that is new to the model is shown too.
fn settings(cluster: &Cluster) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    // a cluster that was read from TOML can be written as TOML
    for (key, value) in Table::try_from(cluster).unwrap_or_default() {
        match value {
            Value::Array(nodes) => {
                for node in nodes.iter().filter_map(Value::as_table) {
                    let name = node.get("name").and_then(Value::as_str).unwrap_or_default();
                    for (field, value) in node.iter().filter(|(field, _)| *field != "name") {
                        settings.insert(format!("{key} '{name}', {field}"), value.to_string());
                    }
                }
            }
            Value::Table(table) => {
                for (field, value) in table {
                    settings.insert(format!("{key}, {field}"), value.to_string());
                }
            }
            _ if matches!(key.as_str(), "generation" | "parent") => {}
            value => {
                settings.insert(key, value.to_string());
            }
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use proptest::prelude::*;

    use super::*;

    fn file() -> ClusterFile {
        ClusterFile::new("home".parse().unwrap(), 3, 1, 0).unwrap()
    }

    #[test]
    fn the_text_holds_no_seed_and_unchanged_gives_the_same_generation() {
        let file = file();
        let text = file.text().unwrap();
        assert!(!text.contains("seed =") && !text.contains(&file.plain().unwrap()[..60]), "{text}");
        assert_eq!(file.with_text(&text).unwrap().hash(), file.hash());
    }

    #[test]
    fn a_changed_text_is_the_next_generation_of_the_same_secrets() {
        let file = file();
        let place = "\n[[node]]\nname = \"attic\"\nrole = \"compute\"\nnumber = 14\n";
        let text = file.text().unwrap().replace("compute-1", "cellar") + place;
        let next = file.with_text(&text).unwrap();
        assert_eq!((next.cluster().generation, next.cluster().parent.as_deref()), (2, Some(file.hash())));
        assert_eq!(next.keyring().k3s_token(), file.keyring().k3s_token());
        assert_eq!(
            changes(file.cluster(), next.cluster()),
            [
                "next_number: 14 becomes 15",
                "node 'attic', number: 14 is new",
                "node 'attic', role: \"compute\" is new",
                "node 'cellar', number: 13 is new",
                "node 'cellar', role: \"compute\" is new",
                "node 'compute-1', number: 13 is removed",
                "node 'compute-1', role: \"compute\" is removed",
            ]
        );
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said() {
        let file = file();
        let text = file.text().unwrap();
        for (edited, expected) in [
            (text.replace("k3s = ", "k3s "), "line 10"),
            (text.replace("k3s = ", "k4s = "), "k4s"),
            (text.replace("k3s = ", "seed = \"x\"\nk3s = "), "seed"),
            (text.replace("generation = 1", "generation = 9"), "counted by Cairn"),
            (text.replace("etcd-2", "etcd-1"), "there is a node"),
            (String::new(), "missing field"),
        ] {
            let error = file.with_text(&edited).err().unwrap();
            let said = format!("{error}: {}", error.source().unwrap());
            assert!(said.contains(expected), "{said}");
        }
        assert!(matches!(file.with_text(&"#".repeat(1 << 20)), Err(TextError::TooLong)));
    }

    proptest! {
        #[test]
        fn any_edit_is_taken_or_refused(at in 0usize..600, length in 0usize..60, put in "\\PC{0,30}|[a-z0-9=\"\\n\\[\\]]{0,40}") {
            let file = file();
            let mut text = file.text().unwrap();
            let start = text.floor_char_boundary(at);
            let end = text.floor_char_boundary(start + length);
            text.replace_range(start..end, &put);
            if let Ok(next) = file.with_text(&text) {
                prop_assert!(next.cluster().check().is_ok());
                prop_assert_eq!(next.hash() == file.hash(), changes(file.cluster(), next.cluster()).is_empty());
            }
        }
    }
}
