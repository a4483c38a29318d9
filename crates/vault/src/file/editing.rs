//! The configuration as a text for the owner's editor, without the seed, and back.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::cluster::{Cluster, HandEditError};
use toml::{Table, Value};

use super::{ClusterFile, NextError, SealError};

/// Far more than any configuration, which has to fit into the sealed file.
const MOST_BYTES: usize = 256 * 1024;

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
             # generation, parent, epochs and etcd_formed are kept by Cairn. A new node takes next_number as its\n\
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
    let (before, after) = (sections(before), sections(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .flat_map(|name| match (before.get(name), after.get(name)) {
            (Some(old), Some(new)) => differences(name, old, new),
            (Some(old), None) => vec![format!("{name} is removed: {}", listed(old))],
            (None, Some(new)) => vec![format!("{name} is new: {}", listed(new))],
            (None, None) => Vec::new(),
        })
        .collect()
}

type Section = BTreeMap<String, String>;

fn differences(name: &str, old: &Section, new: &Section) -> Vec<String> {
    let place = |field: &str| if name.is_empty() { field.to_owned() } else { format!("{name}, {field}") };
    let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let line = |field: &String| match (old.get(field), new.get(field)) {
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) => Some(format!("{}: {old} becomes {new}", place(field))),
        (Some(old), None) => Some(format!("{}: {old} is removed", place(field))),
        (None, Some(new)) => Some(format!("{}: {new} is new", place(field))),
        (None, None) => None,
    };
    fields.into_iter().filter_map(line).collect()
}

fn listed(section: &Section) -> String {
    section.iter().map(|(field, value)| format!("{field} {value}")).collect::<Vec<_>>().join(", ")
}

/// Every value by its place in the file, so that a field that is new to the model is shown too: what stands at
/// the top under no name, each table under its own, each node under its name.
fn sections(cluster: &Cluster) -> BTreeMap<String, Section> {
    let mut sections = BTreeMap::from([(String::new(), Section::new())]);
    // a cluster that was read from TOML can be written as TOML
    for (key, value) in Table::try_from(cluster).unwrap_or_default() {
        match value {
            Value::Array(nodes) => {
                for node in nodes.iter().filter_map(Value::as_table) {
                    let name = node.get("name").and_then(Value::as_str).unwrap_or_default();
                    let fields = node.iter().filter(|(field, _)| *field != "name");
                    sections.insert(format!("{key} '{name}'"), section(fields));
                }
            }
            Value::Table(table) => drop(sections.insert(key, section(table.iter()))),
            _ if matches!(key.as_str(), "generation" | "parent") => {}
            value => drop(sections.entry(String::new()).or_default().insert(key, value.to_string())),
        }
    }
    sections
}

fn section<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> Section {
    fields.map(|(field, value)| (field.clone(), value.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use cairn_model::cluster::{Role, SecretClass};
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
                "node 'attic' is new: number 14, role \"compute\"",
                "node 'cellar' is new: number 13, role \"compute\"",
                "node 'compute-1' is removed: number 13, role \"compute\"",
            ]
        );
    }

    #[test]
    fn a_value_that_changes_within_a_node_or_a_table_is_named_by_its_place() {
        let before = file().cluster().clone();
        let mut after = before.clone().with_rotated(SecretClass::Join);
        after.nodes[1].role = Role::Backup;
        let lines = changes(&before, &after);
        assert_eq!(lines, ["epochs is new: join 2", "node 'etcd-2', role: \"etcd\" becomes \"backup\""]);
        assert!(changes(&after, &after).is_empty());
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
