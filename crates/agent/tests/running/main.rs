//! A running node, asked over TLS on real sockets.

#![cfg(test)]

mod artifacts;
mod own_disk;

use cairn_agent::running::node::Node;
use cairn_agent::running::shelf::Shelf;
use cairn_agent::state::NodeState;
use cairn_model::cluster::Role;
use cairn_model::node_config::{K3s, K3sRole, NodeConfig};
use cairn_vault::PrivateKey;
use cairn_wire::client::Client;
use cairn_wire::message::{Description, Request, Response};
use cairn_wire::server;
use cairn_wire::tls::{Callers, Expect, Identity};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;

fn config() -> NodeConfig {
    NodeConfig {
        cluster: "home".into(),
        name: "compute-1".into(),
        role: Role::Compute,
        address: [10, 81, 3, 20].into(),
        prefix_length: 24,
        manager_address: [10, 81, 3, 1].into(),
        etcd: Vec::new(),
        etcd_founding: false,
        k3s: Some(K3s { version: "v1.34.1+k3s1".into(), role: K3sRole::Server }),
    }
}

fn node(var_lib: &Path, shelf: Arc<Shelf>) -> Arc<Node> {
    Arc::new(Node::new(NodeState::on_volume(var_lib), shelf, config()))
}

async fn serve(node: Arc<Node>) -> Client {
    let key = PrivateKey::generate().unwrap();
    let identity = Identity::self_signed(&key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        server::serve(listener, &identity, &Callers::Anyone, node).await.unwrap();
    });
    let own = Identity::self_signed(&PrivateKey::generate().unwrap()).unwrap();
    Client::connect(address, &own, &Expect::Key(key.fingerprint())).await.unwrap()
}

async fn describe(client: &mut Client) -> Description {
    match client.ask(&Request::Describe).await.unwrap() {
        Response::Description(description) => *description,
        other => unreachable!("{other:?}"),
    }
}
