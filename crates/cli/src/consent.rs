//! Questions to the owner, on the terminal. Standard output stays free for what a command says.

use crate::out;
use anyhow::{Result, bail};
use std::io::{BufRead as _, IsTerminal as _};

/// What was typed; none at its end (Ctrl-D).
///
/// # Errors
/// When the terminal can't be read.
pub fn line(prompt: &str) -> Result<Option<String>> {
    out::prompt(prompt);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer)?;
    Ok((read > 0).then(|| answer.trim().to_owned()))
}

/// Whether the owner agrees; none where there is nobody to ask.
///
/// # Errors
/// As [`line`].
pub fn ask(question: &str) -> Result<Option<bool>> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let answer = line(&format!("{question} [y/N] "))?;
    Ok(Some(answer.as_deref().is_some_and(is_yes)))
}

pub fn is_yes(answer: &str) -> bool {
    ["y", "yes"].iter().any(|word| answer.eq_ignore_ascii_case(word))
}

/// Goes on only with the owner's consent.
///
/// # Errors
/// When the answer is no, or there is nobody to ask.
pub fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    match ask(question)? {
        Some(true) => Ok(()),
        Some(false) => bail!("nothing was done"),
        None => bail!("there is no terminal to ask for your consent; say --yes"),
    }
}
