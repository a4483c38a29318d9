//! What a running server can't do as it should.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::story::{Story, What};

/// What is wrong, for as long as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "trouble", rename_all = "snake_case")]
pub enum Trouble {
    /// No address is left.
    #[error(
        "all {size} addresses of the cable are in use ({lent} lent, {set_aside} set aside because somebody else uses them): a machine that asks now gets none until a lease runs out. Switch off machines that need not be there"
    )]
    PoolFull {
        /// How many there are.
        size: usize,
        /// How many are lent.
        lent: usize,
        /// How many somebody uses without having them from here.
        set_aside: usize,
    },
    /// The file of leases could not be believed.
    #[error(
        "the leases that were lent before could not be read, so they are learned anew as machines ask: {because}"
    )]
    LeasesLost {
        /// Which file, and why.
        because: String,
    },
    /// The file of leases can't be written.
    #[error("what is lent can't be written down, and would be forgotten by a restart: {because}")]
    LeasesNotKept {
        /// Which file, and why.
        because: String,
    },
}

/// All that is wrong with one server. Each trouble is told once in the story, when it begins.
#[derive(Debug)]
pub(crate) struct Troubles(watch::Sender<Vec<Trouble>>);

impl Troubles {
    pub fn new() -> (Self, watch::Receiver<Vec<Trouble>>) {
        let (send, receive) = watch::channel(Vec::new());
        (Self(send), receive)
    }

    /// Something is wrong now; nothing happens if that is known.
    pub fn begin(&self, story: &Story, trouble: Trouble) {
        let kind = std::mem::discriminant(&trouble);
        let known = |all: &[Trouble]| all.iter().any(|it| std::mem::discriminant(it) == kind);
        if !known(&self.0.borrow()) {
            tracing::warn!("{trouble}");
            story.tell(None, What::Troubled { trouble: trouble.clone() });
            self.0.send_modify(|all| all.push(trouble));
        }
    }

    /// It is right again.
    pub fn end(&self, kind: impl Fn(&Trouble) -> bool) {
        self.0.send_if_modified(|all| {
            let before = all.len();
            all.retain(|it| !kind(it));
            all.len() != before
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_until_it_is_over() {
        let (story, (troubles, watched)) = (Story::new(), Troubles::new());
        let mut events = story.subscribe();
        let full = |lent| Trouble::PoolFull { size: 100, lent, set_aside: 0 };
        let is_full = |it: &Trouble| matches!(it, Trouble::PoolFull { .. });
        for lent in [100, 99] {
            troubles.begin(&story, full(lent));
        }
        assert_eq!(*watched.borrow(), [full(100)]);
        assert_eq!(events.try_recv().unwrap().what, What::Troubled { trouble: full(100) });
        assert!(events.try_recv().is_err());
        troubles.end(is_full);
        assert!(watched.borrow().is_empty());
        troubles.begin(&story, full(98));
        assert!(events.try_recv().is_ok());
    }
}
