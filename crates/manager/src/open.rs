//! Opens the cluster file and the working directory, and finds out which copy goes on.

use crate::book::Book;
use crate::core::Trust;
use crate::journal::Journal;
use crate::lineage::{self, Choice, Generation};
use crate::options::ManagerError;
use crate::workdir::WorkDir;
use cairn_model::cluster::Name;
use cairn_vault::file::{ClusterFile, NewError, Passphrase, Sealed, disk};
use cairn_vault::{Leaf, PrivateKey, SigningRequest};
use cairn_wire::tls::Identity;
use std::sync::Arc;

/// The label of a text that came from the owner, not from a file of ours.
pub const GIVEN: &str = "the cluster file";

fn open(what: &str, sealed: &Sealed, passphrase: &Passphrase) -> Result<ClusterFile, ManagerError> {
    ClusterFile::open(sealed, passphrase).map_err(|error| ManagerError::Open(what.to_owned(), error))
}

/// Opens the owner's file, or the working copy when that goes on. Takes seconds: each copy costs a round of
/// scrypt. Without a file of the owner's the working copy alone is opened.
///
/// # Errors
/// When either copy can't be opened, there is none, or they went different ways.
pub fn book(
    given: Option<&Sealed>,
    passphrase: Passphrase,
    work: Arc<WorkDir>,
) -> Result<Book, ManagerError> {
    let given = given.map(|sealed| open(GIVEN, sealed, &passphrase)).transpose()?;
    let working = match working_copy(&work)? {
        Some(sealed) => Some(open("the working copy", &sealed, &passphrase)?),
        None => None,
    };
    let mut journal = Journal::load(&work.journal())?;
    // what the owner brings, the owner has
    journal.stored = journal.stored.max(given.as_ref().map(|file| file.cluster().generation));
    let sealed = working.as_ref().map_or(0, |file| file.cluster().generation);
    let file = match (given, working) {
        (Some(given), Some(working)) => newest(given, working, &journal)?,
        (Some(file), None) | (None, Some(file)) => file,
        (None, None) => return Err(ManagerError::NoFile),
    };
    let (generation, hash) = (file.cluster().generation, file.hash());
    match &journal.base {
        // the working copy goes on as it was
        Some(_) if journal.lineage.get(&generation).is_some_and(|known| known == hash) => {}
        _ => journal.settle(generation, hash),
    }
    journal.save(&work.journal())?;
    Ok(Book::new(file, sealed, passphrase, work, journal))
}

/// A new cluster, which lies sealed in the working directory when this returns.
///
/// # Errors
/// When the working directory has a cluster already, or nothing can be written.
pub fn create(name: Name, passphrase: Passphrase, work: Arc<WorkDir>) -> Result<Book, ManagerError> {
    if let Some(other) = working_copy(&work)? {
        return Err(ManagerError::HasCluster(other.cluster().clone()));
    }
    // Three machines for etcd are Cairn's shape; places for the others are made when they are approved.
    let file = ClusterFile::new(name, 3, 0, 0)?;
    disk::create(&work.cluster(), &file.seal(&passphrase).map_err(NewError::from)?)?;
    let mut journal = Journal::load(&work.journal())?;
    journal.settle(file.cluster().generation, file.hash());
    journal.save(&work.journal())?;
    let generation = file.cluster().generation;
    Ok(Book::new(file, generation, passphrase, work, journal))
}

/// What lies sealed in the working directory.
///
/// # Errors
/// When it is there and can't be read.
pub fn working_copy(work: &WorkDir) -> Result<Option<Sealed>, ManagerError> {
    let path = work.cluster();
    Ok(path.exists().then(|| disk::load(&path)).transpose()?)
}

fn newest(given: ClusterFile, working: ClusterFile, journal: &Journal) -> Result<ClusterFile, ManagerError> {
    let identity = |file: &ClusterFile| file.keyring().identity().map(|identity| identity.to_string());
    let (given_id, working_id) = (identity(&given)?, identity(&working)?);
    let choice =
        lineage::choose(state(&given, &given_id), Some(state(&working, &working_id)), &journal.lineage)?;
    Ok(match choice {
        Choice::Given => given,
        Choice::Working => working,
    })
}

fn state<'a>(file: &'a ClusterFile, cluster: &'a str) -> Generation<'a> {
    let about = file.cluster();
    Generation { number: about.generation, hash: file.hash(), parent: about.parent.as_deref(), cluster }
}

/// A key of its own for each run: nothing has to be kept, and nothing can be taken.
///
/// # Errors
/// When no certificate can be made.
pub fn trust(file: &ClusterFile) -> Result<Trust, ManagerError> {
    let key = PrivateKey::generate()?;
    let issued = file.keyring().issue(&Leaf::Manager, &SigningRequest::of(&key)?)?;
    Ok(Trust {
        identity: Identity::from_pem(&issued.certificate_pem, key.to_pem().expose())?,
        agents_ca: issued.authority_pem,
        cluster: file.keyring().identity()?,
    })
}
