//! What the manager remembers of jobs in progress. Losing it costs at most asking again.

use crate::api::MediumKind;
use crate::copies::Base;
use crate::next_boot::{NextBoot, cards};
use cairn_model::cluster::{Fingerprint, Name};
use cairn_netboot::Mac;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// So many generations are remembered for telling descendants from strangers.
const LINEAGE: usize = 1000;

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal {} can't be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error(
        "the journal {} is damaged; move it away, and the manager only asks again for approvals that were in progress", .0.display()
    )]
    Damaged(PathBuf, #[source] serde_json::Error),
    #[error("the journal {} can't be written; is the disk full?", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// Machines that may take a node's place, until they are seen locked: jobs in progress.
    pub approvals: BTreeMap<Fingerprint, Approval>,
    /// Prepared media by the id of their join key.
    pub media: BTreeMap<Uuid, Medium>,
    /// Network cards of enrolled nodes, so that firmware which tries the network first goes on to the disk.
    pub macs: BTreeMap<String, Name>,
    /// What machines are to start at their next network boot, until they ask.
    pub next_boots: Vec<Wish>,
    /// The hash of each generation of the cluster file that was opened or made here.
    pub lineage: BTreeMap<u64, String>,
    /// The last of them that holds more than what nodes told of themselves.
    pub base: Option<Base>,
    /// The hashes of generations made here that gave way to a newer one from elsewhere.
    pub left: BTreeSet<String>,
    /// The newest generation that the owner has stored, as far as is known here.
    pub stored: Option<u64>,
}

/// What the machine with these network cards is to start once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    pub cards: Vec<Mac>,
    pub start: NextBoot,
}

impl Wish {
    fn is_of(&self, cards: &[Mac]) -> bool {
        cards.iter().any(|card| self.cards.contains(card))
    }
}

/// The word that a machine may become a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    pub node: Name,
    pub way: Way,
    /// The agent said that the installation is complete.
    #[serde(default)]
    pub installed: bool,
    /// The machine that had the place before and was cut off in the middle of its installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Fingerprint>,
}

impl Approval {
    pub fn new(node: Name, way: Way, replaces: Option<Fingerprint>) -> Self {
        Self { node, way, installed: false, replaces }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "snake_case", deny_unknown_fields)]
pub enum Way {
    /// The owner compared the code and chose a disk.
    Disk { id: String, wipe: bool },
    /// The machine showed the join key of a prepared medium.
    Medium,
    /// It showed that of an installer stick, and this disk is the one that is blank, or the owner chose it.
    InnerDisk { id: String, wipe: bool },
}

