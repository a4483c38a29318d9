//! Prepared media for the lab's machines, as the owner would download them.

use super::paths::Paths;
use crate::client::Client;
use crate::medium;
use crate::progress::Transfer;
use anyhow::Result;
use cairn_manager::api::MediumRequest;
use cairn_model::cluster::Name;
use std::path::PathBuf;

/// Downloads the medium of a node and gives the image's path.
///
/// # Errors
/// When the manager refuses or the disk is full.
pub fn prepare(client: &Client, paths: &Paths, node: &Name, request: &MediumRequest) -> Result<PathBuf> {
    let path = paths.medium(node.as_str());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    medium::save(client, node, request, &path, &mut Transfer::silent())?;
    Ok(path)
}
