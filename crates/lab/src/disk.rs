//! Disk images: sparse qcow2 files, over a raw image or blank.

use std::path::Path;
use std::process::Command;

use crate::command::{CommandError, run};
use crate::spec::{DiskSource, DiskSpec};
use crate::tools::Tools;

pub(crate) fn create(tools: &Tools, spec: &DiskSpec, file: &Path) -> Result<(), CommandError> {
    let size = spec.size.to_string();
    match &spec.source {
        DiskSource::Blank => run(image(tools, "create").args(["-q", "-f", "qcow2"]).arg(file).arg(&size)),
        DiskSource::Over(base) => {
            let command = &mut image(tools, "create");
            run(command.args(["-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(base).arg(file).arg(&size))
        }
        DiskSource::Copy(base) => {
            from_raw(tools, base, file)?;
            run(image(tools, "resize").args(["-q", "-f", "qcow2"]).arg(file).arg(&size))
        }
    }
    .map(drop)
}

/// A disk that begins as `base` and leaves it as it is.
pub(crate) fn overlay(tools: &Tools, base: &Path, file: &Path) -> Result<(), CommandError> {
    run(image(tools, "create").args(["-q", "-f", "qcow2", "-F", "qcow2", "-b"]).arg(base).arg(file)).map(drop)
}

/// What the machine sees as its disk, byte by byte; also of a machine that is stopped in its tracks.
pub(crate) fn to_raw(tools: &Tools, file: &Path, raw: &Path) -> Result<(), CommandError> {
    let command = &mut image(tools, "convert");
    run(command.args(["-U", "-q", "-f", "qcow2", "-O", "raw"]).arg(file).arg(raw)).map(drop)
}

pub(crate) fn from_raw(tools: &Tools, raw: &Path, file: &Path) -> Result<(), CommandError> {
    run(image(tools, "convert").args(["-q", "-f", "raw", "-O", "qcow2"]).arg(raw).arg(file)).map(drop)
}

fn image(tools: &Tools, verb: &str) -> Command {
    let mut command = Command::new(&tools.qemu_img);
    command.arg(verb);
    command
}
