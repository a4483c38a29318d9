//! The kinds of certificates, and which authority issues which.

use std::net::{IpAddr, Ipv4Addr};

use cairn_model::cluster::{Name, SecretClass};

/// The name that the manager's certificate carries; no node can have it.
pub const MANAGER_NAME: &str = "manager.cairn";

/// What a certificate is for. Everything in it follows from this and the holder's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// The manager, to agents.
    Manager,
    /// A node whose volume is still locked, to the manager and to the nodes that help it to unlock.
    Boot(Name),
    /// A running node, to the manager and other nodes.
    Node(Name),
    /// An etcd member, to its clients.
    EtcdServer(Name, Ipv4Addr),
    /// An etcd member, to the other members.
    EtcdPeer(Name, Ipv4Addr),
    /// A client of etcd. Without any alternative name: etcd compares a client's with the address that it
    /// comes from.
    EtcdClient(EtcdUser),
}

/// Who a client of etcd is; etcd takes the common name for its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtcdUser {
    /// A k3s server.
    K3s,
    /// An agent.
    Agent,
    /// A person or a test at the command line.
    Etcdctl,
}

impl EtcdUser {
    /// The common name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::K3s => "k3s",
            Self::Agent => "cairn-agent",
            Self::Etcdctl => "etcdctl",
        }
    }
}

impl Leaf {
    /// The name of a locked node's certificate.
    pub fn boot_name(node: &Name) -> String {
        format!("{node}.boot.cairn")
    }

    /// The name of a running node's certificate.
    pub fn node_name(node: &Name) -> String {
        format!("{node}.node.cairn")
    }

    /// The authority that issues it. Separate ones, because etcd lets in every certificate of the one that it
    /// was given.
    pub fn authority(&self) -> SecretClass {
        match self {
            Self::Manager | Self::Boot(_) | Self::Node(_) => SecretClass::Agents,
            Self::EtcdServer(..) => SecretClass::EtcdServers,
            Self::EtcdPeer(..) => SecretClass::EtcdPeers,
            Self::EtcdClient(_) => SecretClass::EtcdClients,
        }
    }

    /// The common name, which etcd and people read; everyone else reads the alternative names.
    pub(crate) fn common_name(&self) -> &str {
        match self {
            Self::Manager => "manager",
            Self::Boot(node) | Self::Node(node) | Self::EtcdServer(node, _) | Self::EtcdPeer(node, _) => {
                node.as_str()
            }
            Self::EtcdClient(user) => user.as_str(),
        }
    }

    pub(crate) fn dns_names(&self) -> Vec<String> {
        match self {
            Self::Manager => vec![MANAGER_NAME.to_owned()],
            Self::Boot(node) => vec![Self::boot_name(node)],
            Self::Node(node) => vec![Self::node_name(node)],
            Self::EtcdServer(node, _) => vec![node.to_string(), "localhost".to_owned()],
            Self::EtcdPeer(node, _) => vec![node.to_string()],
            Self::EtcdClient(_) => Vec::new(),
        }
    }

    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        match self {
            Self::EtcdServer(_, address) => vec![IpAddr::from(*address), Ipv4Addr::LOCALHOST.into()],
            Self::EtcdPeer(_, address) => vec![IpAddr::from(*address)],
            Self::Manager | Self::Boot(_) | Self::Node(_) | Self::EtcdClient(_) => Vec::new(),
        }
    }

    /// A text that no two different certificates of one authority share, for the serial number.
    pub(crate) fn identity(&self) -> String {
        let addresses = self.addresses().into_iter().map(|address| address.to_string());
        let names: Vec<String> = self.dns_names().into_iter().chain(addresses).collect();
        format!("{}/{}", self.common_name(), names.join(","))
    }

    pub(crate) fn is_server(&self) -> bool {
        !matches!(self, Self::EtcdClient(_))
    }

    pub(crate) fn is_client(&self) -> bool {
        !matches!(self, Self::EtcdServer(..))
    }
}
