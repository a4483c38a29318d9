//! What a node without a machine knows of itself: what the disk of a real one holds once it is enrolled.

use crate::private;
use anyhow::{Context, Result};
use cairn_model::cluster::{Cluster, EditError, Name};
use cairn_model::secret::Secret;
use cairn_vault::file::ClusterFile;
use cairn_vault::{Leaf, PrivateKey, SigningRequest};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::Path;
use uuid::Uuid;

const FILE: &str = "identities.json";

/// Certificates and the key in PEM.
#[derive(Serialize, Deserialize)]
pub struct Identity {
    pub node: Name,
    pub address: Ipv4Addr,
    pub luks: Uuid,
    pub boot_certificate: String,
    pub certificate: String,
    pub authority: String,
    pub key: Secret,
}

/// Gives these places of the file to nodes without machines: the next generation, and who they are.
///
/// # Errors
/// When the file has no such place, or it is taken.
pub fn enrol(file: &ClusterFile, names: &[Name]) -> Result<(ClusterFile, Vec<Identity>)> {
    let made =
        |name: &Name| Ok((name.clone(), PrivateKey::generate()?, PrivateKey::generate()?, Uuid::new_v4()));
    let made = names.iter().map(made).collect::<Result<Vec<_>>>()?;
    let enrolled = file.next(|cluster: Cluster| {
        made.iter().try_fold(cluster, |cluster, (name, boot, key, luks)| {
            let cluster = cluster.with_enrolled(name, boot.fingerprint())?;
            cluster.with_node_key(name, key.fingerprint())?.with_volume(name, *luks)
        })
    })?;
    let keyring = enrolled.keyring();
    let identity = |(node, boot, key, luks): (Name, PrivateKey, PrivateKey, Uuid)| {
        let place = enrolled.cluster().node(&node).ok_or_else(|| EditError::NoSuchNode(node.clone()))?;
        let boot = keyring.issue(&Leaf::Boot(node.clone()), &SigningRequest::of(&boot)?)?;
        let own = keyring.issue(&Leaf::Node(node.clone()), &SigningRequest::of(&key)?)?;
        Ok(Identity {
            address: enrolled.cluster().address_of(place),
            luks,
            boot_certificate: boot.certificate_pem,
            certificate: own.certificate_pem,
            authority: own.authority_pem,
            key: key.to_pem(),
            node,
        })
    };
    let identities = made.into_iter().map(identity).collect::<Result<Vec<_>>>()?;
    Ok((enrolled, identities))
}

/// # Errors
/// When there are some already, or they can't be written.
pub fn store(folder: &Path, identities: &[Identity]) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    private::create(&folder.join(FILE), |file| Ok(serde_json::to_writer(file, identities)?))
}

/// # Errors
/// When they can't be read.
pub fn load(folder: &Path) -> Result<Vec<Identity>> {
    let path = folder.join(FILE);
    let text = std::fs::read(&path).with_context(|| format!("{} can't be read", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} can't be understood", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::cluster::Role;

    #[test]
    fn they_are_enrolled_as_the_file_says_and_the_other_places_stay_free() {
        let file = ClusterFile::new("lab".parse().unwrap(), 1, 3, 0).unwrap();
        let names = ["compute-2", "compute-3"].map(|name| name.parse::<Name>().unwrap());
        let (enrolled, identities) = enrol(&file, &names).unwrap();
        let taken = |name: &&Name| enrolled.cluster().node(name).unwrap().enrolled.is_some();
        let all: Vec<Name> = enrolled.cluster().nodes.iter().map(|node| node.name.clone()).collect();
        assert_eq!(all.iter().filter(taken).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        assert_eq!(enrolled.cluster().nodes_of(Role::Etcd).count(), 1);

        let folder = tempfile::tempdir().unwrap();
        store(folder.path(), &identities).unwrap();
        for (identity, name) in load(folder.path()).unwrap().iter().zip(&names) {
            let place = enrolled.cluster().node(name).unwrap();
            let machine = place.enrolled.as_ref().unwrap();
            let key = PrivateKey::from_pem(identity.key.expose()).unwrap();
            assert_eq!((&identity.node, machine.node), (name, Some(key.fingerprint())));
            assert_eq!(identity.address, enrolled.cluster().address_of(place));
            assert_eq!(machine.luks, Some(identity.luks));
        }
    }

    #[test]
    fn a_place_that_is_not_there_is_refused() {
        let file = ClusterFile::new("lab".parse().unwrap(), 0, 1, 0).unwrap();
        assert!(enrol(&file, &["compute-2".parse().unwrap()]).is_err());
    }
}
