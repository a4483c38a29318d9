//! What OpenSSL's command line, a second opinion, says about our keys and certificates.

#![cfg(test)]

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use cairn_model::address::Network;
use cairn_model::cluster::{Cluster, SecretClass};
use cairn_vault::{EtcdUser, Keyring, Leaf, PrivateKey, RootSeed, SigningRequest};
use zeroize::Zeroizing;

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
    text
}

fn refused_by_openssl(folder: &Path, arguments: &[&str]) -> bool {
    !Command::new("openssl").current_dir(folder).args(arguments).output().unwrap().status.success()
}

fn cluster() -> (RootSeed, Cluster) {
    let seed = RootSeed::from_bytes(Zeroizing::new([7; 32]));
    (seed, Cluster::new("home".parse().unwrap(), Network::choose(&[77; 32]), 3, 1, 0).unwrap())
}

fn leaves() -> [(&'static str, Leaf); 6] {
    let node = || "etcd-1".parse().unwrap();
    let address = Ipv4Addr::new(10, 77, 77, 10);
    [
        ("sslclient", Leaf::Manager),
        ("sslserver", Leaf::Boot(node())),
        ("sslclient", Leaf::Node(node())),
        ("sslserver", Leaf::EtcdServer(node(), address)),
        ("sslclient", Leaf::EtcdPeer(node(), address)),
        ("sslclient", Leaf::EtcdClient(EtcdUser::K3s)),
    ]
}

#[test]
fn every_leaf_verifies_against_its_authority_in_1970_today_and_in_9999() {
    let (seed, cluster) = cluster();
    let keyring = Keyring::new(&seed, &cluster);
    let folder = tempfile::tempdir().unwrap();
    let key = PrivateKey::generate().unwrap();
    let request = SigningRequest::of(&key).unwrap();
    for (purpose, leaf) in leaves() {
        let issued = keyring.issue(&leaf, &request).unwrap();
        std::fs::write(folder.path().join("ca.pem"), &issued.authority_pem).unwrap();
        std::fs::write(folder.path().join("leaf.pem"), &issued.certificate_pem).unwrap();
        // the last second of 9999 is 253402300799 seconds after 1970
        for time in ["1", "1800000000", "253402300798"] {
            let verify = [
                "verify",
                "-x509_strict",
                "-attime",
                time,
                "-purpose",
                purpose,
                "-CAfile",
                "ca.pem",
                "leaf.pem",
            ];
            openssl(folder.path(), &verify);
        }
    }
}

#[test]
fn a_leaf_does_not_verify_against_another_authority() {
    let (seed, cluster) = cluster();
    let keyring = Keyring::new(&seed, &cluster);
    let folder = tempfile::tempdir().unwrap();
    let request = SigningRequest::of(&PrivateKey::generate().unwrap()).unwrap();
    let client = keyring.issue(&Leaf::EtcdClient(EtcdUser::Etcdctl), &request).unwrap();
    std::fs::write(folder.path().join("leaf.pem"), client.certificate_pem).unwrap();
    for class in [SecretClass::Agents, SecretClass::EtcdPeers, SecretClass::EtcdServers] {
        std::fs::write(folder.path().join("ca.pem"), keyring.authority(class).unwrap().certificate_pem())
            .unwrap();
        assert!(refused_by_openssl(folder.path(), &["verify", "-CAfile", "ca.pem", "leaf.pem"]));
    }
}

#[test]
fn openssl_reads_our_keys_and_finds_the_key_of_the_certificate_in_them() {
    let (seed, cluster) = cluster();
    let folder = tempfile::tempdir().unwrap();
    let key = PrivateKey::generate().unwrap();
    let request = SigningRequest::of(&key).unwrap();
    let issued = Keyring::new(&seed, &cluster).issue(&Leaf::Manager, &request).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.to_pem().expose()).unwrap();
    std::fs::write(folder.path().join("leaf.pem"), issued.certificate_pem).unwrap();
    let of_key = openssl(folder.path(), &["pkey", "-in", "key.pem", "-pubout"]);
    let of_certificate = openssl(folder.path(), &["x509", "-in", "leaf.pem", "-noout", "-pubkey"]);
    assert_eq!(of_key, of_certificate);
}

#[test]
fn openssl_accepts_our_requests() {
    let folder = tempfile::tempdir().unwrap();
    let key = PrivateKey::generate().unwrap();
    std::fs::write(folder.path().join("request.pem"), key.signing_request().unwrap()).unwrap();
    openssl(folder.path(), &["req", "-in", "request.pem", "-verify", "-noout"]);
}

#[test]
fn names_and_addresses_are_those_that_the_manager_decided() {
    let (seed, cluster) = cluster();
    let keyring = Keyring::new(&seed, &cluster);
    let folder = tempfile::tempdir().unwrap();
    let request = SigningRequest::of(&PrivateKey::generate().unwrap()).unwrap();
    let expected = [
        "DNS:manager.cairn",
        "DNS:etcd-1.boot.cairn",
        "DNS:etcd-1.node.cairn",
        "DNS:etcd-1, DNS:localhost, IP Address:10.77.77.10, IP Address:127.0.0.1",
        "DNS:etcd-1, IP Address:10.77.77.10",
        "No extensions in certificate",
    ];
    for ((_, leaf), names) in leaves().into_iter().zip(expected) {
        let issued = keyring.issue(&leaf, &request).unwrap();
        std::fs::write(folder.path().join("leaf.pem"), &issued.certificate_pem).unwrap();
        let text = openssl(folder.path(), &["x509", "-in", "leaf.pem", "-noout", "-ext", "subjectAltName"]);
        assert!(text.contains(names), "{leaf:?}: {text}");
    }
}

#[test]
fn a_derivation_is_what_openssls_hkdf_gives() {
    let folder = tempfile::tempdir().unwrap();
    let seed = format!("hexkey:{}", "07".repeat(32));
    let label = "info:cairn/v1/k3s-token/1/token";
    let kdf =
        ["kdf", "-keylen", "32", "-kdfopt", "digest:SHA256", "-kdfopt", &seed, "-kdfopt", label, "HKDF"];
    let given = openssl(folder.path(), &kdf).trim().replace(':', "").to_lowercase();
    assert_eq!(given, include_str!("known-derivation.txt").trim());
    let (seed, cluster) = cluster();
    assert_eq!(Keyring::new(&seed, &cluster).k3s_token().expose(), given);
}
