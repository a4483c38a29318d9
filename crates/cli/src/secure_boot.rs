//! `cairn secure-boot`: what firmware with Secure Boot on has to be given.

use crate::client::Connection;
use crate::{out, say};
use anyhow::{Context as _, Result};
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

/// A certificate of an RSA key of 2,048 bits has less than a kilobyte.
const LONGEST: u64 = 64 * 1024;

/// Arguments of `cairn secure-boot`.
#[derive(Debug, clap::Args)]
pub struct SecureBootArguments {
    /// Where to write the certificate; there must be nothing yet. `-` prints it
    #[arg(long, short, value_name = "FILE", default_value = "cairn-secure-boot.cer")]
    output: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

/// # Errors
/// When the manager has none, or the file can't be made.
pub fn run(arguments: &SecureBootArguments) -> Result<()> {
    let reader = arguments.connection.open()?.read("secure-boot/certificate")?;
    let mut certificate = Vec::new();
    reader.take(LONGEST).read_to_end(&mut certificate)?;
    let path = &arguments.output;
    if path.as_os_str() == "-" {
        return out::bytes(&certificate);
    }
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.with_context(|| format!("{} can't be made", path.display()))?;
    file.write_all(&certificate).with_context(|| format!("{} can't be written", path.display()))?;
    say!("{} is your cluster's certificate. It is no secret.", path.display())?;
    say!(
        "Copy it to a stick with FAT. In the firmware of each machine that has Secure Boot on, choose the custom mode"
    )?;
    say!(
        "or key management, and add the file to the db (authorized signatures). Leave PK, KEK and dbx alone."
    )
}
