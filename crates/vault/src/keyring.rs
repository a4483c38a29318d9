//! Every secret of a cluster, by name: what the manager asks for instead of deriving it itself.

use cairn_model::cluster::{Cluster, Epochs, FIRST_EPOCH, Fingerprint, Name, Roster, SecretClass};
use cairn_model::secret::Secret;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::authority::{Authority, IssueError, Issued};
use crate::derive::derive;
use crate::join::{JoinKey, JoinMaterial, JoinTerms, Onto};
use crate::key::{PrivateKey, SigningRequest, fingerprint_of};
use crate::leaf::Leaf;
use crate::recovery::RecoveryKey;
use crate::roster::{RosterError, SignedRoster};
use crate::seed::RootSeed;

/// The secrets that follow from a seed and a cluster's epochs. Made by
/// [`ClusterFile::keyring`](crate::file::ClusterFile::keyring).
pub struct Keyring<'a> {
    seed: &'a RootSeed,
    cluster: &'a Cluster,
}

impl<'a> Keyring<'a> {
    /// The secrets of this cluster.
    pub fn new(seed: &'a RootSeed, cluster: &'a Cluster) -> Self {
        Self { seed, cluster }
    }

    /// One of the four authorities, as it is today.
    ///
    /// # Errors
    ///
    /// When the class is none of an authority's, or its certificate can't be encoded.
    pub fn authority(&self, class: SecretClass) -> Result<Authority, IssueError> {
        match class {
            SecretClass::Agents
            | SecretClass::EtcdPeers
            | SecretClass::EtcdServers
            | SecretClass::EtcdClients => {}
            SecretClass::Luks
            | SecretClass::K3sToken
            | SecretClass::Join
            | SecretClass::Backup
            | SecretClass::SecureBoot => return Err(IssueError::WrongAuthority(class)),
        }
        let epoch = self.epochs().of(class);
        let key = PrivateKey::from_secret(&derive(self.seed, class, epoch, "authority"))?;
        Authority::new(&self.cluster.name, class, epoch, key)
    }

    /// The authority of agents and the manager.
    ///
    /// # Errors
    ///
    /// When its certificate can't be encoded.
    pub fn agents(&self) -> Result<Authority, IssueError> {
        self.authority(SecretClass::Agents)
    }

    /// What nodes know the cluster by: the fingerprint of the agents' authority.
    ///
    /// # Errors
    ///
    /// As [`Self::agents`].
    pub fn identity(&self) -> Result<Fingerprint, IssueError> {
        Ok(fingerprint_of(&self.agents()?.public_key_der()))
    }

    /// A certificate, from the authority that issues its kind.
    ///
    /// # Errors
    ///
    /// When it can't be encoded.
    pub fn issue(&self, leaf: &Leaf, request: &SigningRequest) -> Result<Issued, IssueError> {
        self.authority(leaf.authority())?.issue(leaf, request)
    }

    /// The roster of this generation, signed by the agents' authority.
    ///
    /// # Errors
    ///
    /// When the authority or the roster can't be encoded.
    pub fn signed_roster(&self) -> Result<SignedRoster, RosterError> {
        SignedRoster::sign(&Roster::of(self.cluster), &self.agents()?)
    }

    /// The recovery key of the volume with this LUKS UUID, made in this epoch; a reinstalled volume has
    /// another UUID and so another key.
    pub fn recovery_key(&self, luks: Uuid, epoch: u32) -> RecoveryKey {
        RecoveryKey::from_secret(&derive(self.seed, SecretClass::Luks, epoch, &luks.to_string()))
    }

    /// The recovery key of the volume with this LUKS UUID: of the epoch that the file names for it, else of
    /// today's.
    pub fn recovery_key_of(&self, luks: Uuid) -> RecoveryKey {
        let machines = self.cluster.nodes.iter().filter_map(|node| node.enrolled.as_ref());
        let known = machines.filter(|machine| machine.luks == Some(luks)).map(|it| it.luks_epoch).next();
        self.recovery_key(luks, known.unwrap_or_else(|| self.epochs().of(SecretClass::Luks)))
    }

    /// Today's k3s token.
    pub fn k3s_token(&self) -> Secret {
        self.k3s_token_of(self.epochs().of(SecretClass::K3sToken))
    }

    /// All k3s tokens there have been, the newest first: an etcd snapshot needs the one of its day.
    pub fn k3s_tokens(&self) -> impl Iterator<Item = Secret> {
        let newest = self.epochs().of(SecretClass::K3sToken);
        (FIRST_EPOCH..=newest).rev().map(|epoch| self.k3s_token_of(epoch))
    }

    /// The password of the backup repository at a site.
    pub fn backup_password(&self, site: &Name) -> Secret {
        let epoch = self.epochs().of(SecretClass::Backup);
        hex_secret(&derive(self.seed, SecretClass::Backup, epoch, site.as_str()))
    }

    /// From which the key follows that signs what machines with Secure Boot start.
    pub fn secure_boot(&self) -> Zeroizing<[u8; 32]> {
        derive(self.seed, SecretClass::SecureBoot, self.epochs().of(SecretClass::SecureBoot), "signing")
    }

    /// The key of a prepared medium. Nothing of it is stored: the machine repeats the terms, and the same
    /// terms derive the same key.
    pub fn join_key(&self, terms: &JoinTerms) -> JoinKey {
        let epoch = self.epochs().of(SecretClass::Join);
        JoinKey::from_secret(derive(self.seed, SecretClass::Join, epoch, &terms.context()))
    }

    /// All that a prepared medium carries.
    ///
    /// # Errors
    ///
    /// As [`Self::agents`].
    pub fn join_material(
        &self,
        node: &Name,
        key_id: Uuid,
        expires: u64,
        onto: Onto,
    ) -> Result<JoinMaterial, IssueError> {
        let agents = self.agents()?;
        let cluster = fingerprint_of(&agents.public_key_der());
        let terms = JoinTerms { cluster, node: node.clone(), key_id, expires, onto };
        Ok(JoinMaterial {
            cluster_name: self.cluster.name.clone(),
            role: self.cluster.node(node).map(|node| node.role),
            authority_pem: agents.certificate_pem().to_owned(),
            join_key: self.join_key(&terms),
            terms,
        })
    }

    fn epochs(&self) -> &Epochs {
        &self.cluster.epochs
    }

    fn k3s_token_of(&self, epoch: u32) -> Secret {
        hex_secret(&derive(self.seed, SecretClass::K3sToken, epoch, "token"))
    }
}

fn hex_secret(bytes: &[u8; 32]) -> Secret {
    Secret::new(hex::encode(bytes))
}

#[cfg(test)]
mod tests;
