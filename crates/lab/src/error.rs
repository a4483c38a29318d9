use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::command::CommandError;
use crate::exec::ExecError;
use crate::process::ProcessError;
use crate::qmp::QmpError;
use crate::state::StateError;
use crate::teardown::TeardownError;

/// What can go wrong with a lab.
#[derive(Debug, Error)]
pub enum LabError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Exec(#[from] ExecError),
    #[error(transparent)]
    Teardown(#[from] TeardownError),
    #[error("machine {machine} did not do as told by its control socket")]
    Qmp { machine: String, source: QmpError },
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("there is no machine {name} in this lab; it has: {known}")]
    NoSuchMachine { name: String, known: String },
    #[error("there is no bridge {name} in this lab; it has: {known}")]
    NoSuchBridge { name: String, known: String },
    #[error("machine {machine} has no disk {serial}")]
    NoSuchDisk { machine: String, serial: String },
    #[error(
        "{name:?} is no name for a {what}: use 1 to {longest} of a-z, 0-9 and -, beginning with a letter"
    )]
    BadName { what: &'static str, name: String, longest: usize },
    #[error("there is already a {what} named {name} in this lab")]
    Duplicate { what: &'static str, name: String },
    #[error("machine {machine} is off: power it on first")]
    Off { machine: String },
    #[error("machine {machine} is on: power it off first")]
    On { machine: String },
    #[error("machine {machine} has all {ports} of its hot-plug ports in use: pull a disk first")]
    NoPort { machine: String, ports: usize },
    #[error("QEMU of machine {machine} did not come up; it said: {log}")]
    NotStarted { machine: String, log: String },
    #[error("machine {machine} did not switch off within {waited:?}; cut its power")]
    StillOn { machine: String, waited: Duration },
    #[error(
        "the console of {machine} showed nothing like `{pattern}` within {waited:?}; its last lines: {tail}"
    )]
    ConsoleSilent { machine: String, pattern: String, waited: Duration, tail: String },
    #[error("`{pattern}` is no regular expression")]
    Pattern { pattern: String, source: Box<regex::Error> },
    #[error("{} exists already: remove that checkpoint first", path.display())]
    CheckpointExists { path: PathBuf },
    #[error("{} is no complete checkpoint: save it again", path.display())]
    NoCheckpoint { path: PathBuf },
}

impl LabError {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> LabError {
        let path = path.into();
        move |source| LabError::File { action, path, source }
    }
}
