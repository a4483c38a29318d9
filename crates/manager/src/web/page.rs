//! The main page.

use super::{layout, machines, nodes};
use crate::api::{Problem, Session, Shared, Status};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

/// Who has not logged in is sent to where that is done.
pub async fn page(session: Result<Session, Problem>, State(shared): State<Shared>) -> Response {
    if session.is_err() {
        return Redirect::to("/login").into_response();
    }
    let status = shared.core.status();
    let title = format!("{} · Cairn", status.cluster.name);
    layout::page(StatusCode::OK, &title, true, &content(&status))
}

/// What the script swaps in.
pub async fn fragment(_: Session, State(shared): State<Shared>) -> Response {
    (layout::headers(), content(&shared.core.status())).into_response()
}

pub fn content(status: &Status) -> Markup {
    html! {
        header.top {
            h1 { "Cairn " span.quiet { (status.cluster.name) } }
            form method="post" action="/logout" { button.plain type="submit" { "Log out" } }
        }
        main #main {
            p.lost-line role="alert" { "The manager does not answer; what stands here may be old." }
            (summary(status))
            (strangers(status))
            section aria-labelledby="nodes" {
                h2 #nodes { "Nodes" }
                ul.cards #node-cards { @for node in &status.nodes { (nodes::card(node)) } }
            }
            (nodes::etcd(&status.etcd))
            (network(status))
        }
    }
}

/// First of all: is all well, and if not, what is missing.
fn summary(status: &Status) -> Markup {
    html! {
        section.summary data-part="summary" aria-live="polite" {
            @if status.healthy {
                p.verdict.good { span aria-hidden="true" { "● " } "The cluster is healthy." }
            } @else {
                p.verdict.bad { span aria-hidden="true" { "▲ " } "The cluster is not healthy yet." }
                ul { @for reason in &status.unhealthy_because { li { (reason) } } }
            }
            p.quiet {
                "Generation " (status.cluster.generation) " of the cluster file: "
                a href="/cluster-file" { "keep it in your password manager" }
            }
        }
    }
}

fn strangers(status: &Status) -> Markup {
    html! {
        section aria-labelledby="machines" {
            h2 #machines { "Machines that are not nodes yet" }
            ul.cards #machine-cards {
                @if status.machines.is_empty() {
                    li.card data-part="no-machines" { p.quiet { "None is waiting. Switch one on and it appears here." } }
                }
                @for machine in &status.machines { (machines::card(machine, &status.nodes)) }
            }
        }
    }
}

fn network(status: &Status) -> Markup {
    let network = &status.network;
    html! {
        section data-part="network" aria-labelledby="network" {
            h2 #network { "Network" }
            p.condition.fault[network.state == "refused"] { (network.message) }
            @if let Some(error) = &network.address_error { p.condition.fault { (error) } }
        }
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
