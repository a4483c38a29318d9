//! Where a lab keeps what is not the machines' own.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// All below the one state directory.
#[derive(Clone, Debug)]
pub struct Paths {
    state: PathBuf,
}

impl Paths {
    /// # Errors
    /// When the present directory is gone.
    pub fn new(state: &Path) -> Result<Self> {
        Ok(Self { state: std::path::absolute(state)? })
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The owner's files and the manager's, which a checkpoint keeps along with the machines.
    pub fn kept(&self) -> PathBuf {
        self.state.join("manager")
    }

    /// The owner's cluster file, as on the first day.
    pub fn cluster_file(&self) -> PathBuf {
        self.kept().join("cluster.cairn")
    }

    pub fn passphrase(&self) -> PathBuf {
        self.kept().join("passphrase")
    }

    /// The manager's working directory.
    pub fn work(&self) -> PathBuf {
        self.kept().join("work")
    }

    pub fn token(&self) -> PathBuf {
        self.work().join("token")
    }

    /// Where the page is.
    pub fn url(&self) -> PathBuf {
        self.kept().join("url")
    }

    /// What the nodes without machines have; there when the lab has such nodes.
    pub fn agents(&self) -> PathBuf {
        self.kept().join("agents")
    }

    pub fn medium(&self, node: &str) -> PathBuf {
        self.state.join("media").join(format!("{node}.img"))
    }

    /// What the firmware of a Raspberry Pi would take from the medium.
    pub fn boot_files(&self, node: &str) -> PathBuf {
        self.state.join("media").join(node)
    }

    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.checkpoints().join(name)
    }

    /// These outlive the lab.
    pub fn checkpoints(&self) -> PathBuf {
        self.state.join("checkpoints")
    }

    /// Removes all of it but the checkpoints.
    ///
    /// # Errors
    /// When something can't be removed.
    pub fn forget(&self) -> Result<()> {
        for folder in [self.kept(), self.state.join("media")] {
            if folder.exists() {
                std::fs::remove_dir_all(&folder)
                    .with_context(|| format!("{} can't be removed", folder.display()))?;
            }
        }
        Ok(())
    }
}
