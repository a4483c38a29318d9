//! What a machine is given to become a node. No I/O.

use cairn_model::cluster::{Cluster, Fingerprint, Name, Node, Role};
use cairn_model::node_config::{EtcdMember, K3s, K3sRole, NodeConfig};
use cairn_vault::file::ClusterFile;
use cairn_vault::{EtcdUser, IssueError, KeyError, Leaf, RosterError, SigningRequest};
use cairn_wire::message::{
    CertificateRequests, Certificates, EnrolOrder, EtcdCertificates, EtcdMemberCertificates, Target,
};
use uuid::Uuid;

/// More would only add traffic to etcd; fewer would be one accident from none.
const K3S_SERVERS: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("the machine's certificate requests can't be used")]
    Requests(#[from] KeyError),
    #[error("the machine asks for a certificate for another key than the one that it showed")]
    OtherKey,
    #[error("a certificate could not be issued")]
    Issue(#[from] IssueError),
    #[error("the roster could not be signed")]
    Roster(#[from] RosterError),
}

/// The machine's requests with their signatures checked.
pub struct Requests {
    pub boot: SigningRequest,
    pub node: SigningRequest,
    pub etcd: SigningRequest,
}

impl Requests {
    /// The boot request has to be for the very key that TLS proved.
    ///
    /// # Errors
    /// When one is no proper request, or the boot request is for another key.
    pub fn check(requests: &CertificateRequests, proven: &Fingerprint) -> Result<Self, OrderError> {
        let CertificateRequests { boot, node, etcd } = requests;
        let boot = SigningRequest::from_pem(boot)?;
        if boot.fingerprint() != *proven {
            return Err(OrderError::OtherKey);
        }
        Ok(Self { boot, node: SigningRequest::from_pem(node)?, etcd: SigningRequest::from_pem(etcd)? })
    }
}

/// What a node has to know of the cluster.
pub fn config(cluster: &Cluster, node: &Node) -> NodeConfig {
    let member = |node: &Node| EtcdMember { name: node.name.to_string(), address: cluster.address_of(node) };
    NodeConfig {
        cluster: cluster.name.to_string(),
        name: node.name.to_string(),
        role: node.role,
        address: cluster.address_of(node),
        prefix_length: cluster.network.prefix_length(),
        manager_address: cluster.manager_address(),
        etcd: cluster.nodes_of(Role::Etcd).map(member).collect(),
        etcd_founding: !cluster.etcd_formed,
        k3s: k3s(cluster, node),
    }
}

/// The first compute nodes of the file are servers, the rest work for the first of them.
fn k3s(cluster: &Cluster, node: &Node) -> Option<K3s> {
    let mut compute = cluster.nodes_of(Role::Compute);
    let place = compute.position(|other| other.name == node.name)?;
    let role = match cluster.nodes_of(Role::Compute).next() {
        Some(first) if place >= K3S_SERVERS => K3sRole::Agent { server: cluster.address_of(first) },
        _ => K3sRole::Server,
    };
    Some(K3s { version: cluster.k3s.clone(), role })
}

/// The whole order. The volume has to be in the file already: its key is bound to what stands there.
///
/// # Errors
/// When a certificate or the roster can't be made.
pub fn order(
    file: &ClusterFile,
    node: &Node,
    requests: &Requests,
    luks_uuid: Uuid,
    target: Target,
) -> Result<EnrolOrder, OrderError> {
    Ok(EnrolOrder {
        config: config(file.cluster(), node),
        target,
        certificates: certificates(file, node, requests)?,
        luks_uuid,
        recovery_key: file.keyring().recovery_key_of(luks_uuid).into_secret(),
        k3s_token: (node.role == Role::Compute).then(|| file.keyring().k3s_token()),
        roster: file.keyring().signed_roster()?,
    })
}

fn certificates(file: &ClusterFile, node: &Node, requests: &Requests) -> Result<Certificates, OrderError> {
    let keyring = file.keyring();
    let name = |node: &Node| -> Name { node.name.clone() };
    let address = file.cluster().address_of(node);
    let boot = keyring.issue(&Leaf::Boot(name(node)), &requests.boot)?;
    let running = keyring.issue(&Leaf::Node(name(node)), &requests.node)?;
    let user = match node.role {
        Role::Compute => EtcdUser::K3s,
        Role::Etcd | Role::Backup => EtcdUser::Agent,
    };
    let client = keyring.issue(&Leaf::EtcdClient(user), &requests.etcd)?;
    let servers_ca = keyring.authority(cairn_model::cluster::SecretClass::EtcdServers)?;
    let member = match node.role {
        Role::Compute | Role::Backup => None,
        Role::Etcd => {
            let server = keyring.issue(&Leaf::EtcdServer(name(node), address), &requests.etcd)?;
            let peer = keyring.issue(&Leaf::EtcdPeer(name(node), address), &requests.etcd)?;
            Some(EtcdMemberCertificates {
                clients_ca: client.authority_pem.clone(),
                server: server.certificate_pem,
                peers_ca: peer.authority_pem,
                peer: peer.certificate_pem,
            })
        }
    };
    Ok(Certificates {
        agents_ca: boot.authority_pem,
        boot: boot.certificate_pem,
        node: running.certificate_pem,
        etcd: EtcdCertificates {
            servers_ca: servers_ca.certificate_pem().to_owned(),
            client: client.certificate_pem,
            member,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_vault::PrivateKey;
    use cairn_wire::tls::{issued_for, pem_to_der};

    fn requests() -> (CertificateRequests, Fingerprint) {
        let [boot, node, etcd] = [(); 3].map(|()| PrivateKey::generate().unwrap());
        let [boot_pem, node, etcd] = [&boot, &node, &etcd].map(|key| key.signing_request().unwrap());
        (CertificateRequests { boot: boot_pem, node, etcd }, boot.fingerprint())
    }

    #[test]
    fn only_an_etcd_node_gets_the_certificates_of_a_member() {
        let file = ClusterFile::new("home".parse().unwrap(), 1, 1, 0).unwrap();
        let (requests, key) = requests();
        let requests = Requests::check(&requests, &key).unwrap();
        for node in &file.cluster().nodes {
            let order = order(&file, node, &requests, Uuid::nil(), Target::Medium).unwrap();
            assert_eq!(order.certificates.etcd.member.is_some(), node.role == Role::Etcd);
            assert!(order.config.etcd_founding && order.config.etcd.len() == 1);
            let boot = pem_to_der(&order.certificates.boot).unwrap();
            assert!(issued_for(&order.certificates.agents_ca, &boot, &Leaf::boot_name(&node.name)));
        }
    }

    #[test]
    fn the_first_three_compute_nodes_are_servers_and_the_rest_join_the_first() {
        let cluster =
            Cluster::new("home".parse().unwrap(), "10.87.33.0/24".parse().unwrap(), 1, 5, 0).unwrap();
        let roles: Vec<_> =
            cluster.nodes.iter().map(|node| k3s(&cluster, node).map(|k3s| k3s.role)).collect();
        let server = "10.87.33.11".parse().unwrap();
        let [server_role, agent] = [Some(K3sRole::Server), Some(K3sRole::Agent { server })];
        assert_eq!(roles, [None, server_role, server_role, server_role, agent, agent]);
    }

    #[test]
    fn a_request_for_another_key_than_the_proven_one_is_refused() {
        let (requests, _) = requests();
        let stranger = Fingerprint::from_bytes([1; 32]);
        assert!(matches!(Requests::check(&requests, &stranger), Err(OrderError::OtherKey)));
    }
}
