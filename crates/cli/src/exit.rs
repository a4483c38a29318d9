//! What the exit codes mean, for all commands.

use std::process::ExitCode;

/// What was asked about is not as it should be: the command itself went well.
pub fn not_well() -> ExitCode {
    ExitCode::from(3)
}

/// Nobody reads what is printed any more: as a shell says of a command that SIGPIPE ended.
pub fn unread() -> ExitCode {
    ExitCode::from(141)
}

/// As shells have it for a program that Ctrl-C ended.
pub fn interrupted() -> ExitCode {
    ExitCode::from(130)
}

/// Stands at the end of `cairn --help` and of its man page. That 2 means wrong arguments is clap's rule.
pub const HELP: &str = "Exit codes:
  0    done; what was asked about is as it should be
  1    failed; standard error says why
  2    wrong arguments, and nothing was done
  3    asked, and it is not as it should be: the cluster is not healthy, copies of its file
       went different ways, or artifacts are missing
  130  interrupted
  141  nobody reads its output any more, as in `cairn status | head -1`
`cairn lab exec` exits with the code of the command that it ran.";
