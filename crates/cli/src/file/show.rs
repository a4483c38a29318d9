//! What `cairn file show` shows: everything that the file holds but its seed and what is derived from it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::net::Ipv4Addr;

use super::FileArguments;
use crate::out::json_text;
use cairn_model::address::Network;
use cairn_model::cluster::{Fingerprint, Name, Node, Role, SecretClass};
use cairn_vault::file::ClusterFile;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

/// Arguments of `cairn file show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    #[command(flatten)]
    file: FileArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ShowArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let ShowArguments { file, json } = arguments;
    let view = View::of(&file.open()?.file);
    if *json {
        writeln!(out, "{}", json_text(&view)?)?;
    } else {
        write!(out, "{view}")?;
    }
    Ok(())
}

/// The file, for eyes and scripts.
#[derive(Serialize)]
pub(super) struct View {
    name: Name,
    generation: u64,
    hash: String,
    parent: Option<String>,
    network: Network,
    manager_address: Ipv4Addr,
    etcd_formed: bool,
    k3s: String,
    epochs: BTreeMap<&'static str, u32>,
    nodes: Vec<NodeView>,
}

#[derive(Serialize)]
struct NodeView {
    name: Name,
    role: Role,
    address: Ipv4Addr,
    enrolled: bool,
    boot_key: Option<Fingerprint>,
    node_key: Option<Fingerprint>,
    luks_uuid: Option<Uuid>,
}

impl View {
    pub(super) fn of(file: &ClusterFile) -> Self {
        let cluster = file.cluster();
        let node = |node: &Node| {
            let machine = node.enrolled.as_ref();
            NodeView {
                name: node.name.clone(),
                role: node.role,
                address: cluster.address_of(node),
                enrolled: machine.is_some(),
                boot_key: machine.map(|it| it.boot),
                node_key: machine.and_then(|it| it.node),
                luks_uuid: machine.and_then(|it| it.luks),
            }
        };
        Self {
            name: cluster.name.clone(),
            generation: cluster.generation,
            hash: file.hash().to_owned(),
            parent: cluster.parent.clone(),
            network: cluster.network,
            manager_address: cluster.manager_address(),
            etcd_formed: cluster.etcd_formed,
            k3s: cluster.k3s.clone(),
            epochs: SecretClass::ALL.map(|class| (class.label(), cluster.epochs.of(class))).into(),
            nodes: cluster.nodes.iter().map(node).collect(),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, generation, hash, parent, network, manager_address, .. } = self;
        writeln!(f, "cluster     {name}")?;
        writeln!(f, "generation  {generation} ({hash})")?;
        if let Some(parent) = parent {
            writeln!(f, "made from   {parent}")?;
        }
        writeln!(f, "network     {network}, manager {manager_address}")?;
        writeln!(f, "etcd        {}", if self.etcd_formed { "founded" } else { "not founded yet" })?;
        writeln!(f, "k3s         {}", self.k3s)?;
        let rotated: Vec<String> = self
            .epochs
            .iter()
            .filter(|(_, epoch)| **epoch > 1)
            .map(|(class, epoch)| format!("{class} {epoch}"))
            .collect();
        if !rotated.is_empty() {
            writeln!(f, "epochs      {} (all others 1)", rotated.join(", "))?;
        }
        let width = self.nodes.iter().map(|node| node.name.as_str().len()).max().unwrap_or_default().max(4);
        writeln!(f, "\n{:width$}  {:8}{:17}{:14}VOLUME", "NODE", "ROLE", "ADDRESS", "MACHINE")?;
        for node in &self.nodes {
            let machine = if node.enrolled { "enrolled" } else { "expected" };
            let volume = node.luks_uuid.map_or_else(|| "-".to_owned(), |uuid| uuid.to_string());
            let (name, role, address) = (node.name.as_str(), node.role.as_str(), node.address.to_string());
            writeln!(f, "{name:width$}  {role:8}{address:17}{machine:14}{volume}")?;
        }
        Ok(())
    }
}
