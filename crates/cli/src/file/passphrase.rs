//! `cairn file passphrase`.

use std::io::Write;

use super::{FileArguments, describe, show_once};
use crate::passphrase::{self, New, NewPassphraseArguments};
use clap::Args;

/// Arguments of `cairn file passphrase`.
#[derive(Debug, Args)]
pub struct ChangeArguments {
    #[command(flatten)]
    file: FileArguments,
    #[command(flatten)]
    new: NewPassphraseArguments,
}

/// The content stays what it is, and so does its generation: only the lock is another.
pub(super) fn run(arguments: &ChangeArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let ChangeArguments { file, new } = arguments;
    let opened = file.open()?;
    let new = new.get(&opened.path)?;
    let sealed = opened.file.seal(new.passphrase())?;
    match &new {
        New::Own(own) => passphrase::print_strength(own, opened.file.cluster().name.as_str()),
        New::Generated(generated) => show_once(&opened.path, generated, out)?,
    }
    opened.replace(&sealed)?;
    describe(&opened.path, &sealed, out)?;
    writeln!(
        out,
        "It opens with the new passphrase only. Store both in your password manager again.\n\
         Copies from before still open with the old passphrase, and hold the same secrets: if somebody may have\n\
         both, this does not shut them out. A manager's working copy is such a copy: change it in the same way\n\
         ('cairn file passphrase WORK/cluster.cairn', with the manager stopped), or it will not open."
    )?;
    Ok(())
}
