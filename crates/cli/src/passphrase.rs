//! Passphrases: from the terminal, a file or an open file descriptor. Never from an argument or the
//! environment, which other processes can read.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::note;
use anyhow::{Context as _, Result, bail};
use cairn_vault::file::{Passphrase, Strength};
use clap::Args;
use zeroize::Zeroizing;

/// More than anybody types.
const MOST_BYTES: usize = 4_096;

/// What to do where there is no terminal.
pub const GIVE: &str = "give it with --passphrase-file or --passphrase-fd";
pub const GIVE_NEW: &str =
    "give it with --new-passphrase-file or --new-passphrase-fd, or have one made with --generate";

/// Where the passphrase of a cluster file comes from; the terminal when nothing is given.
#[derive(Clone, Debug, Args)]
pub struct PassphraseArguments {
    /// Take the passphrase from this file instead of asking for it
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_fd")]
    passphrase_file: Option<PathBuf>,
    /// Take the passphrase from this open file descriptor, such as 3 with 3< <(pass show cairn)
    #[arg(long, value_name = "N")]
    passphrase_fd: Option<u32>,
}

/// Where a passphrase that replaces another comes from; the terminal, twice, when nothing is given.
#[derive(Clone, Debug, Args)]
pub struct NewPassphraseArguments {
    /// Take the new passphrase from this file instead of asking for it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new_passphrase_fd", "generate"])]
    new_passphrase_file: Option<PathBuf>,
    /// Take the new passphrase from this open file descriptor
    #[arg(long, value_name = "N", conflicts_with = "generate")]
    new_passphrase_fd: Option<u32>,
    /// Make a passphrase of random words, and show it once
    #[arg(long)]
    generate: bool,
}

/// A passphrase and who knows it.
pub enum New {
    /// Made just now: to be shown.
    Generated(Passphrase),
    /// Given by the owner: not to be shown.
    Own(Passphrase),
}

impl PassphraseArguments {
    /// The one that was given, if any was.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn given(&self) -> Result<Option<Passphrase>> {
        given(self.passphrase_file.as_deref(), self.passphrase_fd)
    }

    /// The passphrase of this cluster file.
    ///
    /// # Errors
    /// When none was given and there is no terminal to ask.
    pub fn get(&self, path: &Path) -> Result<Passphrase> {
        match self.given()? {
            Some(passphrase) => Ok(passphrase),
            None => ask(&format!("Passphrase of {}: ", path.display()), GIVE),
        }
    }
}

impl NewPassphraseArguments {
    /// The new passphrase of this cluster file.
    ///
    /// # Errors
    /// As [`PassphraseArguments::get`], and when the two that were typed differ.
    pub fn get(&self, path: &Path) -> Result<New> {
        if self.generate {
            return Ok(New::Generated(Passphrase::generate()?));
        }
        let given = given(self.new_passphrase_file.as_deref(), self.new_passphrase_fd)?;
        given.map_or_else(|| ask_twice(path, GIVE_NEW), Ok).map(New::Own)
    }
}

impl New {
    /// The passphrase, whoever knows it.
    pub fn passphrase(&self) -> &Passphrase {
        match self {
            Self::Generated(passphrase) | Self::Own(passphrase) => passphrase,
        }
    }
}

/// Asks for a passphrase that did not exist before.
///
/// # Errors
/// When there is no terminal, or the two that were typed differ.
pub fn ask_twice(path: &Path, instead: &str) -> Result<Passphrase> {
    let first = ask(&format!("New passphrase of {}: ", path.display()), instead)?;
    let again = ask("The same again: ", instead)?;
    if first.to_secret() != again.to_secret() {
        bail!("the two passphrases are not the same; nothing was changed");
    }
    Ok(first)
}

/// Says what an own passphrase is worth.
pub fn print_strength(passphrase: &Passphrase, cluster: &str) {
    let strength = Strength::of(passphrase, &[cluster]);
    note!("{}", strength.sentence());
    for advice in &strength.advice {
        note!("  {advice}");
    }
}

/// Asks on the terminal, without showing what is typed.
///
/// # Errors
/// When there is no terminal, with what to do instead.
pub fn ask(prompt: &str, instead: &str) -> Result<Passphrase> {
    Ok(Passphrase::new(&typed(prompt, instead)?)?)
}

/// The same, of what may be no passphrase at all.
///
/// # Errors
/// As [`ask`].
pub fn typed(prompt: &str, instead: &str) -> Result<Zeroizing<String>> {
    let typed = rpassword::prompt_password(prompt).map(Zeroizing::new);
    typed.with_context(|| format!("the passphrase could not be asked for here; {instead}"))
}

/// A secret of one line from a file or an open file descriptor, as it stands there but for the end of the line.
///
/// # Errors
/// When it can't be read, or is more than one line.
pub fn line(file: Option<&Path>, descriptor: Option<u32>) -> Result<Option<Zeroizing<String>>> {
    source(file, descriptor).map(|(path, what)| text(&path, &what)).transpose()
}

fn given(file: Option<&Path>, descriptor: Option<u32>) -> Result<Option<Passphrase>> {
    let Some((path, what)) = source(file, descriptor) else { return Ok(None) };
    let text = text(&path, &what)?;
    Passphrase::new(&text).map(Some).with_context(|| format!("{what} holds no passphrase"))
}

fn source(file: Option<&Path>, descriptor: Option<u32>) -> Option<(PathBuf, String)> {
    match (file, descriptor) {
        (Some(path), _) => Some((path.to_owned(), format!("the passphrase file {}", path.display()))),
        // opened anew by its number: taking an inherited one over is unsafe
        (None, Some(number)) => {
            Some((PathBuf::from(format!("/dev/fd/{number}")), format!("the file descriptor {number}")))
        }
        (None, None) => None,
    }
}

fn text(path: &Path, what: &str) -> Result<Zeroizing<String>> {
    // never moved while it grows, so that nothing of it stays behind
    let mut text = Zeroizing::new(String::with_capacity(2 * MOST_BYTES));
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(most).read_to_string(&mut text))
        .with_context(|| format!("{what} could not be read"))?;
    if text.len() > MOST_BYTES {
        bail!("{what} is too long to be a passphrase");
    }
    if text.trim().lines().count() > 1 {
        bail!("{what} has more than one line; a passphrase is one");
    }
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(text)
}
