//! Which path does what.

use super::{
    Session, artifacts, auth, blink, cluster, events, kubeconfig, lan, logs, machines, media, network, nodes,
    serial,
};
use crate::core::Core;
use crate::lan::Lan;
use crate::site::Site;
use crate::web;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use std::sync::Arc;

/// No request of ours comes near this.
pub const MOST_BODY: usize = 64 * 1024;

#[derive(Clone)]
pub struct Shared {
    pub core: Arc<Core>,
    /// Where it was asked.
    pub site: Site,
    pub lan: Arc<Lan>,
}

pub fn router(core: Arc<Core>, site: Site, lan: Arc<Lan>) -> Router {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/network", get(network::network))
        .route("/api/v1/network/scan", post(network::scan))
        .route("/api/v1/lan", get(lan::lan).post(lan::switch))
        .route("/api/v1/serial", get(serial::list))
        .route("/api/v1/serial/{name}/stream", get(serial::stream))
        .route("/api/v1/serial/{name}/input", post(serial::input))
        .route("/api/v1/artifacts", get(artifacts::list))
        .route("/api/v1/artifacts/pull", get(artifacts::pulling).post(artifacts::pull))
        .route("/api/v1/cluster-file", get(nodes::cluster_file))
        .route("/api/v1/machines/{id}/approve", post(machines::approve))
        .route("/api/v1/nodes/{name}/medium", post(media::medium))
        .route("/api/v1/nodes/{name}/medium/write", get(media::writing).post(media::write))
        .route("/api/v1/media", get(media::list))
        .route("/api/v1/disks", get(media::disks))
        .route("/api/v1/nodes/{name}/restart", post(nodes::restart))
        .route("/api/v1/nodes/{name}/poweroff", post(nodes::power_off))
        .route("/api/v1/nodes/{name}/blink", post(blink::node))
        .route("/api/v1/machines/{id}/blink", post(blink::machine))
        .route("/api/v1/kubeconfig", get(kubeconfig::kubeconfig))
        .route("/api/v1/nodes/{name}/units", get(logs::units))
        .route("/api/v1/nodes/{name}/logs", get(logs::logs))
        .route("/api/v1/nodes/{name}", delete(cluster::remove))
        .route("/api/v1/checks", get(cluster::checks))
        .route("/api/v1/actions", get(cluster::actions))
        .route("/api/v1/shutdown", post(cluster::shut_down))
        .route("/api/v1/start", post(cluster::start))
        .merge(web::router())
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(from_fn_with_state(site, auth::own_host_only))
        .with_state(Shared { core, site, lan })
}

async fn status(_: Session, State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(shared.core.status()))
}
