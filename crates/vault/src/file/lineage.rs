//! The order of several copies of cluster files: which was made from which, which is the newest, and which
//! went different ways. Copies are never merged.

use serde::Serialize;

use super::ClusterFile;

/// One copy, as far as its descent goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCopy {
    /// What the owner knows it by, such as its path.
    pub label: String,
    /// Which cluster's: [`ClusterFile::lineage_id`].
    pub lineage: String,
    /// The cluster's name.
    pub cluster: String,
    /// Its generation.
    pub generation: u64,
    /// Its hash.
    pub hash: String,
    /// The hash of the generation that it was made from.
    pub parent: Option<String>,
}

impl FileCopy {
    /// The copy that this open file is.
    pub fn of(label: String, file: &ClusterFile) -> Self {
        let cluster = file.cluster();
        Self {
            label,
            lineage: file.lineage_id(),
            cluster: cluster.name.to_string(),
            generation: cluster.generation,
            hash: file.hash().to_owned(),
            parent: cluster.parent.clone(),
        }
    }
}

/// All copies of one cluster's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lineage {
    /// The cluster's name, in its newest generation.
    pub cluster: String,
    /// The generations at hand, the newest first.
    pub generations: Vec<Generation>,
    /// Which goes on.
    pub newest: Newest,
}

/// One generation and its copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Generation {
    /// Counts from 1.
    pub generation: u64,
    /// What tells it from another of the same number.
    pub hash: String,
    /// The hash of the one before it.
    pub parent: Option<String>,
    /// Whether the one before it is at hand.
    pub parent_at_hand: bool,
    /// Where it lies.
    pub copies: Vec<String>,
}

/// Which of a cluster's generations goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum Newest {
    /// All others are its ancestors.
    Proven {
        /// Its hash.
        hash: String,
    },
    /// It has the highest number and nothing speaks against it, but generations in between are not at hand.
    Likely {
        /// Its hash.
        hash: String,
    },
    /// The cluster was changed twice, apart from each other. Which change goes on is for the owner to say.
    Diverged {
        /// The hashes of the last generation of each way, and of every other that none here was made from: where
        /// it belongs is not at hand, and it may be the newest.
        hashes: Vec<String>,
    },
}

/// How an older generation stands to another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    Ancestor,
    Diverged,
    /// What is in between is not at hand.
    Unknown,
}

