//! What the page's buttons do, other than approving.

use super::shell;
use crate::api::{self, Problem, Session, Shared};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

pub fn shown(result: Result<impl IntoResponse, Problem>, back: &str) -> Response {
    match result {
        Ok(answer) => answer.into_response(),
        Err(problem) => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            shell::problem(status, &[problem.detail], back)
        }
    }
}

pub fn page_of(node: &str) -> String {
    // what is no node's name would be no path either
    let is_name = node.parse::<cairn_model::cluster::Name>().is_ok();
    if is_name { format!("/nodes/{node}") } else { "/cluster".into() }
}

pub async fn restart(session: Session, state: State<Shared>, name: Path<String>) -> Response {
    let page = page_of(&name);
    shown(api::restart(session, state, api::Part(name.0)).await.map(|_| Redirect::to(&page)), &page)
}

pub async fn power_off(session: Session, state: State<Shared>, name: Path<String>) -> Response {
    let page = page_of(&name);
    shown(api::power_off(session, state, api::Part(name.0)).await.map(|_| Redirect::to(&page)), &page)
}

pub async fn shut_down(session: Session, state: State<Shared>) -> Response {
    shown(api::shut_down(session, state).await.map(|_| Redirect::to("/")), "/")
}

pub async fn start(session: Session, state: State<Shared>) -> Response {
    shown(api::start(session, state).await.map(|_| Redirect::to("/")), "/")
}

pub async fn remove(session: Session, state: State<Shared>, name: Path<String>) -> Response {
    let page = page_of(&name);
    shown(api::remove(session, state, api::Part(name.0)).await.map(|_| Redirect::to("/cluster")), &page)
}

pub async fn cluster_file(session: Session, state: State<Shared>) -> Response {
    shown(api::cluster_file(session, state).await, "/")
}

pub async fn kubeconfig(session: Session, state: State<Shared>) -> Response {
    shown(api::kubeconfig(session, state).await, "/cluster")
}

pub async fn certificate(session: Session, state: State<Shared>) -> Response {
    shown(api::certificate(session, state).await, "/network")
}
