//! `cairn file new`.

use std::io::Write;
use std::path::PathBuf;

use super::{describe, show_once};
use crate::passphrase::{self, PassphraseArguments};
use anyhow::bail;
use cairn_model::cluster::Name;
use cairn_vault::file::{ClusterFile, Passphrase, disk};
use clap::Args;

/// Arguments of `cairn file new`.
#[derive(Debug, Args)]
pub struct NewArguments {
    /// Where to put the new file; there must be nothing yet
    path: PathBuf,
    /// The cluster's name
    #[arg(long)]
    name: Name,
    /// How many machines keep the cluster's state
    #[arg(long, default_value_t = 3, value_parser = etcd_count)]
    etcd: u8,
    /// How many places to keep for machines that run applications
    #[arg(long, default_value_t = 0)]
    compute: u8,
    /// How many places to keep for machines that keep backups
    #[arg(long, default_value_t = 0)]
    backup: u8,
    #[command(flatten)]
    passphrase: PassphraseArguments,
    /// Ask for a passphrase of your own instead of making one
    #[arg(long, conflicts_with_all = ["passphrase_file", "passphrase_fd"])]
    own_passphrase: bool,
}

pub(super) fn run(arguments: &NewArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let NewArguments { path, name, etcd, compute, backup, passphrase, own_passphrase } = arguments;
    // said before the work; creating the file checks it again
    if path.symlink_metadata().is_ok() {
        bail!(disk::DiskError::Exists(path.clone()));
    }
    let own = if *own_passphrase {
        Some(passphrase::ask_twice(path, "leave --own-passphrase out, or give it with --passphrase-file")?)
    } else {
        passphrase.given()?
    };
    let file = ClusterFile::new(name.clone(), *etcd, *compute, *backup)?;
    let sealed = match &own {
        Some(own) => {
            passphrase::print_strength(own, name.as_str());
            file.seal(own)?
        }
        None => {
            let generated = Passphrase::generate()?;
            let sealed = file.seal(&generated)?;
            show_once(path, &generated, out)?;
            sealed
        }
    };
    disk::create(path, &sealed)?;
    describe(path, &sealed, out)?;
    Ok(())
}

/// etcd decides by majority: an even number survives no more than the odd one below it.
fn etcd_count(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(count @ (1 | 3 | 5)) => Ok(count),
        _ => Err("etcd needs 1, 3 or 5 machines; 3 survive the loss of one".to_owned()),
    }
}
