//! `cairn file`: make a cluster file, look into one, and get a recovery key out of it when nothing else is
//! left. Works without a manager and without a network.

mod show;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use cairn_model::cluster::Name;
use cairn_vault::file::{ClusterFile, MOST_CHARACTERS, Passphrase, disk};
use clap::{Args, Subcommand};
use uuid::Uuid;
use zeroize::Zeroizing;

/// What can be done with a cluster file.
#[derive(Debug, Subcommand)]
pub enum FileCommand {
    /// Make a new cluster file, with a new passphrase unless one is given
    New(NewArguments),
    /// Show what a cluster file holds, without its secrets
    Show(ShowArguments),
    /// Print the recovery key of an encrypted volume, to be typed at a console or given to cryptsetup
    RecoveryKey(RecoveryKeyArguments),
}

/// Arguments of `cairn file new`.
#[derive(Debug, Args)]
pub struct NewArguments {
    /// Where to put the new file; there must be nothing yet
    path: PathBuf,
    /// The cluster's name
    #[arg(long)]
    name: Name,
    /// How many machines keep the cluster's state
    #[arg(long, default_value_t = 3, value_parser = etcd_count)]
    etcd: u8,
    /// How many machines run applications
    #[arg(long, default_value_t = 1)]
    compute: u8,
    /// How many machines keep backups
    #[arg(long, default_value_t = 0)]
    backup: u8,
    /// Take the passphrase from this file instead of making one
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Arguments of `cairn file show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The cluster file
    path: PathBuf,
    /// Take the passphrase from this file instead of asking for it
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `cairn file recovery-key`.
#[derive(Debug, Args)]
pub struct RecoveryKeyArguments {
    /// The cluster file
    path: PathBuf,
    /// Take the passphrase from this file instead of asking for it
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The volume's LUKS UUID, as 'cryptsetup luksUUID' prints it
    #[arg(long, value_name = "UUID")]
    luks_uuid: Uuid,
}

/// Carries the command out.
///
/// # Errors
///
/// What a person has to be told; nothing was written then.
pub fn run(command: FileCommand) -> anyhow::Result<()> {
    run_to(command, &mut std::io::stdout().lock())
}

fn run_to(command: FileCommand, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        FileCommand::New(arguments) => new(&arguments, out),
        FileCommand::Show(arguments) => show(&arguments, out),
        FileCommand::RecoveryKey(arguments) => recovery_key(&arguments, out),
    }
}

fn new(arguments: &NewArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let NewArguments { path, name, etcd, compute, backup, passphrase_file } = arguments;
    // said before the work; creating the file checks it again
    if path.symlink_metadata().is_ok() {
        bail!(disk::DiskError::Exists(path.clone()));
    }
    let given = passphrase_file.as_deref().map(read_passphrase).transpose()?;
    let generated = given.is_none();
    let passphrase = match given {
        Some(passphrase) => passphrase,
        None => Passphrase::generate()?,
    };
    let file = ClusterFile::new(name.clone(), *etcd, *compute, *backup)?;
    let sealed = file.seal(&passphrase)?;
    disk::create(path, &sealed)?;

    if passphrase.is_short() {
        eprintln!(
            "Warning: the passphrase is short. Whoever has the file can try many, at half a second each."
        );
    }
    let length = sealed.as_str().chars().count();
    writeln!(
        out,
        "The cluster file of '{name}': {} ({length} of at most {MOST_CHARACTERS} characters)",
        path.display()
    )?;
    if generated {
        writeln!(out, "\nIts passphrase, shown this once:\n\n    {}\n", passphrase.to_secret().expose())?;
        writeln!(
            out,
            "Keep both in your password manager, in one entry: the passphrase as its password, and the"
        )?;
        writeln!(out, "whole text of the file as its note. Nobody can recover a lost passphrase.")?;
    }
    Ok(())
}

fn show(arguments: &ShowArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let ShowArguments { path, passphrase_file, json } = arguments;
    let file = open(path, passphrase_file.as_deref())?;
    let view = show::View::of(&file);
    if *json {
        serde_json::to_writer_pretty(&mut *out, &view)?;
        writeln!(out)?;
    } else {
        write!(out, "{view}")?;
    }
    Ok(())
}

fn recovery_key(arguments: &RecoveryKeyArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let RecoveryKeyArguments { path, passphrase_file, luks_uuid } = arguments;
    let file = open(path, passphrase_file.as_deref())?;
    let known = file
        .cluster()
        .nodes
        .iter()
        .find(|node| node.enrolled.as_ref().is_some_and(|machine| machine.luks == Some(*luks_uuid)));
    match known {
        Some(node) => eprintln!("The recovery key of '{}':", node.name),
        // an older file than the volume still opens it
        None => eprintln!("The file does not name this volume; if it is this cluster's, this is its key:"),
    }
    let key = file.keyring().recovery_key_of(*luks_uuid);
    writeln!(out, "{}", key.expose())?;
    Ok(())
}

fn open(path: &Path, passphrase_file: Option<&Path>) -> anyhow::Result<ClusterFile> {
    // first the file: a damaged one needs no passphrase to be told
    let sealed = disk::load(path)?;
    let passphrase = passphrase(path, passphrase_file)?;
    ClusterFile::open(&sealed, &passphrase).with_context(|| format!("{} was not opened", path.display()))
}

/// The passphrase of a cluster file: from a file, else from the terminal.
///
/// # Errors
///
/// When there is neither.
pub fn passphrase(path: &Path, passphrase_file: Option<&Path>) -> anyhow::Result<Passphrase> {
    match passphrase_file {
        Some(file) => read_passphrase(file),
        None => ask_passphrase(path),
    }
}

fn read_passphrase(path: &Path) -> anyhow::Result<Passphrase> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .with_context(|| format!("the passphrase file {} could not be read", path.display()))?;
    if text.trim().lines().count() > 1 {
        bail!("the passphrase file {} has more than one line; a passphrase is one", path.display());
    }
    Passphrase::new(&text).with_context(|| format!("{} holds no passphrase", path.display()))
}

fn ask_passphrase(path: &Path) -> anyhow::Result<Passphrase> {
    let typed = rpassword::prompt_password(format!("Passphrase of {}: ", path.display()))
        .map(Zeroizing::new)
        .context("there is no terminal to ask for the passphrase; give it with --passphrase-file")?;
    Ok(Passphrase::new(&typed)?)
}

/// etcd decides by majority: an even number survives no more than the odd one below it.
fn etcd_count(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(count @ (1 | 3 | 5)) => Ok(count),
        _ => Err("etcd needs 1, 3 or 5 machines; 3 survive the loss of one".to_owned()),
    }
}

#[cfg(test)]
mod tests;
