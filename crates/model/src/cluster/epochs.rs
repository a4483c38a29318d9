//! Counters that say which of its successive values a derived secret has today.
//!
//! Raising one replaces that class of secrets and nothing else; older values can still be derived, which is
//! what an old etcd snapshot needs.

use serde::{Deserialize, Serialize};

/// A class of secrets that is replaced as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecretClass {
    /// The authority for agents and the manager; also signs the roster.
    Agents,
    /// The authority for etcd's peers.
    EtcdPeers,
    /// The authority for what etcd shows to its clients.
    EtcdServers,
    /// The authority for etcd's clients.
    EtcdClients,
    /// Recovery keys of encrypted volumes.
    Luks,
    /// The token that k3s joins with and encrypts its bootstrap data with.
    K3sToken,
    /// Keys on prepared media.
    Join,
    /// Passwords of backup repositories.
    Backup,
    /// The key that signs what machines with Secure Boot start.
    SecureBoot,
}

impl SecretClass {
    /// All classes, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Agents,
        Self::EtcdPeers,
        Self::EtcdServers,
        Self::EtcdClients,
        Self::Luks,
        Self::K3sToken,
        Self::Join,
        Self::Backup,
        Self::SecureBoot,
    ];

    /// The class's word in derivation labels: changing one changes every secret of the class.
    pub fn label(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::EtcdPeers => "etcd-peers",
            Self::EtcdServers => "etcd-servers",
            Self::EtcdClients => "etcd-clients",
            Self::Luks => "luks",
            Self::K3sToken => "k3s-token",
            Self::Join => "join",
            Self::Backup => "backup",
            Self::SecureBoot => "secure-boot",
        }
    }
}

/// The epoch of each class; the first is 1, and a class at its first epoch takes no room in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Epochs {
    #[serde(default = "first", skip_serializing_if = "is_first")]
    agents: u32,
    #[serde(default = "first", skip_serializing_if = "is_first")]
    etcd_peers: u32,
    #[serde(default = "first", skip_serializing_if = "is_first")]
    etcd_servers: u32,
    #[serde(default = "first", skip_serializing_if = "is_first")]
    etcd_clients: u32,
    #[serde(default = "first", skip_serializing_if = "is_first")]
    luks: u32,
    #[serde(default = "first", skip_serializing_if = "is_first")]
    k3s_token: u32,
    #[serde(default = "first", skip_serializing_if = "is_first")]
    join: u32,
    #[serde(default = "first", skip_serializing_if = "is_first")]
    backup: u32,
    #[serde(default = "first", skip_serializing_if = "is_first")]
    secure_boot: u32,
}

/// The epoch that every class starts with.
pub const FIRST_EPOCH: u32 = 1;

pub(crate) fn first() -> u32 {
    FIRST_EPOCH
}

// serde calls it with a reference
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(crate) fn is_first(epoch: &u32) -> bool {
    *epoch == FIRST_EPOCH
}

impl Default for Epochs {
    fn default() -> Self {
        Self {
            agents: FIRST_EPOCH,
            etcd_peers: FIRST_EPOCH,
            etcd_servers: FIRST_EPOCH,
            etcd_clients: FIRST_EPOCH,
            luks: FIRST_EPOCH,
            k3s_token: FIRST_EPOCH,
            join: FIRST_EPOCH,
            backup: FIRST_EPOCH,
            secure_boot: FIRST_EPOCH,
        }
    }
}

impl Epochs {
    /// The class's epoch today.
    pub fn of(&self, class: SecretClass) -> u32 {
        match class {
            SecretClass::Agents => self.agents,
            SecretClass::EtcdPeers => self.etcd_peers,
            SecretClass::EtcdServers => self.etcd_servers,
            SecretClass::EtcdClients => self.etcd_clients,
            SecretClass::Luks => self.luks,
            SecretClass::K3sToken => self.k3s_token,
            SecretClass::Join => self.join,
            SecretClass::Backup => self.backup,
            SecretClass::SecureBoot => self.secure_boot,
        }
    }

    /// These epochs with the class's raised by one.
    #[must_use]
    pub fn rotated(mut self, class: SecretClass) -> Self {
        let epoch = match class {
            SecretClass::Agents => &mut self.agents,
            SecretClass::EtcdPeers => &mut self.etcd_peers,
            SecretClass::EtcdServers => &mut self.etcd_servers,
            SecretClass::EtcdClients => &mut self.etcd_clients,
            SecretClass::Luks => &mut self.luks,
            SecretClass::K3sToken => &mut self.k3s_token,
            SecretClass::Join => &mut self.join,
            SecretClass::Backup => &mut self.backup,
            SecretClass::SecureBoot => &mut self.secure_boot,
        };
        *epoch = epoch.saturating_add(1);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_one_epoch_leaves_the_others() {
        for raised in SecretClass::ALL {
            let epochs = Epochs::default().rotated(raised);
            for class in SecretClass::ALL {
                assert_eq!(epochs.of(class), if class == raised { 2 } else { 1 });
            }
        }
    }
}
