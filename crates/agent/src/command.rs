//! The one way in which the agent runs a program.

use std::io::Write;
use std::process::{Command, Stdio};

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("`{0}` can't be started; is it in the node image?")]
    Start(String, #[source] std::io::Error),
    #[error("`{program}` failed with {status}: {stderr}")]
    Failed { program: String, status: std::process::ExitStatus, stderr: String },
}

/// Runs a program and returns what it printed. `input` is written to its standard input and appears
/// in no argument and no error.
///
/// # Errors
/// When it can't be started or fails; with the last lines of what it said.
pub fn run(program: &str, arguments: &[&str], input: &[u8]) -> Result<String, CommandError> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| CommandError::Start(program.to_owned(), e))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input says by its exit code what is wrong.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(|e| CommandError::Start(program.to_owned(), e))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<&str> = stderr.lines().rev().take(3).map(str::trim).collect();
    lines.reverse();
    Err(CommandError::Failed { program: program.to_owned(), status: output.status, stderr: lines.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_reaches_the_program_and_output_comes_back() {
        assert_eq!(run("cat", &[], b"hello").unwrap(), "hello");
    }

    #[test]
    fn a_failure_names_the_program_and_what_it_said_but_not_its_input() {
        let error = run("sh", &["-c", "echo no such disk >&2; exit 3"], b"secret").unwrap_err().to_string();
        assert!(error.contains("`sh`") && error.contains("no such disk"), "{error}");
        assert!(!error.contains("secret"));
        assert!(run("no-such-program", &[], b"").unwrap_err().to_string().contains("node image"));
    }
}
