//! The copies of the cluster file that running nodes keep, so that the owner's file may be old: a manager that
//! finds a newer generation at a node goes on from that.
//!
//! A manager with an old file can't reach a locked node that the file does not know without writing it down, so
//! it makes generations of its own before it comes by the newer one. What it writes down so is only what nodes
//! tell of themselves ([`Base`] is the last generation before), and they tell it again: such generations give
//! way. Anything else is never merged: two copies that went different ways are shown.

use crate::core::Core;
use crate::enrol::ActError;
use cairn_model::cluster::{Fingerprint, Name};
use cairn_wire::client::{Client, ClientError};
use cairn_wire::message::{Keeps, KeptFile, Request, Response};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The last generation that holds more than what nodes told of themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    pub generation: u64,
    pub hash: String,
}

/// What a node keeps, beside what the manager has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An older agent keeps nothing.
    Unable,
    /// One of ours, or one that is too old to come from ours.
    Known,
    /// Made elsewhere, after the last one that we know for certain.
    Newer,
}

/// `lineage` are the generations that this manager knows by number, `left` the hashes of those that gave way.
pub fn standing(
    keeps: Option<&Keeps>,
    base: Option<&Base>,
    lineage: &BTreeMap<u64, String>,
    left: &BTreeSet<String>,
) -> Standing {
    let Some(keeps) = keeps else { return Standing::Unable };
    let known = lineage.get(&keeps.generation) == Some(&keeps.hash) || left.contains(&keeps.hash);
    match base {
        Some(base) if !known && keeps.generation > base.generation => Standing::Newer,
        _ => Standing::Known,
    }
}

/// Whether everything in our base is in this file too. Where its ancestors are not known so far back, nothing
/// speaks against it.
pub fn descends(file: &KeptFile, base: &Base) -> bool {
    match file.ancestors.iter().find(|(generation, _)| *generation == base.generation) {
        Some((_, hash)) => *hash == base.hash,
        None => file.ancestors.iter().all(|(generation, _)| *generation > base.generation),
    }
}

/// Goes on from the newer file that a node keeps.
///
/// # Errors
/// When the node has none after all, or the two went different ways.
pub async fn take_up(
    core: &Core,
    client: &mut Client,
    key: &Fingerprint,
    node: &Name,
) -> Result<(), ActError> {
    let Response::Kept { file } = client.ask(&Request::Kept).await? else {
        return Err(ClientError::Unexpected.into());
    };
    let Some(file) = file else { return Ok(()) };
    let before = core.book.file().cluster().generation;
    let Some(taken) = core.book.take_up(*file).await? else { return Ok(()) };
    let generation = taken.cluster().generation;
    tracing::info!(%node, before, generation, "went on from the newer cluster file that the node keeps");
    core.machine(key, |machine| machine.told = None);
    Ok(())
}

/// Gives a node the newest generation to keep.
///
/// # Errors
/// When the node refuses it, or there is nothing sealed to give.
pub async fn keep(core: &Core, client: &mut Client, keeps: &Keeps) -> Result<(), ActError> {
    let file = core.book.kept().await?;
    if file.generation > keeps.generation || file.hash != keeps.hash {
        client.ask(&Request::Keep(Box::new(file))).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::key;
    use crate::simulation::Lab;
    use cairn_model::cluster::Cluster;

    fn base() -> Base {
        Base { generation: 3, hash: "c".into() }
    }

    #[test]
    fn a_copy_is_newer_only_when_it_was_made_elsewhere_after_the_last_certain_one() {
        let lineage = BTreeMap::from([(3, "c".to_owned()), (4, "d".to_owned())]);
        let left = BTreeSet::from(["x".to_owned()]);
        let keeps = |generation, hash: &str| Some(Keeps { generation, hash: hash.into() });
        for (keeps, expected) in [
            (None, Standing::Unable),
            (Some(Keeps::default()), Standing::Known),
            (keeps(4, "d"), Standing::Known),
            (keeps(4, "e"), Standing::Newer),
            (keeps(9, "e"), Standing::Newer),
            (keeps(9, "x"), Standing::Known),
            (keeps(3, "y"), Standing::Known),
        ] {
            assert_eq!(standing(keeps.as_ref(), Some(&base()), &lineage, &left), expected, "{keeps:?}");
        }
    }

    #[tokio::test]
    async fn the_same_newer_file_from_several_nodes_is_taken_up_once() {
        let folder = tempfile::tempdir().unwrap();
        crate::simulation::new_file(folder.path());
        let ahead = Lab::start(folder.path(), "ahead");
        let change = |cluster: Cluster| cluster.with_enrolled(&"etcd-1".parse().unwrap(), key(1));
        ahead.core.book.change(change).await.unwrap();
        let newer = ahead.core.book.kept().await.unwrap();
        let behind = Lab::start(folder.path(), "behind");
        assert!(behind.core.book.take_up(newer.clone()).await.unwrap().is_some());
        assert!(behind.core.book.take_up(newer).await.unwrap().is_none());
    }

    #[test]
    fn a_file_descends_from_what_its_ancestors_say_or_can_no_longer_say() {
        let of = |ancestors: &[(u64, &str)]| KeptFile {
            generation: 9,
            hash: "z".into(),
            ancestors: ancestors.iter().map(|(number, hash)| (*number, (*hash).to_owned())).collect(),
            sealed: String::new(),
        };
        assert!(descends(&of(&[(2, "b"), (3, "c"), (8, "y")]), &base()));
        assert!(!descends(&of(&[(2, "b"), (3, "other"), (8, "y")]), &base()));
        assert!(!descends(&of(&[(2, "b"), (8, "y")]), &base()));
        assert!(descends(&of(&[(7, "x"), (8, "y")]), &base()));
        assert!(descends(&of(&[]), &base()));
    }
}
