//! `cairn status`: how the cluster is, for people and for scripts.

use crate::client::{Client, Connection};
use crate::{exit, out};
use anyhow::Result;
use cairn_manager::api::{CheckResult, CheckStatus, NodeStatus, NodeVitals, Status};
use cairn_model::phase::Phase;
use cairn_model::vitals::ServiceState;
use std::fmt::Write;
use std::process::ExitCode;

/// Seconds by which a clock may be off before it is worth a word.
const CLOCK_OFF: i64 = 60;

/// Arguments of `cairn status`.
#[derive(Debug, clap::Args)]
pub struct StatusArguments {
    #[command(flatten)]
    connection: Connection,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When the manager can't be asked.
pub fn run(arguments: &StatusArguments) -> Result<ExitCode> {
    print(&arguments.connection.open()?, arguments.json)
}

/// # Errors
/// When the manager can't be asked.
pub fn print(client: &Client, json: bool) -> Result<ExitCode> {
    let answer = client.look("status")?;
    let healthy = if json {
        let status: Status = answer.exact()?;
        out::json(&status)?;
        status.healthy
    } else {
        let status: Status = answer.for_eyes()?;
        let checks: Vec<CheckStatus> = client.get("checks")?;
        out::text(&(in_words(&status) + &failed(&checks)))?;
        status.healthy
    };
    Ok(if healthy { ExitCode::SUCCESS } else { exit::not_well() })
}

/// Each check that did not go well: what was tried, what came back, what to do.
fn failed(checks: &[CheckStatus]) -> String {
    let mut text = String::new();
    for check in checks {
        let mark = match check.result {
            CheckResult::Good => continue,
            CheckResult::Waiting => '◐',
            CheckResult::Attention => '▲',
            CheckResult::Failed => '✗',
        };
        let _ = writeln!(text, "\n{mark} {}: {}\n    {}", check.subject, check.what, check.found);
        if let Some(advice) = &check.advice {
            let _ = writeln!(text, "    to do: {advice}");
        }
    }
    text
}

fn in_words(status: &Status) -> String {
    let mut text = String::new();
    let cluster = &status.cluster;
    if status.healthy {
        let _ = writeln!(text, "{} is healthy (generation {})", cluster.name, cluster.generation);
    } else {
        let _ = writeln!(text, "{} is not healthy (generation {}):", cluster.name, cluster.generation);
        for reason in &status.unhealthy_because {
            let _ = writeln!(text, "  - {reason}");
        }
    }
    let _ = writeln!(text, "\n{}", nodes(status).trim_end());
    if !status.etcd.members.is_empty() {
        let _ = writeln!(
            text,
            "\netcd: {} of {} members healthy",
            status.etcd.healthy,
            status.etcd.members.len()
        );
        for member in status.etcd.members.iter().filter(|m| !m.healthy) {
            let _ = writeln!(text, "  {}: {}", member.name, member.error.as_deref().unwrap_or("not healthy"));
        }
    }
    let _ = writeln!(text, "\nnetwork: {}", status.network.message);
    if let Some(error) = &status.network.address_error {
        let _ = writeln!(text, "  {error}");
    }
    text
}

/// A shape beside the word, for those who can't tell colours, and for pipes.
fn mark(phase: Phase) -> char {
    match phase {
        Phase::Running => '●',
        Phase::Absent => '○',
        Phase::Unreachable => '✗',
        Phase::Locked => '■',
        _ => '◐',
    }
}

/// The tables of nodes and of unknown machines.
pub fn nodes(status: &Status) -> String {
    let mut text = String::new();
    let width = status.nodes.iter().map(|n| n.name.len()).max().unwrap_or(0);
    for node in &status.nodes {
        let _ = writeln!(
            text,
            "{} {:width$}  {:11}  {:15}  {}",
            mark(node.phase),
            node.name,
            node.phase.to_string(),
            node.address.to_string(),
            facts(node)
        );
        for condition in &node.conditions {
            let _ = writeln!(text, "  {:width$}  {}", "", condition.message);
        }
        if let Some(start) = node.next_boot {
            let _ = writeln!(text, "  {:width$}  starts {start} at its next network boot", "");
        }
        for service in node.vitals.iter().flat_map(|vitals| &vitals.told.services) {
            if service.state == ServiceState::Failed {
                let _ = writeln!(text, "  {:width$}  {} failed; see `cairn node logs`", "", service.unit);
            }
        }
    }
    for machine in &status.machines {
        let code = machine.code.as_deref().map_or_else(String::new, |code| format!("code {code}  "));
        let _ = writeln!(text, "\n? {}  {}  {code}{}", machine.short_id, machine.phase, machine.product);
        for disk in machine.inventory.iter().flat_map(|inventory| &inventory.disks) {
            let _ = writeln!(text, "    {}  {:.1} GB  {}", disk.id, gigabytes(disk.size_bytes), disk.content);
        }
        if let Some(reason) = &machine.refused {
            let _ = writeln!(text, "    refused: {reason}");
        }
        if let Some(start) = machine.next_boot {
            let _ = writeln!(text, "    starts {start} at its next network boot");
        }
    }
    text
}

pub(crate) fn gigabytes(bytes: u64) -> f64 {
    // Exact enough for showing: a disk of 9 PB still has its bytes in a double.
    u32::try_from(bytes / 1_000_000).map_or(f64::INFINITY, |megabytes| f64::from(megabytes) / 1000.0)
}

fn facts(node: &NodeStatus) -> String {
    let mut facts = Vec::new();
    if node.encrypted {
        facts.push(if node.unlocked {
            "encrypted, unlocked".to_owned()
        } else {
            "encrypted, locked".to_owned()
        });
    }
    let mib = |bytes: u64| bytes / (1024 * 1024);
    match &node.vitals {
        Some(NodeVitals { told, clock_offset_seconds }) => {
            facts.push(format!("{} of {} MiB used", mib(told.memory_used), mib(told.memory_total)));
            if let Some(space) = told.data {
                facts.push(format!("{:.1} of {:.1} GB free", gigabytes(space.free), gigabytes(space.total)));
            }
            if clock_offset_seconds.abs() > CLOCK_OFF {
                let word = if *clock_offset_seconds > 0 { "ahead" } else { "behind" };
                facts.push(format!("clock {} s {word}", clock_offset_seconds.abs()));
            }
        }
        None if node.memory_used > 0 => facts.push(format!("{} MiB used", mib(node.memory_used))),
        None => {}
    }
    facts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::cluster::Role;
    use cairn_model::phase::Condition;

    #[test]
    fn what_is_not_healthy_stands_first_and_in_words() {
        let status = Status {
            unhealthy_because: vec!["etcd-1 is locked".into()],
            nodes: vec![NodeStatus {
                name: "etcd-1".into(),
                role: Role::Etcd,
                phase: Phase::Locked,
                conditions: vec![Condition::waiting("etcd waits for a majority of its members")],
                address: [10, 81, 3, 10].into(),
                enrolled: true,
                encrypted: true,
                unlocked: false,
                memory_used: 0,
                agent_resident: 0,
                vitals: None,
                next_boot: None,
                version: None,
                inventory: None,
                job: None,
            }],
            ..Status::default()
        };
        let text = in_words(&status);
        let reason = text.find("- etcd-1 is locked").unwrap();
        assert!(reason < text.find("■ etcd-1  locked").unwrap(), "{text}");
        assert!(text.contains("encrypted, locked") && text.contains("majority"));
    }
}
