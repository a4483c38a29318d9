//! `cairn file edit`: the configuration in the owner's editor. The text that is edited holds no seed, lies in
//! memory, and is kept when it could not be sealed.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scratch::{self, Scratch};
use super::{FileArguments, Opened};
use crate::consent;
use anyhow::{Context as _, Result, anyhow, bail};
use cairn_vault::file::{self, ClusterFile, Sealed};
use clap::Args;

/// Arguments of `cairn file edit`.
#[derive(Debug, Args)]
pub struct EditArguments {
    #[command(flatten)]
    file: FileArguments,
    /// Begin with this text, such as one that was kept, instead of what the file says
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Seal what is in order without asking
    #[arg(long)]
    yes: bool,
}

/// Puts a question to the owner, if there is anybody to ask.
type Ask = Box<dyn FnMut(&str) -> Option<bool>>;

/// The owner before the screen.
pub(super) struct Owner {
    pub(super) editor: OsString,
    pub(super) answer: Ask,
}

impl Owner {
    pub(super) fn at_the_terminal() -> Self {
        let named = ["VISUAL", "EDITOR"].into_iter().filter_map(std::env::var_os);
        let editor = named.filter(|name| !name.is_empty()).chain(["vi".into()]).next().unwrap_or_default();
        Self { editor, answer: Box::new(|question| consent::ask(question).ok().flatten()) }
    }

    /// The editor's name may have arguments, so a shell takes it apart, as git does.
    fn edit(&self, path: &Path) -> Result<()> {
        let mut line = self.editor.clone();
        line.push(" \"$1\"");
        let name = self.editor.display();
        let status = Command::new("sh")
            .arg("-c")
            .arg(line)
            .arg("cairn")
            .arg(path)
            .status()
            .with_context(|| format!("the editor '{name}' could not be started"))?;
        if !status.success() {
            bail!("the editor '{name}' failed ({status}); set EDITOR to another");
        }
        Ok(())
    }

    fn agrees(&mut self, question: &str) -> Option<bool> {
        (self.answer)(question)
    }
}

pub(super) fn run(arguments: &EditArguments, owner: &mut Owner, out: &mut impl Write) -> Result<()> {
    let EditArguments { file, from, yes } = arguments;
    let opened = file.open()?;
    let own = opened.file.text()?;
    let begin = match from {
        Some(path) => {
            scratch::read(path).with_context(|| format!("the text {} could not be read", path.display()))?
        }
        None => own.clone(),
    };
    let scratch = Scratch::new(&format!("{}.toml", opened.file.cluster().name), &begin)?;
    let sealed = session(&opened, &own, &scratch, *yes, owner, out).map_err(|error| {
        if scratch.read().is_ok_and(|text| text == own) {
            return error;
        }
        error.context(format!(
            "your text stays in memory until the machine restarts: go on with --from {}",
            scratch.keep().display()
        ))
    })?;
    match sealed {
        Some(sealed) => opened.tell_next(&sealed, out),
        None => Ok(writeln!(out, "Nothing was changed.")?),
    }
}

/// Edits until the text is sealed in the file's place, or not to be. What comes after that is only telling, and
/// no reason to edit again when it fails.
fn session(
    opened: &Opened,
    own: &str,
    scratch: &Scratch,
    yes: bool,
    owner: &mut Owner,
    out: &mut impl Write,
) -> Result<Option<Sealed>> {
    loop {
        owner.edit(scratch.path())?;
        let text = scratch.read()?;
        let next = match next(&opened.file, own, &text) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(None),
            Err(error) if owner.agrees(&format!("{error:#}\nEdit it again?")) == Some(true) => continue,
            Err(error) => return Err(error),
        };
        for line in file::changes(opened.file.cluster(), next.cluster()) {
            writeln!(out, "  {line}")?;
        }
        let question = format!("Seal this as generation {}?", next.cluster().generation);
        match yes.then_some(true).or_else(|| owner.agrees(&question)) {
            Some(true) => return opened.seal_next(&next).map(Some),
            Some(false) if owner.agrees("Edit it again?") == Some(true) => {}
            Some(false) => bail!("it was not sealed, as you said"),
            None => bail!("there is no terminal to ask whether to seal this; give --yes"),
        }
    }
}

fn next(file: &ClusterFile, own: &str, text: &str) -> Result<Option<ClusterFile>> {
    if text == own {
        return Ok(None);
    }
    let next = file.with_text(text).map_err(|error| anyhow!(error))?;
    Ok(Some(next).filter(|next| next.hash() != file.hash()))
}
