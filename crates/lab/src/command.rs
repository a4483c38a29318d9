//! The one way in which this crate runs a program of the host and waits for it.

use std::io;
use std::process::{Command, ExitStatus, Stdio};

use thiserror::Error;

#[derive(Debug, Error)]
pub enum CommandError {
    #[error("cannot start {program}: is it installed and in PATH?")]
    NotStarted { program: String, source: io::Error },
    #[error("`{line}` ended with {status}: {stderr}")]
    Failed { line: String, status: ExitStatus, stderr: String },
}

/// Runs to the end and returns what the program printed.
pub(crate) fn run(command: &mut Command) -> Result<String, CommandError> {
    let output = command.stdin(Stdio::null()).output().map_err(|source| CommandError::NotStarted {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(CommandError::Failed {
        line: line(command),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_and_a_failing_one_are_two_different_sentences() {
        let missing = run(&mut Command::new("cairn-no-such-program")).unwrap_err();
        assert!(missing.to_string().contains("cannot start cairn-no-such-program"));
        let failed = run(Command::new("sh").args(["-c", "echo because >&2; exit 3"])).unwrap_err();
        assert!(failed.to_string().contains("because") && failed.to_string().contains('3'));
    }
}
