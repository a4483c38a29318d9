//! Whether rustls, which agents and the manager speak, takes our certificates, whatever the clock says.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use cairn_model::address::Network;
use cairn_model::cluster::Cluster;
use cairn_vault::{Issued, Keyring, Leaf, PrivateKey, RootSeed, SigningRequest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use zeroize::Zeroizing;

fn cluster(seed: u8) -> (RootSeed, Cluster) {
    let seed = RootSeed::from_bytes(Zeroizing::new([seed; 32]));
    (seed, Cluster::new("home".parse().unwrap(), Network::choose(&[77; 32]), 3, 1, 0).unwrap())
}

fn roots(seed: u8) -> Arc<RootCertStore> {
    let (seed, cluster) = cluster(seed);
    let agents = Keyring::new(&seed, &cluster).agents().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(agents.certificate_der().to_vec())).unwrap();
    Arc::new(roots)
}

fn issued(seed: u8, leaf: &Leaf) -> (PrivateKey, Issued) {
    let (seed, cluster) = cluster(seed);
    let key = PrivateKey::generate().unwrap();
    let request = SigningRequest::of(&key).unwrap();
    let issued = Keyring::new(&seed, &cluster).issue(leaf, &request).unwrap();
    (key, issued)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Lets a manager of one cluster talk to a booted node of another.
fn talk(manager_cluster: u8, node_cluster: u8) -> Result<(), rustls::Error> {
    let (key, manager) = issued(manager_cluster, &Leaf::Manager);
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(manager_cluster))
        .with_client_auth_cert(
            vec![manager.certificate_der.into()],
            PrivatePkcs8KeyDer::from(key.to_der().to_vec()).into(),
        )?;
    let (key, node) = issued(node_cluster, &Leaf::Boot("etcd-1".parse().unwrap()));
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(node_cluster), provider()).build().unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![node.certificate_der.into()],
            PrivatePkcs8KeyDer::from(key.to_der().to_vec()).into(),
        )?;
    let name = ServerName::try_from("etcd-1.boot.cairn").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn manager_and_booted_node_of_one_cluster_talk() {
    assert_eq!(talk(1, 1), Ok(()));
}

#[test]
fn manager_and_node_of_two_clusters_of_one_name_do_not_talk() {
    assert!(talk(1, 2).is_err());
}

#[test]
fn a_certificate_is_good_in_1970_and_in_9999() {
    let (_, node) = issued(1, &Leaf::Node("etcd-1".parse().unwrap()));
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(1), provider()).build().unwrap();
    let name = ServerName::try_from("etcd-1.node.cairn").unwrap();
    for seconds in [0, 1_800_000_000, 253_402_300_799] {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let certificate = node.certificate_der.clone().into();
        verifier.verify_server_cert(&certificate, &[], &name, &[], now).unwrap();
    }
}

#[test]
fn a_booted_nodes_certificate_does_not_pass_for_a_running_one() {
    let (_, node) = issued(1, &Leaf::Boot("etcd-1".parse().unwrap()));
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(1), provider()).build().unwrap();
    let name = ServerName::try_from("etcd-1.node.cairn").unwrap();
    let certificate = node.certificate_der.into();
    assert!(verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now()).is_err());
}
