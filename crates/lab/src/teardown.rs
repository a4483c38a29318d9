//! Taking a lab down: goes on after an error and returns them all, and may be called again.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::command::CommandError;
use crate::error::LabError;
use crate::lab::Lab;
use crate::state;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Error)]
#[error("the lab is not quite gone: {}. Run `cairn lab down` again", words(left))]
pub struct TeardownError {
    pub left: Vec<Leftover>,
}

#[derive(Debug, Error)]
pub enum Leftover {
    #[error("its processes could not be listed or killed ({0})")]
    Unkillable(CommandError),
    #[error("processes {0:?} survived SIGKILL")]
    Survivors(Vec<i32>),
    #[error("its network namespace could not be deleted ({0})")]
    Namespace(CommandError),
    #[error("{} could not be removed ({error})", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("its state could not be removed ({0})")]
    State(state::StateError),
}

fn words(left: &[Leftover]) -> String {
    left.iter().map(Leftover::to_string).collect::<Vec<_>>().join("; ")
}

/// Every process of a lab is in its namespace, and every interface too, so the namespace is all there is to clear on
/// the host; `lab.json` is not even read. The caller holds the lock.
pub(crate) fn clear(lab: &Lab) -> Result<(), LabError> {
    let mut left = Vec::new();
    if lab.namespace().exists() {
        match lab.namespace().kill_all(PATIENCE) {
            Ok(pids) if pids.is_empty() => {}
            Ok(pids) => left.push(Leftover::Survivors(pids.into_iter().collect())),
            Err(error) => left.push(Leftover::Unkillable(error)),
        }
        if let Err(error) = lab.namespace().delete() {
            left.push(Leftover::Namespace(error));
        }
    }
    for path in lab.folders() {
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                left.push(Leftover::File { path, error })
            }
            _ => {}
        }
    }
    if let Err(error) = state::remove(lab.dir()) {
        left.push(Leftover::State(error));
    }
    if left.is_empty() { Ok(()) } else { Err(TeardownError { left }.into()) }
}

/// The last file to go. Whoever waited for the lock meanwhile makes the file anew.
pub(crate) fn forget_lock(lab: &Lab) -> Result<(), LabError> {
    let path = lab.lock_file();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(TeardownError { left: vec![Leftover::File { path, error }] }.into())
        }
        _ => Ok(()),
    }
}
