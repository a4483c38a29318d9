//! `cairn file`: everything about the cluster file that needs neither a manager nor a network.
//!
//! Each command opens the file first ([`Opened`]), does its part on what it opened, and, where it changes
//! something, puts the new text in the place of the old one at once or not at all ([`Opened::replace`]).

mod edit;
mod entry;
mod generations;
mod new;
mod open;
mod passphrase;
mod recovery_key;
mod rotate;
mod scratch;
mod show;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::out;
use crate::passphrase::PassphraseArguments;
use anyhow::{Context as _, bail};
use cairn_vault::file::{ClusterFile, Passphrase, Sealed, disk};
use clap::{Args, Subcommand};

/// What can be done with a cluster file.
#[derive(Debug, Subcommand)]
pub enum FileCommand {
    /// Make a new cluster file, with a new passphrase unless one is given
    New(new::NewArguments),
    /// Check that the passphrase opens a cluster file, and say what it is
    Open(open::OpenArguments),
    /// Show what a cluster file holds, without its secrets
    Show(show::ShowArguments),
    /// Change the configuration in an editor, without the seed, and seal it as the next generation
    Edit(edit::EditArguments),
    /// Seal a cluster file with another passphrase
    Passphrase(passphrase::ChangeArguments),
    /// Raise the epoch of a class of secrets
    Rotate(rotate::RotateArguments),
    /// Put several copies in order: which was made from which, and which went different ways
    Generations(generations::GenerationsArguments),
    /// Write passphrase and file as one entry that a password manager imports
    Entry(entry::EntryArguments),
    /// Print the recovery key of an encrypted volume, to be typed at a console or given to cryptsetup
    RecoveryKey(recovery_key::RecoveryKeyArguments),
}

/// Which file, and how it opens.
#[derive(Debug, Args)]
struct FileArguments {
    /// The cluster file
    path: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArguments,
}

/// An open file, and what is needed to seal its next generation.
struct Opened {
    path: PathBuf,
    sealed: Sealed,
    passphrase: Passphrase,
    file: ClusterFile,
}

/// Carries the command out.
///
/// # Errors
///
/// What a person has to be told; nothing was written then.
pub fn run(command: FileCommand) -> anyhow::Result<ExitCode> {
    run_to(command, &mut out::Out)
}

fn run_to(command: FileCommand, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match command {
        FileCommand::New(arguments) => new::run(&arguments, out)?,
        FileCommand::Open(arguments) => open::run(&arguments, out)?,
        FileCommand::Show(arguments) => show::run(&arguments, out)?,
        FileCommand::Edit(arguments) => edit::run(&arguments, &mut edit::Owner::at_the_terminal(), out)?,
        FileCommand::Passphrase(arguments) => passphrase::run(&arguments, out)?,
        FileCommand::Rotate(arguments) => rotate::run(&arguments, out)?,
        FileCommand::Generations(arguments) => return generations::run(&arguments, out),
        FileCommand::Entry(arguments) => entry::run(&arguments, out)?,
        FileCommand::RecoveryKey(arguments) => recovery_key::run(&arguments, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl FileArguments {
    fn open(&self) -> anyhow::Result<Opened> {
        let Self { path, passphrase } = self;
        // first the file: a damaged one needs no passphrase to be told
        let sealed = disk::load(path)?;
        let passphrase = passphrase.get(path)?;
        let file = ClusterFile::open(&sealed, &passphrase)
            .with_context(|| format!("{} was not opened", path.display()))?;
        Ok(Opened { path: path.clone(), sealed, passphrase, file })
    }
}

impl Opened {
    /// Puts another text in the file's place, unless somebody else did so meanwhile.
    fn replace(&self, with: &Sealed) -> anyhow::Result<()> {
        let path = &self.path;
        if !disk::load(path)?.same_as(&self.sealed) {
            bail!("{} was changed by somebody else meanwhile and was left as it is", path.display());
        }
        Ok(disk::save(path, with)?)
    }

    /// Seals the next generation in the file's place.
    fn seal_next(&self, next: &ClusterFile) -> anyhow::Result<Sealed> {
        let sealed = next.seal(&self.passphrase)?;
        self.replace(&sealed)?;
        Ok(sealed)
    }

    /// Says what [`Self::seal_next`] did.
    fn tell_next(&self, sealed: &Sealed, out: &mut impl Write) -> anyhow::Result<()> {
        describe(&self.path, sealed, out)?;
        writeln!(out, "Store it in your password manager again. The older one still opens what it knew.")?;
        Ok(())
    }
}

/// One line about a file.
pub(crate) fn describe(path: &Path, sealed: &Sealed, out: &mut impl Write) -> std::io::Result<()> {
    let (cluster, generation, room) = (sealed.cluster(), sealed.generation(), sealed.room());
    let path = path.display();
    writeln!(out, "{path}: the cluster file of '{cluster}', generation {generation}, {room}")?;
    room.advice().map_or(Ok(()), |advice| writeln!(out, "{advice}"))
}

/// A passphrase that nobody has seen yet. Shown before a file has it: a terminal that was closed meanwhile must
/// not take the only way into that file with it.
pub(crate) fn show_once(path: &Path, passphrase: &Passphrase, out: &mut impl Write) -> std::io::Result<()> {
    let path = path.display();
    writeln!(out, "The passphrase of {path}, shown this once:\n\n    {}\n", passphrase.to_secret().expose())?;
    writeln!(
        out,
        "Keep both in your password manager, in one entry: the passphrase as its password, and the"
    )?;
    writeln!(out, "whole text of the file as its notes. Nobody can recover a lost passphrase.\n")?;
    out.flush()
}

#[cfg(test)]
mod tests;
