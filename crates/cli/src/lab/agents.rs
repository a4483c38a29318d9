//! Nodes without a machine behind them: `cairn lab up --simulated N`.
//!
//! All of them are one process in the lab's network, `cairn lab agents`, which nobody types. It finds in a folder what
//! enrolled compute nodes have on their disks ([`identity`]), puts their cluster addresses on the loopback interface,
//! and answers there as running nodes do, over TLS ([`agent`]). The manager can't tell, and is not told. What takes a
//! machine they refuse.

mod agent;
pub mod identity;
mod journal;

use self::agent::Agent;
use super::manager::last_words;
use super::paths::Paths;
use crate::note;
use anyhow::{Context, Result, bail};
use cairn_lab::{Lab, ProcessSpec};
use cairn_netboot::link;
use std::ffi::OsString;
use std::path::Path;
use tokio::task::JoinSet;

const NAME: &str = "agents";
/// Every network namespace has it, and nothing but the manager has to come here.
const INTERFACE: &str = "lo";

/// Starts the process beside the lab's manager.
///
/// # Errors
/// When it can't be started.
pub fn start(lab: &Lab, paths: &Paths) -> Result<()> {
    let program = std::env::current_exe().context("this program can't find itself")?;
    let words = ["lab", NAME].map(OsString::from);
    let command = [vec![program.into_os_string()], words.into(), vec![paths.agents().into_os_string()]];
    lab.spawn(ProcessSpec::new(NAME, command.concat()))?;
    Ok(())
}

/// # Errors
/// When the process was started and is there no more, with its last words.
pub fn check(lab: &Lab) -> Result<()> {
    if lab.process_log(NAME).exists() && lab.process(NAME).is_none() {
        bail!("the nodes without machines ended; their last words: {}", last_words(lab, NAME));
    }
    Ok(())
}

/// Whether this node of the lab has no machine.
///
/// # Errors
/// When it can't be found out.
pub fn is_one(paths: &Paths, node: &str) -> Result<bool> {
    let folder = paths.agents();
    Ok(folder.exists() && identity::load(&folder)?.iter().any(|identity| identity.node.as_str() == node))
}

/// Serves all nodes of the folder, until each was powered off.
///
/// # Errors
/// When one of them can't listen.
pub fn serve(folder: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut serving = JoinSet::new();
        for identity in identity::load(folder)? {
            link::put(INTERFACE, identity.address, 32).await?;
            let node = identity.node.clone();
            let agent = Agent::new(identity, folder);
            let served = agent.listen().await.with_context(|| format!("{node} can't listen"))?;
            serving.spawn(served);
        }
        note!("{} nodes without machines are there", serving.len());
        while let Some(ended) = serving.join_next().await {
            ended.context("a node without a machine broke down")??;
        }
        Ok(())
    })
}
