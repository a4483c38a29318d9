//! Shell completion, man pages and the description of the API, from the same definitions as what they speak of.

use std::path::PathBuf;

use crate::out;
use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _};

/// Arguments of `cairn completion`.
#[derive(Debug, Args)]
pub struct CompletionArguments {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Arguments of `cairn man`.
#[derive(Debug, Args)]
pub struct ManArguments {
    /// Where to put the pages; made if it is not there
    folder: PathBuf,
}

/// Prints the completion script of a shell.
///
/// # Errors
/// When it can't be printed.
pub fn completion(arguments: &CompletionArguments) -> Result<()> {
    out::bytes(&script(arguments.shell))
}

fn script(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::Arguments::command(), "cairn", &mut script);
    script
}

/// Prints the description of the manager's API (OpenAPI 3.1).
///
/// # Errors
/// When it can't be printed.
pub fn openapi() -> Result<()> {
    let text = cairn_manager::description::text().context("the description could not be written")?;
    out::bytes(format!("{text}\n").as_bytes())
}

/// Writes a page for every command.
///
/// # Errors
/// When one can't be written.
pub fn man(arguments: &ManArguments) -> Result<()> {
    let ManArguments { folder } = arguments;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(crate::Arguments::command(), folder))
        .with_context(|| format!("the man pages could not be written to {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        crate::Arguments::command().debug_assert();
    }

    #[test]
    fn every_shell_completes_every_command() {
        use clap::ValueEnum as _;
        for shell in clap_complete::Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            assert!(script.contains("generations") && script.contains("passphrase-fd"), "{shell}");
        }
    }

    #[test]
    fn every_command_has_a_page_and_the_first_one_says_what_exit_codes_mean() {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("man1");
        man(&ManArguments { folder: pages.clone() }).unwrap();
        let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
        assert!(page("cairn.1").contains("went different ways"));
        assert!(page("cairn-file-edit.1").contains("seed"));
    }
}
