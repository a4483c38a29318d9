//! The keys of a machine: made on it, never leaving it.

use cairn_model::secret::Secret;
use cairn_vault::{KeyError, PrivateKey};
use cairn_wire::message::CertificateRequests;
use serde::{Deserialize, Serialize};

/// One key per use, so that a copy of the boot partition (which holds the boot key) gives nothing but
/// what a locked machine may do.
pub struct Keys {
    pub boot: PrivateKey,
    pub node: PrivateKey,
    pub etcd: PrivateKey,
}

/// As they lie on a prepared medium between its first start and its enrolment.
#[derive(Serialize, Deserialize)]
pub struct StoredKeys {
    boot: Secret,
    node: Secret,
    etcd: Secret,
}

impl Keys {
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self {
            boot: PrivateKey::generate()?,
            node: PrivateKey::generate()?,
            etcd: PrivateKey::generate()?,
        })
    }

    pub fn store(&self) -> StoredKeys {
        StoredKeys { boot: self.boot.to_pem(), node: self.node.to_pem(), etcd: self.etcd.to_pem() }
    }

    /// # Errors
    /// When a stored key is damaged.
    pub fn restore(stored: &StoredKeys) -> Result<Self, KeyError> {
        Ok(Self {
            boot: PrivateKey::from_pem(stored.boot.expose())?,
            node: PrivateKey::from_pem(stored.node.expose())?,
            etcd: PrivateKey::from_pem(stored.etcd.expose())?,
        })
    }

    /// # Errors
    /// When a request can't be signed.
    pub fn requests(&self) -> Result<CertificateRequests, KeyError> {
        Ok(CertificateRequests {
            boot: self.boot.signing_request()?,
            node: self.node.signing_request()?,
            etcd: self.etcd.signing_request()?,
        })
    }
}
