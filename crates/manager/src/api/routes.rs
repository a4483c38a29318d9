//! Which path does what.

use super::{
    Problem, Session, artifacts, auth, blink, cluster, events, kubeconfig, lan, logs, machines, media,
    network, next_boot, nodes, secure_boot, serial,
};
use crate::core::Core;
use crate::lan::Lan;
use crate::site::Site;
use crate::web;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use cairn_vault::file::MOST_BYTES;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A pasted cluster file of the largest kind, as a form writes it: line ends and a few signs of base64 take three
/// or six bytes each.
pub const MOST_BODY: usize = 2 * MOST_BYTES;

#[derive(Clone)]
pub struct Shared {
    pub core: Arc<Core>,
    /// Where it was asked.
    pub site: Site,
    pub lan: Arc<Lan>,
}

/// Each handler says its own path, and is a part of the description by being here.
pub fn operations() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(events::events))
        .routes(routes!(network::network))
        .routes(routes!(network::scan))
        .routes(routes!(lan::lan, lan::switch))
        .routes(routes!(serial::list))
        .routes(routes!(serial::stream))
        .routes(routes!(serial::input))
        .routes(routes!(artifacts::list))
        .routes(routes!(artifacts::pulling, artifacts::pull))
        .routes(routes!(nodes::cluster_file))
        .routes(routes!(machines::approve))
        .routes(routes!(media::medium))
        .routes(routes!(media::writing, media::write))
        .routes(routes!(media::list))
        .routes(routes!(media::disks))
        .routes(routes!(media::boards))
        .routes(routes!(nodes::restart))
        .routes(routes!(nodes::power_off))
        .routes(routes!(blink::node))
        .routes(routes!(blink::machine))
        .routes(routes!(next_boot::set_node, next_boot::forget_node))
        .routes(routes!(next_boot::set_machine, next_boot::forget_machine))
        .routes(routes!(secure_boot::certificate))
        .routes(routes!(kubeconfig::kubeconfig))
        .routes(routes!(logs::units))
        .routes(routes!(logs::logs))
        .routes(routes!(cluster::remove))
        .routes(routes!(cluster::checks))
        .routes(routes!(cluster::actions))
        .routes(routes!(cluster::shut_down))
        .routes(routes!(cluster::start))
}

pub fn router(core: Arc<Core>, site: Site, lan: Arc<Lan>) -> Router {
    Router::from(operations())
        .merge(web::router())
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(from_fn_with_state(site, auth::own_host_only))
        .with_state(Shared { core, site, lan })
}

/// Nothing is at this path: a program is told as by every error of the API, a person by a page.
async fn nowhere(uri: Uri) -> Response {
    let words = if is_api(&uri) {
        "nothing is at this path; /api/v1/openapi.json describes what there is"
    } else {
        "There is no such page."
    };
    told(&uri, StatusCode::NOT_FOUND, "no-such-path", words.to_owned())
}

/// Something is at this path, and it is asked for otherwise.
pub async fn not_so(method: Method, uri: Uri) -> Response {
    let words = if is_api(&uri) {
        format!("this path takes no {method}; /api/v1/openapi.json says what it takes")
    } else {
        "This address belongs to a button of a page and can't be opened by itself.".to_owned()
    };
    told(&uri, StatusCode::METHOD_NOT_ALLOWED, "wrong-method", words)
}

fn is_api(uri: &Uri) -> bool {
    uri.path().starts_with("/api/")
}

fn told(uri: &Uri, status: StatusCode, kind: &str, words: String) -> Response {
    if is_api(uri) {
        return Problem::new(status, kind, words).into_response();
    }
    web::not_here(status, words)
}

/// How the cluster is.
#[utoipa::path(
    get,
    path = "/api/v1/status",
    operation_id = "status",
    tag = "cluster",
    responses(
        (status = 200, body = super::Status, description = "Every node, machine and job"),
    )
)]
async fn status(_: Session, State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(shared.core.status()))
}
