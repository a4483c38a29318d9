//! Asks the etcd members how they are, as one of their clients.

use crate::core::Core;
use cairn_model::cluster::{Cluster, Role};
use cairn_model::phase::Phase;
use cairn_vault::file::ClusterFile;
use cairn_vault::{EtcdUser, IssueError, KeyError, Leaf, PrivateKey, SigningRequest};
use cairn_workflow::log::chain;
use rustls::crypto::ring;
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, interval};
use ureq::tls::{Certificate, ClientCert, PrivateKey as TlsKey, RootCerts, TlsConfig, TlsProvider};

const EVERY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(4);
const PORT: u16 = 2379;

/// What was last seen of etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdView {
    pub members: Vec<Member>,
}

/// One place of the cluster file, and what answered there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// As etcd lists it, once any member lists it.
    pub id: Option<String>,
    pub peer_url: Option<String>,
    /// Why it is not healthy.
    pub error: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    #[error("no key for asking etcd could be made")]
    Key(#[from] KeyError),
    #[error("no certificate for asking etcd could be issued")]
    Issue(#[from] IssueError),
    #[error("the certificate for asking etcd can't be used")]
    Tls(#[source] ureq::Error),
    #[error("it does not answer")]
    Http(#[source] ureq::Error),
    #[error("it says that it is not healthy: {0}")]
    Unhealthy(String),
}

#[derive(Deserialize)]
struct Health {
    health: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    members: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "peerURLs")]
    peer_urls: Vec<String>,
}

/// With a certificate that lets it ask.
fn client(file: &ClusterFile) -> Result<ureq::Agent, EtcdError> {
    let key = PrivateKey::generate()?;
    let keyring = file.keyring();
    let issued = keyring.issue(&Leaf::EtcdClient(EtcdUser::Agent), &SigningRequest::of(&key)?)?;
    let servers = keyring.authority(cairn_model::cluster::SecretClass::EtcdServers)?;
    let certificate = |pem: &str| Certificate::from_pem(pem.as_bytes()).map_err(EtcdError::Tls);
    let tls_key = TlsKey::from_pem(key.to_pem().expose().as_bytes()).map_err(EtcdError::Tls)?;
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&[certificate(servers.certificate_pem())?]))
        .client_cert(Some(ClientCert::new_with_certs(&[certificate(&issued.certificate_pem)?], tls_key)))
        .build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        // nodes are in this very network
        .proxy(None)
        .build();
    Ok(config.into())
}

fn health(agent: &ureq::Agent, address: Ipv4Addr) -> Result<(), EtcdError> {
    let url = format!("https://{address}:{PORT}/health");
    let mut answer = agent.get(&url).call().map_err(EtcdError::Http)?;
    let Health { health, reason } = answer.body_mut().read_json().map_err(EtcdError::Http)?;
    if health == "true" { Ok(()) } else { Err(EtcdError::Unhealthy(reason)) }
}

fn list(agent: &ureq::Agent, address: Ipv4Addr) -> Result<Vec<Listed>, EtcdError> {
    let url = format!("https://{address}:{PORT}/v3/cluster/member/list");
    let mut answer = agent.post(&url).send_json(serde_json::json!({})).map_err(EtcdError::Http)?;
    Ok(answer.body_mut().read_json::<Members>().map_err(EtcdError::Http)?.members)
}

/// Blocks for as long as the slowest member takes.
fn look(agent: &ureq::Agent, places: &[(String, Ipv4Addr)]) -> EtcdView {
    let answers: Vec<Result<(), EtcdError>> = std::thread::scope(|scope| {
        let asked: Vec<_> =
            places.iter().map(|(_, address)| scope.spawn(|| health(agent, *address))).collect();
        let lost = |_| Err(EtcdError::Unhealthy("the question broke off".to_owned()));
        asked.into_iter().map(|answer| answer.join().unwrap_or_else(lost)).collect()
    });
    let healthy = places.iter().zip(&answers).find(|(_, answer)| answer.is_ok());
    let listed = healthy.and_then(|((_, address), _)| list(agent, *address).ok()).unwrap_or_default();
    let member = |((name, _), answer): (&(String, Ipv4Addr), Result<(), EtcdError>)| {
        let known = listed.iter().find(|listed| listed.name == *name);
        Member {
            name: name.clone(),
            id: known.map(|listed| listed.id.clone()),
            peer_url: known.and_then(|listed| listed.peer_urls.first().cloned()),
            error: answer.err().map(|error| chain(&error)),
        }
    };
    EtcdView { members: places.iter().zip(answers).map(member).collect() }
}

fn places(cluster: &Cluster) -> Vec<(String, Ipv4Addr)> {
    cluster.nodes_of(Role::Etcd).map(|node| (node.name.to_string(), cluster.address_of(node))).collect()
}

fn unreachable(cluster: &Cluster) -> EtcdView {
    let error = format!(
        "it can't be asked, because this manager has not got its cluster address {} on any interface; name one with --interface",
        cluster.manager_address()
    );
    let member = |(name, _)| Member { name, id: None, peer_url: None, error: Some(error.clone()) };
    EtcdView { members: places(cluster).into_iter().map(member).collect() }
}

/// Whether anyone is there to be asked.
fn any_running(core: &Core, cluster: &Cluster) -> bool {
    let (registry, now) = (core.registry(), Instant::now());
    cluster.nodes_of(Role::Etcd).any(|node| {
        registry.machine_of(&node.name, cluster).is_some_and(|machine| machine.phase(now) == Phase::Running)
    })
}

/// Looks while any etcd node runs, and writes into the cluster file when all of them have come together
/// for the first time: from then on none may found the cluster again.
pub async fn watch(core: Arc<Core>) -> Result<(), EtcdError> {
    let agent = client(&core.book.file())?;
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let file = core.book.file();
        if !any_running(&core, file.cluster()) {
            *core.etcd() = EtcdView::default();
            continue;
        }
        if !crate::network::is_ours(file.cluster().manager_address()) {
            *core.etcd() = unreachable(file.cluster());
            continue;
        }
        let (agent, places) = (agent.clone(), places(file.cluster()));
        let Ok(view) = tokio::task::spawn_blocking(move || look(&agent, &places)).await else { continue };
        let formed = !view.members.is_empty()
            && view.members.iter().all(|member| member.error.is_none() && member.id.is_some());
        *core.etcd() = view;
        if formed
            && !file.cluster().etcd_formed
            && let Err(error) = core.book.write_down(|cluster| Ok(cluster.with_etcd_formed())).await
        {
            tracing::warn!(error = chain(&error), "that etcd was founded could not be written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_can_be_made_from_the_cluster_file() {
        let file = ClusterFile::new("home".parse().unwrap(), 3, 0, 0).unwrap();
        assert!(client(&file).is_ok());
        assert_eq!(places(file.cluster()).len(), 3);
    }

    #[test]
    fn what_etcd_answers_is_understood() {
        let text = r#"{"header":{"cluster_id":"1"},"members":[{"ID":"42","name":"etcd-1","peerURLs":["https://10.1.2.10:2380"],"clientURLs":[]}]}"#;
        let members: Members = serde_json::from_str(text).unwrap();
        assert_eq!((members.members[0].id.as_str(), members.members[0].name.as_str()), ("42", "etcd-1"));
        let health: Health = serde_json::from_str(r#"{"health":"true","reason":""}"#).unwrap();
        assert_eq!(health.health, "true");
    }
}