impl Way {
    /// The same disk, for a machine that has the system on its stick.
    pub fn by_stick(self) -> Self {
        match self {
            Self::Disk { id, wipe } => Self::InnerDisk { id, wipe },
            other => other,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Medium {
    pub node: Name,
    #[serde(default)]
    pub kind: MediumKind,
    /// Of its image.
    #[serde(default)]
    pub sha256: String,
    /// Seconds since 1970.
    pub expires: u64,
    /// The machine that joined with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<Fingerprint>,
    /// The static address on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
}

impl Journal {
    /// # Errors
    /// When it is there and can't be read.
    pub fn load(path: &Path) -> Result<Self, JournalError> {
        match std::fs::read(path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| JournalError::Damaged(path.to_owned(), error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(JournalError::Read(path.to_owned(), error)),
        }
    }

    /// Whole or not at all, whatever happens in between.
    ///
    /// # Errors
    /// When it can't be written; what was there before is untouched.
    pub fn save(&self, path: &Path) -> Result<(), JournalError> {
        let write = || -> io::Result<()> {
            let directory = path.parent().unwrap_or(Path::new("."));
            let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
            temporary.write_all(&serde_json::to_vec_pretty(self)?)?;
            temporary.as_file().sync_all()?;
            temporary.persist(path).map_err(|error| error.error)?;
            std::fs::File::open(directory)?.sync_all()
        };
        write().map_err(|error| JournalError::Write(path.to_owned(), error))
    }

    /// The approval under which a machine takes this node's place, with the machine's key.
    pub fn approval_of(&self, node: &Name) -> Option<(&Fingerprint, &Approval)> {
        self.approvals.iter().find(|(_, approval)| approval.node == *node)
    }

    /// One node is one machine's: an approval ends those of others for the same place.
    pub fn approve(&mut self, machine: Fingerprint, approval: Approval) {
        self.approvals.retain(|_, other| other.node != approval.node);
        self.approvals.insert(machine, approval);
    }

    /// One machine has one wish.
    pub fn wish(&mut self, wish: Wish) {
        self.grant(&wish.cards);
        self.next_boots.push(wish);
    }

    /// Whether the machine with one of these cards waits for something.
    pub fn wishes(&self, cards: &[Mac]) -> bool {
        self.next_boots.iter().any(|wish| wish.is_of(cards))
    }

    /// The machine with one of these cards waits for nothing any more.
    pub fn grant(&mut self, cards: &[Mac]) {
        self.next_boots.retain(|wish| !wish.is_of(cards));
    }

    /// A node that was removed leaves nothing behind.
    pub fn forget(&mut self, node: &Name) {
        self.grant(&self.cards_of(node));
        self.approvals.retain(|_, approval| approval.node != *node);
        self.media.retain(|_, medium| medium.node != *node);
        self.macs.retain(|_, name| name != node);
    }

    /// A node's network cards.
    pub fn cards_of(&self, node: &Name) -> Vec<Mac> {
        let of = self.macs.iter().filter(|(_, name)| *name == node);
        cards(of.map(|(mac, _)| mac.as_str()))
    }

    /// Goes on from here: a generation that the owner made or brought.
    pub fn settle(&mut self, generation: u64, hash: &str) {
        self.base = Some(Base { generation, hash: hash.to_owned() });
        self.remember(generation, hash);
    }

    /// Goes on from a generation that was made elsewhere, with its ancestors. Ours that it does not come from
    /// gave way.
    pub fn take_up(&mut self, generation: u64, hash: &str, ancestors: Vec<(u64, String)>) {
        let certain = self.base.as_ref().map_or(0, |base| base.generation);
        let ours = self.lineage.split_off(&certain.saturating_add(1));
        self.lineage.extend(ancestors);
        self.settle(generation, hash);
        let lineage = &self.lineage;
        self.left.extend(ours.into_values().filter(|hash| !lineage.values().any(|known| known == hash)));
    }

    pub fn remember(&mut self, generation: u64, hash: &str) {
        self.lineage.insert(generation, hash.to_owned());
        while self.lineage.len() > LINEAGE {
            self.lineage.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Journal {
        let mut journal = Journal::default();
        let machine = Fingerprint::from_bytes([7; 32]);
        let node: Name = "etcd-1".parse().unwrap();
        let way = Way::Disk { id: "virtio-a".into(), wipe: true };
        journal.approve(machine, Approval::new(node.clone(), way, None));
        let (kind, sha256) = (MediumKind::Sd, "ab".into());
        let used_by = Some(machine);
        let medium = Medium { node: node.clone(), kind, sha256, expires: 9, used_by, address: None };
        journal.media.insert(Uuid::nil(), medium);
        journal.macs.insert("52:54:00:00:00:01".into(), node);
        journal.wish(Wish { cards: vec![Mac([2, 0, 0, 0, 0, 1])], start: NextBoot::Rescue });
        journal.remember(3, "abc");
        journal
    }

    #[test]
    fn a_journal_comes_back_as_it_was_saved() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.json");
        assert_eq!(Journal::load(&path).unwrap(), Journal::default());
        sample().save(&path).unwrap();
        assert_eq!(Journal::load(&path).unwrap(), sample());
    }

    #[test]
    fn a_machine_has_one_wish_by_whichever_card_it_is_named() {
        let [one, two, other] = [1, 2, 3].map(|last| Mac([2, 0, 0, 0, 0, last]));
        let mut journal = Journal::default();
        journal.wish(Wish { cards: vec![one, two], start: NextBoot::Rescue });
        journal.wish(Wish { cards: vec![two], start: NextBoot::MemoryTest });
        assert_eq!(journal.next_boots, [Wish { cards: vec![two], start: NextBoot::MemoryTest }]);
        assert!(journal.wishes(&[other, two]) && !journal.wishes(&[one]));
        journal.grant(&[one, other]);
        assert!(journal.wishes(&[two]));
        journal.macs.insert(two.to_string(), "etcd-1".parse().unwrap());
        journal.forget(&"etcd-1".parse().unwrap());
        assert!(!journal.wishes(&[two]));
    }

    #[test]
    fn generations_that_gave_way_are_known_and_no_ancestors_any_more() {
        let mut journal = Journal::default();
        journal.settle(3, "c");
        journal.remember(4, "own 4");
        journal.remember(5, "own 5");
        let ancestors = [(2, "b"), (3, "c"), (4, "d"), (5, "e")].map(|(n, hash)| (n, hash.to_owned()));
        journal.take_up(6, "f", ancestors.into());
        assert_eq!(journal.lineage.into_values().collect::<Vec<_>>(), ["b", "c", "d", "e", "f"]);
        assert_eq!(journal.left.into_iter().collect::<Vec<_>>(), ["own 4", "own 5"]);
        assert_eq!(journal.base.map(|base| base.generation), Some(6));
    }

    #[test]
    fn a_journal_that_cannot_be_written_leaves_the_old_one_and_no_litter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.json");
        // a folder in the file's place makes the last step fail
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(sample().save(&path), Err(JournalError::Write(..))));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_journal_is_an_error_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.json");
        std::fs::write(&path, b"{\"approvals\": 3").unwrap();
        assert!(matches!(Journal::load(&path), Err(JournalError::Damaged(..))));
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"approvals\": 3");
    }

    #[test]
    fn a_second_approval_for_a_place_ends_the_first() {
        let mut journal = sample();
        let (_, approval) = journal.approval_of(&"etcd-1".parse().unwrap()).unwrap();
        let approval = approval.clone();
        journal.approve(Fingerprint::from_bytes([8; 32]), approval);
        assert_eq!(journal.approvals.keys().collect::<Vec<_>>(), [&Fingerprint::from_bytes([8; 32])]);
    }
}
