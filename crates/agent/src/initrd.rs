//! Life before the root: announced, enrolled, installed, locked, unlocked.
//!
//! ```text
//!  started from the network ──> Fresh ──approved──> Installing ──> Restarting ─ reboot ─┐
//!  started from a medium ─────> Joining ──enrolled──> Installing ──> Starting ──┐       │
//!  (an installer stick: Joining ──> Installing ──> Restarting, once it is taken out) ──┤
//!  started from an installed disk ─────────────────> Locked ──key──> Starting ──┤ <─────┘
//!                                                                     switch to the root
//! ```
//!
//! [`machine`] holds the state and answers the manager; [`start`] finds out where it begins;
//! [`enrol`] decides about an order, [`install`] carries it out.

pub mod download;
pub mod enrol;
pub mod exchange;
pub mod install;
pub mod machine;
pub mod start;
pub mod stick;

use crate::{command, console, network, wifi};
use anyhow::{Context, Result};
use cairn_wire::announce::{Announcement, Announcer};
use cairn_wire::tls::{Callers, Identity};
use cairn_wire::{AGENT_PORT, server};
use machine::{End, Machine};
use start::Start;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// So that a person who comes later reads it too.
const REMIND: Duration = Duration::from_secs(60);

/// # Errors
/// When the machine can't be reached or written to at all; the unit then restarts it.
pub fn run() -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(live())
}

async fn live() -> Result<()> {
    let (start, disk) = tokio::task::spawn_blocking(start::find).await??;
    if let Some(disk) = disk.clone() {
        tokio::task::spawn_blocking(move || network::begin(&disk)).await?;
    }
    let (identity, callers) = match &start {
        Start::Fresh { keys, .. } => (Identity::self_signed(&keys.boot)?, Callers::Anyone),
        Start::Joining { keys, material, .. } => {
            (Identity::self_signed(&keys.boot)?, Callers::ManagerOf { ca: material.authority_pem.clone() })
        }
        Start::Locked { identity } => {
            network::add_cluster_address(identity.address, identity.prefix_length)?;
            if let Some(disk) = &disk
                && let Err(error) = disk.restore_attempt()
            {
                console::say(&format!("the boot counter can't be written: {error}"));
            }
            let callers = Callers::ManagerOf { ca: identity.agents_ca.clone() };
            (Identity::from_pem(&identity.certificate, identity.key.expose())?, callers)
        }
    };
    if let Some(disk) = &disk {
        let address = match &start {
            Start::Locked { identity } => Some((identity.address, identity.prefix_length)),
            Start::Fresh { .. } | Start::Joining { .. } => None,
        };
        wifi::begin(disk, address);
    }
    let fingerprint = identity.fingerprint()?;
    let key = start.boot_key()?;
    let machine = Arc::new(Machine::new(start, disk, fingerprint));
    machine.explain();
    let _announcer = Announcer::start(&key, {
        let machine = Arc::clone(&machine);
        move || {
            let state = machine.state();
            Announcement {
                fingerprint,
                phase: state.phase(),
                node: state.node().map(str::to_owned),
                port: AGENT_PORT,
                addresses: Vec::new(),
            }
        }
    })?;
    listen_at_console(&machine);
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, AGENT_PORT))
        .await
        .with_context(|| format!("port {AGENT_PORT} can't be listened on"))?;
    let serving = server::serve(listener, &identity, &callers, Arc::clone(&machine));
    let end = tokio::select! {
        result = serving => { result?; End::Restart }
        end = machine.ended() => end,
        () = remind(&machine) => End::Restart,
    };
    match end {
        // The unit ends well, and systemd goes on to the root.
        End::SwitchRoot => {
            wifi::drivers::give_back();
            Ok(())
        }
        End::Restart => systemctl("reboot").await,
        End::PowerOff => systemctl("poweroff").await,
    }
}

/// Asks systemd for it, and waits to be ended by it.
async fn systemctl(verb: &'static str) -> Result<()> {
    tokio::task::spawn_blocking(move || command::run("systemctl", &["--no-block", verb], b"")).await??;
    std::future::pending().await
}

async fn remind(machine: &Machine) {
    loop {
        tokio::time::sleep(REMIND).await;
        machine.explain();
    }
}

/// The recovery key always works by hand.
fn listen_at_console(machine: &Arc<Machine>) {
    if !machine.is_locked() {
        return;
    }
    let machine = Arc::clone(machine);
    console::on_line(move |line| machine.typed(&line));
}
