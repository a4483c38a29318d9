//! `cairn file recovery-key`: what opens a volume when nothing else is left.

use std::io::Write;

use super::FileArguments;
use crate::note;
use clap::Args;
use uuid::Uuid;

/// Arguments of `cairn file recovery-key`.
#[derive(Debug, Args)]
pub struct RecoveryKeyArguments {
    #[command(flatten)]
    file: FileArguments,
    /// The volume's LUKS UUID, as 'cryptsetup luksUUID' prints it
    #[arg(long, value_name = "UUID")]
    luks_uuid: Uuid,
}

pub(super) fn run(arguments: &RecoveryKeyArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let RecoveryKeyArguments { file, luks_uuid } = arguments;
    let file = file.open()?.file;
    let known = file
        .cluster()
        .nodes
        .iter()
        .find(|node| node.enrolled.as_ref().is_some_and(|machine| machine.luks == Some(*luks_uuid)));
    match known {
        Some(node) => note!("The recovery key of '{}':", node.name),
        // an older file than the volume still opens it
        None => note!("The file does not name this volume; if it is this cluster's, this is its key:"),
    }
    let key = file.keyring().recovery_key_of(*luks_uuid);
    writeln!(out, "{}", key.expose())?;
    Ok(())
}
