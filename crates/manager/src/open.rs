//! Opens the cluster file and the working directory, and finds out which copy goes on.

use crate::book::Book;
use crate::core::Trust;
use crate::journal::Journal;
use crate::lineage::{self, Choice, Generation};
use crate::options::ManagerError;
use crate::workdir::WorkDir;
use cairn_vault::file::{ClusterFile, Passphrase, disk};
use cairn_vault::{Leaf, PrivateKey, SigningRequest};
use cairn_wire::tls::Identity;
use std::path::Path;

fn open(path: &Path, passphrase: &Passphrase) -> Result<ClusterFile, ManagerError> {
    ClusterFile::open(&disk::load(path)?, passphrase)
        .map_err(|error| ManagerError::Open(path.to_owned(), error))
}

/// Takes seconds: each copy costs a round of scrypt.
///
/// # Errors
/// When either copy can't be opened, or they went different ways.
pub fn book(cluster_file: &Path, passphrase: Passphrase, work: WorkDir) -> Result<Book, ManagerError> {
    let given = open(cluster_file, &passphrase)?;
    let copy = work.cluster();
    let working = copy.exists().then(|| open(&copy, &passphrase)).transpose()?;
    let mut journal = Journal::load(&work.journal())?;
    let choice = {
        let identity = |file: &ClusterFile| file.keyring().identity().map(|identity| identity.to_string());
        let (given_id, working_id) = (identity(&given)?, working.as_ref().map(identity).transpose()?);
        let generation = |file, cluster| -> Generation<'_> { state(file, cluster) };
        let working = working.as_ref().zip(working_id.as_deref()).map(|(file, id)| generation(file, id));
        lineage::choose(generation(&given, &given_id), working, &journal.lineage)?
    };
    let sealed = working.as_ref().map_or(0, |file| file.cluster().generation);
    let file = match (choice, working) {
        (Choice::Working, Some(working)) => working,
        _ => given,
    };
    journal.remember(file.cluster().generation, file.hash());
    journal.save(&work.journal())?;
    Ok(Book::new(file, sealed, passphrase, work, journal))
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
