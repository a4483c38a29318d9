//! Life in the running system: configure and start what the node is for, report, obey the manager.

pub mod etcd;
pub mod k3s;
pub mod metrics;
pub mod node;
pub mod peers;
pub mod shelf;

use crate::console::say;
use crate::state::NodeState;
use crate::{boot::BootDisk, clock, network, wifi};
use anyhow::{Context, Result};
use cairn_vault::PrivateKey;
use cairn_wire::announce::{Announcement, Announcer};
use cairn_wire::message::AgentState;
use cairn_wire::tls::{Callers, Identity};
use cairn_wire::{AGENT_PORT, server};
use cairn_workflow::log::chain;
use node::Node;
use shelf::Shelf;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// The node's own look at itself.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// # Errors
/// When the node's state is missing or damaged; the unit then tries again.
pub fn run() -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(live())
}

async fn live() -> Result<()> {
    let state = NodeState::on_volume(Path::new("/var"));
    let config = state.config().context("this node does not know what it is; reinstall it")?;
    if let Err(error) = clock::catch_up() {
        say(&format!("the clock stays as it is: {}", chain(&error)));
    }
    network::add_cluster_address(config.address, config.prefix_length)?;
    wifi::go_on((config.address, config.prefix_length));

    let key = state.text("node.key")?;
    let identity = Identity::from_pem(&state.text("node.crt")?, &key)?;
    let fingerprint = identity.fingerprint()?;
    let ca = state.text("agents-ca.crt")?;
    let callers = Callers::MembersOf { ca: ca.clone() };
    let name = config.name.clone();
    let _announcer = Announcer::start(&PrivateKey::from_pem(&key)?, move || Announcement {
        fingerprint,
        phase: AgentState::Running { node: name.clone() }.phase(),
        node: Some(name.clone()),
        port: AGENT_PORT,
        addresses: Vec::new(),
    })?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, AGENT_PORT))
        .await
        .with_context(|| format!("port {AGENT_PORT} can't be listened on"))?;
    say(&format!("{} is running ({} of `{}`, {})", config.name, config.role, config.cluster, config.address));

    let node = Arc::new(Node::new(state, Arc::new(Shelf::new(Path::new("/var/lib"))), config));
    node.find_own_disk(BootDisk::find);
    let serving = server::serve(listener, &identity, &callers, Arc::clone(&node));
    tokio::select! {
        result = serving => Ok(result?),
        () = look_after(&node) => Ok(()),
        () = peers::keep_time(&node, &identity, &ca) => Ok(()),
    }
}

/// Starts what is missing and looks at what runs, for ever.
async fn look_after(node: &Arc<Node>) {
    let mut blessed = false;
    let mut remember_at = Instant::now();
    loop {
        if Instant::now() >= remember_at {
            remember_at += clock::REMEMBER_EVERY;
            if let Err(error) = clock::remember() {
                tracing::warn!(because = chain(&error), "the time can't be remembered");
            }
        }
        let worker = Arc::clone(node);
        if tokio::task::spawn_blocking(move || worker.look_after()).await.is_err() {
            tracing::error!("looking after this node failed");
        }
        // What was started works: a power cut from here on says nothing against this version.
        if !blessed
            && node.is_sound()
            && let Some(disk) = node.own_disk().cloned()
        {
            blessed = true;
            let _ = tokio::task::spawn_blocking(move || bless(&disk)).await;
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

fn bless(disk: &BootDisk) {
    if let Err(error) = disk.bless() {
        say(&format!("this version can't be marked as good: {}", chain(&error)));
    }
}
