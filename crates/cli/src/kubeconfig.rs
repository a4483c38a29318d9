//! `cairn kubeconfig`: what opens Kubernetes.

use crate::client::Connection;
use crate::{out, private};
use anyhow::Result;
use std::io::Read as _;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The agent's own bound, and some.
const LONGEST: usize = 256 * 1024;

/// Arguments of `cairn kubeconfig`.
#[derive(Debug, clap::Args)]
pub struct KubeconfigArguments {
    /// Where to write it, for nobody else to read; there must be nothing yet. Printed when left out
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// # Errors
/// When no node has it, or the file can't be made.
pub fn run(arguments: &KubeconfigArguments) -> Result<()> {
    let mut reader = arguments.connection.open()?.read("kubeconfig")?;
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST));
    reader.by_ref().take(u64::try_from(LONGEST)?).read_to_end(&mut text)?;
    match &arguments.output {
        None => out::bytes(&text),
        Some(path) => private::write(path, &text),
    }
}
