//! The scan of the local network, which happens only when the owner asks for it.

use crate::api::{Session, Shared};
use crate::network::types::{FoundMachine, NetworkReport, ScanReport, ScanRequest};
use crate::web::ui::{Tone, notice, state};
use crate::web::{shell, words};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use cairn_workflow::log::chain;
use maud::{Markup, html};

pub async fn scan(_: Session, State(shared): State<Shared>) -> Response {
    match crate::network::scan(&shared.core, &ScanRequest::default()).await {
        Ok(_) => Redirect::to("/discover#scan").into_response(),
        Err(refused) => shell::problem(StatusCode::CONFLICT, &[chain(&refused)], "/discover"),
    }
}

pub fn section(report: &NetworkReport) -> Markup {
    html! {
        section #scan aria-labelledby="scan-title" {
            h2 #scan-title { "Look around" }
            p.quiet { "Asks every address of the local network once. It takes some seconds, and the machines there notice nothing of it but a question." }
            form method="post" action="/discover/scan" { button.plain type="submit" { "Scan the local network" } }
            @if let Some(last) = &report.last_scan { (result(last)) }
        }
    }
}

fn result(scan: &ScanReport) -> Markup {
    let ScanReport { interface, networks, machines, dhcp_servers: _, troubles, unix_seconds } = scan;
    html! {
        p { "On " (interface) " ("
            @for (number, network) in networks.iter().enumerate() { @if number > 0 { ", " } (network) }
            ") " (words::count(machines.len(), "machine")) " answered, " (words::time(*unix_seconds)) }
        @for trouble in troubles { (notice(Tone::Attention, trouble)) }
        ul.rows { @for machine in machines { li { (found(machine)) } } }
    }
}

fn found(machine: &FoundMachine) -> Markup {
    html! {
        strong { (machine.address) } code { (machine.mac) }
        @if let Some(name) = &machine.name { span { (name) } }
        @match (&machine.node, machine.runs_cairn) {
            (Some(node), _) => a href={ "/nodes/" (node) } { (node) },
            (None, true) => (state(Tone::Good, "runs Cairn")),
            (None, false) => {}
        }
    }
}
