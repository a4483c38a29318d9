//! Each page at its own address.

use super::shell::{Page, Place, problem};
use super::ui::{Tone, notice};
use super::visitor::Visitor;
use super::{artifacts, cluster, discover, media, network, node, overview};
use crate::api::{Shared, Status};
use crate::network::look;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use cairn_artifacts::pull::SUBJECT;
use cairn_workflow::log::chain;
use maud::Markup;
use std::sync::Arc;
use tokio::task::spawn_blocking;

fn now(shared: &Shared) -> Arc<Status> {
    shared.core.shown().borrow().clone()
}

macro_rules! page {
    ($name:ident, $place:ident, $path:literal, $title:literal) => {
        pub async fn $name(visitor: Visitor, State(shared): State<Shared>) -> Response {
            let status = now(&shared);
            let content = $name::content(&status);
            Page { place: Place::$place, path: $path, title: $title, status: &status, content }
                .answer(&visitor)
        }
    };
}

page!(overview, Overview, "/", "Overview");

pub async fn cluster(visitor: Visitor, State(shared): State<Shared>) -> Response {
    let status = now(&shared);
    let content = cluster::content(&status, &shared.core.jobs.feed.after(0));
    Page { place: Place::Cluster, path: "/cluster", title: "Cluster", status: &status, content }
        .answer(&visitor)
}

pub async fn media(visitor: Visitor, State(shared): State<Shared>) -> Response {
    let status = now(&shared);
    let content = match media::look(&shared.core, &status).await {
        Ok(view) => media::content(&status, &view),
        Err(error) => notice(Tone::Failed, chain(&error)),
    };
    Page { place: Place::Media, path: "/media", title: "Media", status: &status, content }.answer(&visitor)
}

pub async fn discover(visitor: Visitor, State(shared): State<Shared>) -> Response {
    let status = now(&shared);
    let content = match look(&shared.core).await {
        Ok(report) => discover::content(&status, &report),
        Err(error) => notice(Tone::Failed, chain(&error)),
    };
    Page { place: Place::Discover, path: "/discover", title: "Discover", status: &status, content }
        .answer(&visitor)
}

pub async fn network(visitor: Visitor, State(shared): State<Shared>) -> Response {
    let status = now(&shared);
    let consoles = Arc::clone(&shared.core.consoles);
    let adapters = spawn_blocking(move || consoles.list());
    let content = match tokio::try_join!(look(&shared.core), adapters) {
        Ok((report, adapters)) => network::content(&status, &report, &adapters),
        Err(error) => notice(Tone::Failed, chain(&error)),
    };
    Page { place: Place::Network, path: "/network", title: "Network", status: &status, content }
        .answer(&visitor)
}

pub async fn artifacts(visitor: Visitor, State(shared): State<Shared>) -> Response {
    let status = now(&shared);
    let store = Arc::clone(&shared.core.artifacts);
    let content = match spawn_blocking(move || store.look()).await {
        Ok(items) => artifacts::content(&items, shared.core.jobs.view(SUBJECT).as_ref()),
        Err(error) => notice(Tone::Failed, chain(&error)),
    };
    Page { place: Place::Cluster, path: "/artifacts", title: "Artifacts", status: &status, content }
        .answer(&visitor)
}

pub async fn node(visitor: Visitor, State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let status = now(&shared);
    let Some(found) = status.nodes.iter().find(|node| node.name == name) else {
        let words = "There is no node of this name in the cluster file.".to_owned();
        return problem(StatusCode::NOT_FOUND, &[words], "/cluster");
    };
    let content: Markup = node::content(found, &shared.core.jobs.feed.after(0));
    let path = format!("/nodes/{name}");
    Page { place: Place::Cluster, path: &path, title: &found.name, status: &status, content }.answer(&visitor)
}
