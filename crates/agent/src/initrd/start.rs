//! Where this machine begins, from what lies on its boot partition.

use crate::boot::{BootDisk, BootError};
use crate::keys::{Keys, StoredKeys};
use crate::state::{BootIdentity, IDENTITY_FILE, JOIN_FILE, KEYS_FILE};
use cairn_vault::join::JoinMaterial;
use cairn_vault::{KeyError, PrivateKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the machine is before anybody spoke to it.
pub enum Start {
    /// Started from the network, or from a disk that belongs to nobody.
    Fresh { keys: Keys, luks_uuid: Uuid },
    /// Started from a prepared medium.
    Joining { keys: Keys, luks_uuid: Uuid, material: Box<JoinMaterial> },
    /// Installed; the data partition is shut.
    Locked { identity: Box<BootIdentity> },
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("`{0}` on the boot partition is damaged; prepare the medium again, or reinstall this node")]
    Damaged(&'static str, #[source] serde_json::Error),
}

/// What a medium keeps of its first start.
#[derive(Serialize, Deserialize)]
struct FirstStart {
    keys: StoredKeys,
    luks_uuid: Uuid,
}

impl Start {
    /// The key by which the machine is known now.
    ///
    /// # Errors
    /// When the stored key is damaged.
    pub fn boot_key(&self) -> Result<PrivateKey, KeyError> {
        match self {
            Self::Fresh { keys, .. } | Self::Joining { keys, .. } => {
                PrivateKey::from_pem(keys.boot.to_pem().expose())
            }
            Self::Locked { identity } => PrivateKey::from_pem(identity.key.expose()),
        }
    }
}

/// Looks at the boot partition. Waits for the boot disk, so run it where blocking is no harm.
///
/// # Errors
/// When the boot partition is unreadable or damaged.
pub fn find() -> Result<(Start, Option<BootDisk>), StartError> {
    let Some(disk) = BootDisk::find() else { return Ok((fresh()?, None)) };
    if let Some(bytes) = disk.read(IDENTITY_FILE)? {
        let identity = serde_json::from_slice(&bytes).map_err(|e| StartError::Damaged(IDENTITY_FILE, e))?;
        return Ok((Start::Locked { identity: Box::new(identity) }, Some(disk)));
    }
    let start = match disk.read(JOIN_FILE)? {
        Some(bytes) => {
            let material = serde_json::from_slice(&bytes).map_err(|e| StartError::Damaged(JOIN_FILE, e))?;
            joining(&disk, material)?
        }
        None => fresh()?,
    };
    Ok((start, Some(disk)))
}

fn fresh() -> Result<Start, StartError> {
    Ok(Start::Fresh { keys: Keys::generate()?, luks_uuid: Uuid::new_v4() })
}

fn joining(disk: &BootDisk, material: JoinMaterial) -> Result<Start, StartError> {
    let damaged = |e| StartError::Damaged(KEYS_FILE, e);
    let first: FirstStart = match disk.read(KEYS_FILE)? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(damaged)?,
        None => {
            let first = FirstStart { keys: Keys::generate()?.store(), luks_uuid: Uuid::new_v4() };
            disk.write(KEYS_FILE, &serde_json::to_vec(&first).map_err(damaged)?)?;
            first
        }
    };
    Ok(Start::Joining {
        keys: Keys::restore(&first.keys)?,
        luks_uuid: first.luks_uuid,
        material: Box::new(material),
    })
}
