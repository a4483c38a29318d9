//! `cairn network`: what the manager sees of the network, and what is in the way.

use crate::client::Connection;
use anyhow::Result;
use cairn_manager::api::{
    DhcpServer, FoundMachine, InterfaceStatus, NetworkReport, PortStatus, ScanReport, ScanRequest, Stage,
    WireMachine,
};
use std::fmt::Write;

/// Arguments of `cairn network`.
#[derive(Debug, clap::Args)]
pub struct NetworkArguments {
    #[command(subcommand)]
    command: Option<NetworkCommand>,
    #[command(flatten)]
    connection: Connection,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum NetworkCommand {
    /// Look which machines and DHCP servers are on the network; takes a few seconds
    Scan {
        /// Where to look, if not on the interface that the manager uses
        #[arg(long, value_name = "INTERFACE")]
        interface: Option<String>,
    },
}

/// # Errors
/// When the manager can't be asked.
pub fn run(arguments: &NetworkArguments) -> Result<()> {
    let client = arguments.connection.open()?;
    match &arguments.command {
        None => client.look("network")?.print(arguments.json, in_words),
        Some(NetworkCommand::Scan { interface }) => {
            let request = ScanRequest { interface: interface.clone() };
            client.post("network/scan", &request)?.print(arguments.json, found)
        }
    }
}

fn found(report: &ScanReport) -> String {
    let ScanReport { interface, networks, machines, dhcp_servers, troubles, unix_seconds: _ } = report;
    let mut text = format!("On {interface} ({}), answers: {}\n", networks.join(", "), machines.len());
    for FoundMachine { address, mac, name, node, runs_cairn } in machines {
        let mark = if *runs_cairn { '●' } else { '○' };
        let cairn = runs_cairn.then(|| node.as_deref().unwrap_or("runs Cairn, no node yet"));
        let facts: Vec<&str> = name.as_deref().into_iter().chain(cairn).collect();
        let _ = writeln!(text, "  {mark} {address:15}  {mac}  {}", facts.join(", "));
    }
    dhcp_servers.iter().for_each(|it| server(&mut text, it));
    for trouble in troubles {
        let _ = writeln!(text, "  ! {trouble}");
    }
    text
}

fn server(text: &mut String, server: &DhcpServer) {
    let DhcpServer { interface, address, mac, seconds_ago } = server;
    let mac = mac.as_ref().map_or_else(String::new, |mac| format!(" ({mac})"));
    let _ =
        writeln!(text, "\nOn {interface} another DHCP server answers: {address}{mac}, {}", ago(*seconds_ago));
}

fn in_words(report: &NetworkReport) -> String {
    let mut text = format!("{}\n", report.sentence);
    for trouble in report.hidden.iter().chain(&report.troubles) {
        let _ = writeln!(text, "  ! {trouble}");
    }
    let _ = writeln!(text, "\nInterfaces of the manager's machine:");
    report.interfaces.iter().for_each(|it| interface(&mut text, it));
    report.dhcp_servers.iter().for_each(|it| server(&mut text, it));
    let _ = writeln!(text, "\nPorts that network boot needs:");
    report.ports.iter().for_each(|it| port(&mut text, it));
    if !report.machines.is_empty() {
        let _ = writeln!(text, "\nMachines that asked for an address:");
    }
    report.machines.iter().for_each(|it| machine(&mut text, it));
    text
}

fn interface(text: &mut String, interface: &InterfaceStatus) {
    let InterfaceStatus { name, kind, up, addresses, gateway, used_for, mac: _ } = interface;
    let mut facts = vec![kind.to_string(), if *up { "connected" } else { "not connected" }.to_owned()];
    facts.extend(addresses.iter().cloned());
    facts.extend(gateway.iter().map(|gateway| format!("router {gateway}")));
    facts.extend(used_for.iter().map(|what| format!("used for {what}")));
    let _ = writeln!(text, "  {} {name}: {}", if *up { '●' } else { '○' }, facts.join(", "));
}

fn port(text: &mut String, port: &PortStatus) {
    let PortStatus { protocol, port, purpose, holders } = port;
    if holders.is_empty() {
        let _ = writeln!(text, "  ○ {protocol} {port}, {purpose}: free");
    }
    for holder in holders {
        let who = match (&holder.process, holder.pid) {
            _ if holder.ours => "the manager itself".to_owned(),
            (Some(process), Some(pid)) => format!("{process} (process {pid})"),
            _ => "a process that can't be seen from here".to_owned(),
        };
        let command = match (&holder.command, holder.pid) {
            (Some(command), Some(_)) => format!("; `{command}` frees it"),
            (Some(command), None) => format!("; `{command}` names it"),
            (None, _) => String::new(),
        };
        let mark = if holder.ours { '●' } else { '▲' };
        let _ =
            writeln!(text, "  {mark} {protocol} {port}, {purpose}: {who}, on {}{command}", holder.address);
    }
}

fn machine(text: &mut String, machine: &WireMachine) {
    let mark = match machine {
        WireMachine { runs_cairn: true, .. } => '●',
        // Every telephone in the house is one of these: no reason to worry.
        WireMachine { stage: Stage::AddressOnly, .. } => '○',
        WireMachine { stuck: true, .. } => '▲',
        WireMachine { .. } => '◐',
    };
    let mut facts: Vec<String> = machine.node.iter().chain(&machine.architecture).cloned().collect();
    facts.extend(machine.address.map(|address| address.to_string()));
    facts.extend(machine.seconds_ago.map(|seconds| format!("asked {}", ago(seconds))));
    let _ = writeln!(text, "  {mark} {}  {}", machine.mac, facts.join(", "));
    let _ = writeln!(text, "      {}", machine.diagnosis);
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_said_with_the_command_that_clears_it() {
        let json = r#"{
            "mode": "own_cable", "sentence": "Network boot does not run on eth1.", "hidden": null,
            "interfaces": [{"name": "eth1", "kind": "wired", "up": true, "mac": null,
                "addresses": ["192.168.1.5/24"], "gateway": null, "used_for": ["network boot"]}],
            "dhcp_servers": [{"interface": "eth1", "address": "192.168.1.1", "mac": null, "seconds_ago": 300}],
            "ports": [{"protocol": "udp", "port": 67, "purpose": "addresses (DHCP)", "holders": [
                {"address": "0.0.0.0", "process": "dnsmasq", "pid": 7, "ours": false, "command": "virsh net-destroy default"},
                {"address": "10.0.0.1", "process": null, "pid": null, "ours": false, "command": "sudo ss -lunp"}]},
                {"protocol": "tcp", "port": 4280, "purpose": "boot files", "holders": []}],
            "machines": [{"mac": "52:54:00:00:00:01", "node": null, "runs_cairn": false, "architecture": "x86-64 UEFI",
                "seconds_ago": 12, "address": null, "fetch": null, "stage": "told", "stuck": true,
                "diagnosis": "It never came.", "story": []}],
            "last_scan": null, "troubles": []
        }"#;
        let text = in_words(&serde_json::from_str(json).unwrap());
        for words in [
            "Network boot does not run on eth1.\n",
            "● eth1: wired, connected, 192.168.1.5/24, used for network boot",
            "another DHCP server answers: 192.168.1.1, 5 min ago",
            "▲ UDP 67, addresses (DHCP): dnsmasq (process 7), on 0.0.0.0; `virsh net-destroy default` frees it",
            "can't be seen from here, on 10.0.0.1; `sudo ss -lunp` names it",
            "○ TCP 4280, boot files: free",
            "▲ 52:54:00:00:00:01  x86-64 UEFI, asked 12 s ago\n      It never came.",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
