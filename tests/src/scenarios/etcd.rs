//! etcd, asked by Debian's own `etcdctl` from inside the lab's network.

use crate::command::Answer;
use crate::world::{World, path};
use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For so long etcdctl goes on asking a member that refuses it.
const PATIENCE: &str = "5s";

/// Who asks.
struct Client {
    servers_ca: PathBuf,
    certificate: Option<(PathBuf, PathBuf)>,
}

/// What a client has in hand, below the scratch folder: the authority of the servers, its certificate and its key.
pub const CLIENT_FILES: [&str; 3] = ["servers-ca.crt", "client.crt", "etcd.key"];

/// Fetches a node's own from it.
pub fn client_files(world: &World, node: &str) -> Result<[PathBuf; 3]> {
    for file in CLIENT_FILES {
        let text = world.exec(node, &["cat", &format!("/var/lib/cairn/etcd/{file}")])?;
        std::fs::write(world.scratch.join(file), text + "\n")?;
    }
    Ok(CLIENT_FILES.map(|file| world.scratch.join(file)))
}

/// A client with the certificate of a node.
fn client_of(world: &World, node: &str) -> Result<Client> {
    let [servers_ca, certificate, key] = client_files(world, node)?;
    Ok(Client { servers_ca, certificate: Some((certificate, key)) })
}

pub fn endpoints(world: &World) -> Result<Vec<String>> {
    let nodes = world.status()?.nodes;
    let members = nodes.iter().filter(|node| node.name.starts_with("etcd-"));
    Ok(members.map(|node| format!("https://{}:2379", node.address)).collect())
}

fn etcdctl(world: &World, client: &Client, endpoint: &str, arguments: &[&str]) -> Result<Answer> {
    let mut command = world.lab()?.command("etcdctl");
    command.args(["--endpoints", endpoint, "--command-timeout", PATIENCE, "--dial-timeout", PATIENCE]);
    command.arg("--cacert").arg(&client.servers_ca);
    if let Some((certificate, key)) = &client.certificate {
        command.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
    world.run(command.env("ETCDCTL_API", "3").args(arguments))
}

pub fn members(world: &World) -> Result<()> {
    let client = client_of(world, "etcd-1")?;
    let endpoints = endpoints(world)?;
    let [first, .., last] = endpoints.as_slice() else { anyhow::bail!("too few members: {endpoints:?}") };
    world.until("three healthy members", Duration::from_secs(60), || {
        let words = etcdctl(world, &client, first, &["endpoint", "health", "--cluster"])?.words();
        ensure!(words.matches("is healthy").count() == 3 && !words.contains("unhealthy"), "{words}");
        Ok(())
    })?;
    let written = etcdctl(world, &client, first, &["put", "scenario", "written through the first"])?;
    ensure!(written.is_ok(), "a key could not be written: {}", written.words());
    let read = etcdctl(world, &client, last, &["get", "--print-value-only", "scenario"])?;
    ensure!(read.text() == "written through the first", "read through the last member: {}", read.words());
    for node in ["etcd-1", "etcd-2", "etcd-3"] {
        // told anew every ten seconds
        world.until(&format!("what {node} measured"), Duration::from_secs(60), || measured(world, node))?;
    }
    let swap = world.exec("etcd-1", &["swapon", "--show=NAME,SIZE", "--noheadings"])?;
    ensure!(swap.split_whitespace().eq(["/dev/zram0", "256M"]), "swap of a machine of 512 MB: {swap}");
    Ok(())
}

/// A member knows its drive since it was installed, its log since it wrote, and the way to the others.
fn measured(world: &World, node: &str) -> Result<()> {
    let vitals = world.node(node)?.vitals.context("it tells nothing")?.told;
    let etcd = vitals.etcd.context("it tells nothing of etcd")?;
    let drive = etcd.drive.context("its drive was not measured")?;
    ensure!(drive.median_us > 0 && drive.slowest_us >= drive.p99_us, "{drive:?}");
    ensure!(etcd.peers == 2 && etcd.log_p99_us.is_some() && etcd.round_trip_p99_us.is_some(), "{etcd:?}");
    ensure!(vitals.data_written.is_some_and(|bytes| bytes > 1 << 20), "{:?}", vitals.data_written);
    Ok(())
}

/// The term of each member, which every election ends.
pub fn terms(world: &World) -> Result<Vec<u64>> {
    let client = client_of(world, "etcd-1")?;
    let of = |endpoint: String| -> Result<u64> {
        let answer = etcdctl(world, &client, &endpoint, &["endpoint", "status", "--write-out", "json"])?;
        let told: serde_json::Value = serde_json::from_slice(&answer.stdout)?;
        let term = told.pointer("/0/Status/raftTerm").and_then(serde_json::Value::as_u64);
        term.ok_or_else(|| anyhow::anyhow!("{endpoint} tells no term: {}", answer.words()))
    };
    endpoints(world)?.into_iter().map(of).collect()
}

pub fn strangers(world: &World) -> Result<()> {
    let known = client_of(world, "etcd-1")?;
    let servers_ca = known.servers_ca.clone();
    let foreign = foreign_certificate(&world.scratch)?;
    let nobody = Client { servers_ca: servers_ca.clone(), certificate: None };
    let foreigner = Client { servers_ca, certificate: Some(foreign) };
    for (who, client, alerts) in [
        ("a client without a certificate", nobody, ["certificate required", "bad certificate"]),
        ("a client of another CA", foreigner, ["unknown ca", "bad certificate"]),
    ] {
        for endpoint in endpoints(world)? {
            let said = handshake(world, &client, &endpoint)?;
            ensure!(alerts.iter().any(|alert| said.contains(alert)), "{endpoint} said to {who}: {said}");
        }
        let endpoint = endpoints(world)?.into_iter().next().unwrap_or_default();
        let answer = etcdctl(world, &client, &endpoint, &["get", "--keys-only", "--from-key", ""])?;
        ensure!(!answer.is_ok(), "{endpoint} answered {who}: {}", answer.words());
    }
    // The same question with the right certificate: it was not the question that was refused.
    for endpoint in endpoints(world)? {
        let answer = etcdctl(world, &known, &endpoint, &["get", "--keys-only", "--from-key", ""])?;
        ensure!(answer.is_ok(), "{endpoint} refused a node: {}", answer.words());
    }
    Ok(())
}

/// What a member says to somebody who wants to talk TLS with it. One that is welcome is not told anything.
fn handshake(world: &World, client: &Client, endpoint: &str) -> Result<String> {
    let mut command = world.lab()?.command("openssl");
    command.args(["s_client", "-quiet", "-connect", endpoint.trim_start_matches("https://")]);
    command.arg("-CAfile").arg(&client.servers_ca);
    if let Some((certificate, key)) = &client.certificate {
        command.arg("-cert").arg(certificate).arg("-key").arg(key);
    }
    Ok(world.run(&mut command)?.words())
}

/// A client certificate as good as the cluster's own, but for its CA.
fn foreign_certificate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "etcd clients");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(authority, KeyPair::generate()?);
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name.push(DnType::CommonName, "root");
    leaf.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &issuer)?;
    let paths = (folder.join("foreign.crt"), folder.join("foreign.key"));
    std::fs::write(path(&paths.0)?, certificate.pem())?;
    std::fs::write(path(&paths.1)?, key.serialize_pem())?;
    Ok(paths)
}
