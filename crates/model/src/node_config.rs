//! What a node has to know to play its role: written by the manager, kept on the encrypted volume.

use crate::cluster::Role;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// The configuration of one node. Holds no secret but refers to certificates beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    pub cluster: String,
    pub name: String,
    pub role: Role,
    /// Fixed for the life of the node, whatever a router hands out.
    pub address: Ipv4Addr,
    pub prefix_length: u8,
    pub manager_address: Ipv4Addr,
    /// All etcd members that the cluster file names, in its order.
    pub etcd: Vec<EtcdMember>,
    /// Whether this node founds the etcd cluster or may only join one that exists. A member that
    /// comes back with an empty disk must never found a second one.
    pub etcd_founding: bool,
    /// What a compute node runs; `None` on all others.
    pub k3s: Option<K3s>,
}

/// The Kubernetes of a compute node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct K3s {
    /// The wanted release, such as `v1.33.1+k3s1`.
    pub version: String,
    pub role: K3sRole,
}

/// Up to three compute nodes are servers (and work too); the rest only work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum K3sRole {
    Server,
    /// Joins the server at this cluster address.
    Agent {
        server: Ipv4Addr,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdMember {
    pub name: String,
    pub address: Ipv4Addr,
}
