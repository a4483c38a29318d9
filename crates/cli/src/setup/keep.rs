//! The cluster file of the dialogue: the one that is there, or a new one, once the owner has its passphrase.

use crate::file::{describe, show_once};
use crate::{consent, out, passphrase, say};
use anyhow::{Context as _, Result, bail};
use cairn_model::cluster::Name;
use cairn_model::secret::Secret;
use cairn_vault::file::{ClusterFile, Entry, OpenError, Passphrase, Sealed, disk};
use std::path::{Path, PathBuf};

/// A cluster file and what opens it.
pub struct Kept {
    pub path: PathBuf,
    pub sealed: Sealed,
    pub passphrase: Passphrase,
}

impl Kept {
    /// # Errors
    /// When the file can't be read or made, or the terminal went away.
    pub fn get_or_ask<'a>(kept: &'a mut Option<Self>, file: Option<&Path>) -> Result<&'a Self> {
        let it = match kept.take() {
            Some(it) => it,
            None => Self::ask(file)?,
        };
        Ok(kept.insert(it))
    }

    fn ask(file: Option<&Path>) -> Result<Self> {
        if let Some(path) = file.filter(|path| path.exists()) {
            return Self::open(path.to_owned());
        }
        let name = ask_name()?;
        let path = file.map_or_else(|| PathBuf::from(format!("{name}.cairn")), Path::to_owned);
        if path.exists() { Self::open(path) } else { Self::make(path, name) }
    }

    fn open(path: PathBuf) -> Result<Self> {
        let sealed = disk::load(&path)?;
        say!("Going on with {}, the file of the cluster '{}'.", path.display(), sealed.cluster())?;
        loop {
            let passphrase =
                passphrase::ask(&format!("Passphrase of {}: ", path.display()), passphrase::GIVE)?;
            match ClusterFile::open(&sealed, &passphrase) {
                Ok(_) => return Ok(Self { path, sealed, passphrase }),
                Err(error @ OpenError::WrongPassphrase) => say!("{error}")?,
                Err(error) => return Err(error).context(format!("{} was not opened", path.display())),
            }
        }
    }

    /// The file is made last: one that is there is one whose passphrase the owner has.
    fn make(path: PathBuf, name: Name) -> Result<Self> {
        // Three machines for etcd are Cairn's shape; places for the others are made when they are approved.
        let file = ClusterFile::new(name, 3, 0, 0)?;
        let passphrase = Passphrase::generate()?;
        let sealed = file.seal(&passphrase)?;
        let entry = Entry::new(sealed.clone(), &passphrase);
        say!("\nMake one entry in your password manager, '{}'.", entry.title())?;
        show_once(&path, &passphrase, &mut out::Out)?;
        say!("Its notes ({}):\n", entry.room())?;
        say!("{}", entry.notes())?;
        say!("\nStore both, then paste the passphrase back, from the password manager and not from here.")?;
        while typed("The passphrase, which is not shown: ")?.expose() != entry.password().expose() {
            say!("This is not the passphrase that stands above; copy the entry's password again.")?;
        }
        disk::create(&path, &sealed)?;
        describe(&path, &sealed, &mut out::Out)?;
        Ok(Self { path, sealed, passphrase })
    }
}

fn ask_name() -> Result<Name> {
    loop {
        let Some(text) = consent::line("Name of the cluster, such as home: ")? else {
            bail!("nothing was made; run `cairn setup` again")
        };
        match text.parse() {
            Ok(name) => return Ok(name),
            Err(error) => say!("{error}")?,
        }
    }
}

/// Asks without showing what is typed; it may be empty.
///
/// # Errors
/// When the terminal went away.
pub fn typed(prompt: &str) -> Result<Secret> {
    Ok(Secret::new(passphrase::typed(prompt, passphrase::GIVE)?.trim().to_owned()))
}
