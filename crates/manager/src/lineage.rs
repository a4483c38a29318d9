//! Which of two copies of the cluster file goes on: the owner's, or the one in the working directory.

use std::collections::BTreeMap;

/// One state of the cluster file, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Generation<'a> {
    pub number: u64,
    pub hash: &'a str,
    pub parent: Option<&'a str>,
    /// Of which cluster.
    pub cluster: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Given,
    Working,
}

/// Why neither goes on. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineageError {
    #[error(
        "the working directory belongs to another cluster than the cluster file '{0}'; give this cluster a directory of its own with --work"
    )]
    OtherCluster(String),
    #[error(
        "the cluster file and the working copy are both generation {0} and yet different: two managers have changed this cluster apart from each other. Find out which one is right (`cairn file show` lists the nodes of each); to go on with the cluster file, move the working copy cluster.cairn out of the working directory; to go on with the working copy, start with that as the cluster file and an empty working directory"
    )]
    SameGeneration(u64),
    #[error(
        "the cluster file is generation {given}, the working copy generation {working}, and neither is known to come from the other. Find out which one is right (`cairn file show` lists the nodes of each); to go on with the cluster file, move the working copy cluster.cairn out of the working directory; to go on with the working copy, start with that as the cluster file and an empty working directory"
    )]
    Diverged { given: u64, working: u64 },
}

/// `known` are the generations that this working directory has seen, by number.
///
/// # Errors
/// When the two went different ways: they are never merged in silence.
pub fn choose(
    given: Generation<'_>,
    working: Option<Generation<'_>>,
    known: &BTreeMap<u64, String>,
) -> Result<Choice, LineageError> {
    let Some(working) = working else { return Ok(Choice::Given) };
    if given.cluster != working.cluster {
        return Err(LineageError::OtherCluster(given.cluster.to_owned()));
    }
    if given.hash == working.hash {
        return Ok(Choice::Working);
    }
    let child_of = |child: Generation<'_>, parent: Generation<'_>| {
        child.number > parent.number && child.parent == Some(parent.hash)
    };
    let seen = known.get(&given.number).is_some_and(|hash| hash == given.hash);
    match given.number.cmp(&working.number) {
        std::cmp::Ordering::Less if seen || child_of(working, given) => Ok(Choice::Working),
        std::cmp::Ordering::Greater if child_of(given, working) => Ok(Choice::Given),
        std::cmp::Ordering::Equal => Err(LineageError::SameGeneration(given.number)),
        std::cmp::Ordering::Less | std::cmp::Ordering::Greater => {
            Err(LineageError::Diverged { given: given.number, working: working.number })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state<'a>(number: u64, hash: &'a str, parent: Option<&'a str>) -> Generation<'a> {
        Generation { number, hash, parent, cluster: "home" }
    }

    #[test]
    fn the_newer_descendant_wins_and_strangers_are_refused() {
        let known = BTreeMap::from([(1, "a".to_owned()), (2, "b".to_owned()), (3, "c".to_owned())]);
        let none = BTreeMap::new();
        let a = state(1, "a", None);
        let b = state(2, "b", Some("a"));
        let c = state(3, "c", Some("b"));
        let other_b = state(2, "x", Some("a"));
        let cases = [
            (a, None, &none, Ok(Choice::Given)),
            (a, Some(a), &none, Ok(Choice::Working)),
            (a, Some(b), &none, Ok(Choice::Working)),
            (a, Some(c), &known, Ok(Choice::Working)),
            (a, Some(c), &none, Err(LineageError::Diverged { given: 1, working: 3 })),
            (b, Some(a), &none, Ok(Choice::Given)),
            (c, Some(a), &known, Err(LineageError::Diverged { given: 3, working: 1 })),
            (b, Some(other_b), &known, Err(LineageError::SameGeneration(2))),
            (other_b, Some(c), &known, Err(LineageError::Diverged { given: 2, working: 3 })),
        ];
        for (given, working, known, expected) in cases {
            assert_eq!(choose(given, working, known), expected, "{given:?} {working:?}");
        }
        let foreign = Generation { cluster: "office", ..b };
        assert_eq!(choose(a, Some(foreign), &known), Err(LineageError::OtherCluster("home".into())));
    }
}
