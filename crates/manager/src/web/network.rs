//! How machines reach the manager, in one sentence; the rest is under "Troubleshoot".

mod console;
mod scan;
mod wire;

use super::ui::{self, Tone, notice, state};
use super::words;
use crate::api::Status;
use crate::network::types::{DhcpServer, InterfaceStatus, NetworkReport, PortStatus};
use cairn_host::serial::Adapter;
use maud::{Markup, html};

pub use scan::{scan, section as scan_section};
pub use wire::machines_without_cairn;

pub fn content(status: &Status, report: &NetworkReport, adapters: &[Adapter]) -> Markup {
    let tone = match status.network.state.as_str() {
        "running" => Tone::Good,
        "refused" => Tone::Failed,
        "starting" => Tone::Working,
        _ => Tone::Off,
    };
    html! {
        header.page { h1 { "Network" } p.quiet { "How machines reach this manager." } }
        (notice(tone, &report.sentence))
        @if let Some(hidden) = &report.hidden { (notice(Tone::Attention, hidden)) }
        @for trouble in &report.troubles { (notice(Tone::Attention, trouble)) }
        section aria-labelledby="wire" {
            h2 #wire { "Machines that asked for an address" }
            @if report.machines.is_empty() {
                (ui::empty("None was heard yet", "A machine that is switched on asks within seconds, if its cable leads here."))
            } @else {
                ul.machines { @for machine in &report.machines { (wire::machine(machine)) } }
            }
        }
        h2 #troubleshoot { "Troubleshoot" }
        (secure_boot())
        (ports(&report.ports))
        (servers(&report.dhcp_servers))
        (interfaces(&report.interfaces))
        (console::consoles(adapters))
    }
}

/// For machines whose firmware trusts nobody but those whom their makers put there.
fn secure_boot() -> Markup {
    html! {
        details.fold #secure-boot {
            summary { h3 { "Secure Boot" } span.quiet { "a certificate for machines that have it on" } }
            p { "What your machines start is signed by your cluster. A machine with Secure Boot on starts it once its firmware has your cluster's certificate; one with Secure Boot off needs nothing." }
            ol {
                li { "Download the certificate and copy it to a stick with FAT, as sticks come. Media that are prepared here carry it already, as " code.word { "cairn/secure-boot.cer" } "." }
                li { "In the machine's firmware, under " em { "Secure Boot" } ", choose " em { "Custom" } " mode or " em { "Key Management" } "." }
                li { "Add the file to the " strong { "db" } " (" em { "Authorized Signatures" } ", " em { "Enroll from file" } ", " em { "Append" } "). Keep the keys that are there; leave " strong { "PK" } ", " strong { "KEK" } " and " strong { "dbx" } " alone." }
                li { "Save, and let it start from the network or the medium again." }
            }
            p { a.button href="/secure-boot/certificate" download { "Download the certificate" } }
            p.quiet { "It is no secret, and stays the same for as long as the cluster file does. Where a firmware takes no certificate, switch Secure Boot off there." }
        }
    }
}

fn ports(ports: &[PortStatus]) -> Markup {
    let foreign = |port: &&PortStatus| port.holders.iter().any(|holder| !holder.ours);
    html! {
        details.fold #ports open[ports.iter().any(|port| foreign(&port))] {
            summary { h3 { "Ports" } span.quiet {
                @match ports.iter().filter(foreign).count() { 0 => "nobody is in the way", _ => "held by somebody else" }
            } }
            ul.rows {
                @for port in ports {
                    @let number = format!("{} {}", port.protocol, port.port);
                    li {
                        strong { (number) } span.quiet { (port.purpose) }
                        @if port.holders.is_empty() { (state(Tone::Off, "free")) }
                        @for (at, holder) in port.holders.iter().enumerate() {
                            @if holder.ours { (state(Tone::Good, "held by this manager")) } @else {
                                (state(Tone::Attention, format!("held by {}", holder.process.as_deref().unwrap_or("a program that may not be looked at"))))
                                @if let Some(command) = &holder.command {
                                    @let id = format!("free-{}-{}-{at}", port.protocol, port.port);
                                    p.command { code id=(id) { (command) } (ui::copy_button(&id, "Copy")) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn servers(servers: &[DhcpServer]) -> Markup {
    html! {
        details.fold #servers {
            summary { h3 { "Other DHCP servers" } span.quiet {
                @if servers.is_empty() { "none was heard" } @else { (words::count(servers.len(), "server")) }
            } }
            ul.rows {
                @for server in servers {
                    li {
                        strong { (server.address) } span { "on " (server.interface) }
                        @if let Some(mac) = &server.mac { code { (mac) } }
                        span.quiet { (words::ago(server.seconds_ago)) }
                    }
                }
            }
        }
    }
}

fn interfaces(interfaces: &[InterfaceStatus]) -> Markup {
    html! {
        details.fold #interfaces {
            summary { h3 { "Network cards of the manager's machine" } span.quiet { (interfaces.len()) } }
            ul.rows {
                @for interface in interfaces {
                    li {
                        strong { (interface.name) } span { (interface.kind) }
                        @if interface.up { (state(Tone::Good, "connected")) } @else { (state(Tone::Off, "not connected")) }
                        @for address in &interface.addresses { code { (address) } }
                        @if let Some(gateway) = interface.gateway { span.quiet { "router " (gateway) } }
                        @for used in &interface.used_for { span.quiet { (used) } }
                    }
                }
            }
        }
    }
}