/// The copies, by cluster.
pub fn order(copies: &[FileCopy]) -> Vec<Lineage> {
    let mut ids: Vec<&str> = copies.iter().map(|copy| copy.lineage.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let of = |id: &str| copies.iter().filter(|copy| copy.lineage == id).collect::<Vec<_>>();
    ids.into_iter().map(|id| lineage(&of(id))).collect()
}

fn lineage(copies: &[&FileCopy]) -> Lineage {
    let mut generations: Vec<Generation> = Vec::new();
    for copy in copies {
        match generations.iter_mut().find(|known| known.hash == copy.hash) {
            Some(known) => known.copies.push(copy.label.clone()),
            None => generations.push(Generation {
                generation: copy.generation,
                hash: copy.hash.clone(),
                parent: copy.parent.clone(),
                parent_at_hand: copies.iter().any(|other| copy.parent.as_ref() == Some(&other.hash)),
                copies: vec![copy.label.clone()],
            }),
        }
    }
    generations.sort_by(|a, b| (b.generation, &a.hash).cmp(&(a.generation, &b.hash)));
    let newest = newest(&generations);
    let named = generations.first().and_then(|first| copies.iter().find(|copy| copy.hash == first.hash));
    Lineage { cluster: named.map(|copy| copy.cluster.clone()).unwrap_or_default(), generations, newest }
}

fn newest(generations: &[Generation]) -> Newest {
    let is_ancestor = |of: &Generation| {
        generations.iter().any(|younger| relation(of, younger, generations) == Relation::Ancestor)
    };
    let last: Vec<&Generation> = generations.iter().filter(|it| !is_ancestor(it)).collect();
    let diverged = last
        .iter()
        .any(|older| last.iter().any(|younger| relation(older, younger, generations) == Relation::Diverged));
    let hash = last.first().map(|it| it.hash.clone()).unwrap_or_default();
    match last.len() {
        _ if diverged => Newest::Diverged { hashes: last.iter().map(|it| it.hash.clone()).collect() },
        0 | 1 => Newest::Proven { hash },
        _ => Newest::Likely { hash },
    }
}

/// Goes from the younger one back to the older one's number, as far as parents are at hand.
fn relation(older: &Generation, younger: &Generation, all: &[Generation]) -> Relation {
    if older.hash == younger.hash {
        return Relation::Unknown;
    }
    if older.generation == younger.generation {
        return Relation::Diverged;
    }
    let mut at = younger;
    while older.generation < at.generation {
        let Some(parent) = &at.parent else { return Relation::Unknown };
        if *parent == older.hash {
            return Relation::Ancestor;
        }
        if at.generation.saturating_sub(1) == older.generation {
            return Relation::Diverged;
        }
        match all.iter().find(|it| it.hash == *parent && it.generation < at.generation) {
            Some(parent) => at = parent,
            None => return Relation::Unknown,
        }
    }
    Relation::Unknown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `2b<1a`: generation 2, hash `2b`, made from `1a`.
    fn copies(text: &str) -> Vec<FileCopy> {
        let copy = |word: &str| {
            let (hash, parent) =
                word.split_once('<').map_or((word, None), |(hash, parent)| (hash, Some(parent)));
            FileCopy {
                label: format!("{word}.cairn"),
                lineage: "id".to_owned(),
                cluster: "home".to_owned(),
                generation: u64::from(hash.chars().next().unwrap().to_digit(10).unwrap()),
                hash: hash.to_owned(),
                parent: parent.map(str::to_owned),
            }
        };
        text.split(' ').map(copy).collect()
    }

    fn newest_of(text: &str) -> Newest {
        order(&copies(text)).remove(0).newest
    }

    fn proven(hash: &str) -> Newest {
        Newest::Proven { hash: hash.to_owned() }
    }

    fn likely(hash: &str) -> Newest {
        Newest::Likely { hash: hash.to_owned() }
    }

    fn diverged(hashes: &[&str]) -> Newest {
        Newest::Diverged { hashes: hashes.iter().map(|it| (*it).to_owned()).collect() }
    }

    #[test]
    fn the_newest_is_named_as_surely_as_it_is_known_and_diverged_ones_are_named_both() {
        for (text, expected) in [
            ("1a", proven("1a")),
            ("1a 1a", proven("1a")),
            ("1a 2b<1a", proven("2b")),
            ("3c<2b 1a 2b<1a", proven("3c")),
            ("3c<2b 1a", likely("3c")),
            ("1a 2b<1a 2x<1a", diverged(&["2b", "2x"])),
            ("2b<1a 2x<1a", diverged(&["2b", "2x"])),
            ("1a 1b", diverged(&["1a", "1b"])),
            ("1a 2b<1a 3c<2b 2x<1a", diverged(&["3c", "2x"])),
            ("4d<3c 3c<2b 2x<1a", diverged(&["4d", "2x"])),
            ("7z<6y 2b<1a 1a", likely("7z")),
            ("7z<6y 2b<1a 2x<1a", diverged(&["7z", "2b", "2x"])),
            ("1a 2b<1a 2x<1a 9z<8y", diverged(&["9z", "2b", "2x"])),
            // no honest file: made from itself, or from a younger one
            ("2b<2b", proven("2b")),
            ("1a<2b 2b<1a", proven("2b")),
        ] {
            assert_eq!(newest_of(text), expected, "{text}");
        }
    }

    #[test]
    fn copies_of_one_generation_are_listed_together_and_clusters_apart() {
        let mut all = copies("1a 2b<1a 1a");
        all.push(FileCopy { lineage: "other".to_owned(), ..all[0].clone() });
        let [home, other] = &order(&all)[..] else { panic!() };
        let listed: Vec<_> = home
            .generations
            .iter()
            .map(|it| (it.hash.as_str(), it.copies.len(), it.parent_at_hand))
            .collect();
        assert_eq!(listed, [("2b", 1, true), ("1a", 2, false)]);
        assert_eq!(other.generations.len(), 1);
        assert!(order(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn whichever_way_goes_on_the_highest_number_that_none_was_made_from_is_named(
            words in proptest::collection::vec("[1-5][ab](<[1-5][ab])?", 1..8)
        ) {
            let lineage = order(&copies(&words.join(" "))).remove(0);
            let made_from = |hash: &str| lineage.generations.iter().any(|it| it.parent.as_deref() == Some(hash));
            let newest = lineage.generations.first().map(|it| it.hash.clone()).unwrap();
            let named = match &lineage.newest {
                Newest::Proven { hash } | Newest::Likely { hash } => std::slice::from_ref(hash),
                Newest::Diverged { hashes } => hashes,
            };
            prop_assert!(made_from(&newest) || named.contains(&newest), "{newest} is not among {named:?}");
        }

        #[test]
        fn the_order_of_the_arguments_does_not_matter(
            words in proptest::collection::vec("[1-5][ab](<[1-5][ab])?", 1..8)
        ) {
            // one hash has one parent
            let mut known: Vec<String> = Vec::new();
            for word in words {
                if !known.iter().any(|it| it[..2] == word[..2]) {
                    known.push(word);
                }
            }
            let text = known.join(" ");
            known.reverse();
            prop_assert_eq!(newest_of(&text), newest_of(&known.join(" ")));
        }
    }
}
