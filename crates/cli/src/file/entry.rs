//! `cairn file entry`: passphrase and file, in the form that a password manager imports.

use std::io::Write;
use std::path::PathBuf;

use super::FileArguments;
use crate::private;
use anyhow::Context as _;
use cairn_vault::file::Entry;
use clap::{Args, ValueEnum};

/// Arguments of `cairn file entry`.
#[derive(Debug, Args)]
pub struct EntryArguments {
    #[command(flatten)]
    file: FileArguments,
    /// For which password manager
    #[arg(long = "for", value_name = "MANAGER")]
    manager: PasswordManager,
    /// Where to put the import file; there must be nothing yet, and it is to be deleted once imported
    #[arg(long, short)]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PasswordManager {
    /// Bitwarden (JSON); KeePassXC 2.7.7 and later take the same
    Bitwarden,
    /// KeePass 2 (XML), also for `keepassxc-cli import`
    Keepass,
}

pub(super) fn run(arguments: &EntryArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let EntryArguments { file, manager, output } = arguments;
    let opened = file.open()?;
    let entry = Entry::new(opened.sealed, &opened.passphrase);
    let content = match manager {
        PasswordManager::Bitwarden => entry.bitwarden()?,
        PasswordManager::Keepass => entry.keepass()?,
    };
    private::write(output, content.expose().as_bytes()).context("there is no import file")?;
    writeln!(out, "{}: the entry '{}'", output.display(), entry.title())?;
    writeln!(out, "It holds file and passphrase in the clear: import it now, then 'shred -u' it.")?;
    Ok(())
}
