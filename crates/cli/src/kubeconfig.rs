//! `cairn kubeconfig`: what opens Kubernetes.

use crate::client::Connection;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
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
        None => std::io::stdout().write_all(&text)?,
        Some(path) => save(path, &text).with_context(|| format!("{} can't be written", path.display()))?,
    }
    Ok(())
}

fn save(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_its_owners_alone_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        save(&path, b"secret").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(save(&path, b"other").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"secret");
    }
}
