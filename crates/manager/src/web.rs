//! The web page: rendered here, kept fresh by htmx and the API's server-sent events.
//!
//! Every page is whole without a script; with it, what is live in it is fetched anew from the page's own
//! address and morphed in, which keeps focus and what is typed ([`shell`]). Everything that comes from
//! machines goes through maud, which escapes it. Start reading at [`pages`]; [`ui`] holds the parts.

mod actions;
mod artifacts;
mod assets;
mod cluster;
mod discover;
mod history;
mod keep;
mod login;
mod media;
mod network;
mod next_boot;
mod node;
mod overview;
mod pages;
mod phone;
#[cfg(feature = "preview")]
mod preview;
#[cfg(any(test, feature = "preview"))]
pub(crate) mod sample;
mod shell;
mod start;
#[cfg(test)]
mod tests;
mod ui;
mod visitor;
mod words;

use crate::api::Shared;
use crate::front::Front;
use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};

#[cfg(feature = "preview")]
pub use preview::router as preview;

/// What the page about the phone says, without what is around it.
#[cfg(test)]
pub(crate) fn phone_page(status: &crate::lan::LanStatus) -> String {
    phone::content(status, false).into_string()
}

/// What is there before a cluster file is open.
pub fn front_router() -> Router<Front> {
    Router::new()
        .route("/start", get(start::form))
        .route("/start/open", post(start::open))
        .route("/start/new", post(start::create))
        .merge(assets())
}

/// Where a person asked for what there is not.
pub fn not_here(status: StatusCode, sentence: String) -> Response {
    shell::problem(status, &[sentence], "/")
}

fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/assets/{name}", get(assets::get))
}

pub fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(pages::overview))
        .route("/discover", get(pages::discover))
        .route("/discover/approve", post(discover::approve))
        .route("/discover/scan", post(network::scan))
        .route("/media", get(pages::media))
        .route("/media/download", post(media::download))
        .route("/media/write", post(media::write))
        .route("/cluster", get(pages::cluster))
        .route("/network", get(pages::network))
        .route("/phone", get(phone::page))
        .route("/phone/on", post(phone::on))
        .route("/phone/off", post(phone::off))
        .route("/artifacts", get(pages::artifacts))
        .route("/artifacts/pull", post(artifacts::pull))
        .route("/nodes/{name}", get(pages::node))
        .route("/nodes/{name}/restart", post(actions::restart))
        .route("/nodes/{name}/poweroff", post(actions::power_off))
        .route("/nodes/{name}/remove", post(actions::remove))
        .route("/nodes/{name}/next-boot/{start}", post(next_boot::node))
        .route("/machines/{id}/next-boot/{start}", post(next_boot::machine))
        .route("/shutdown", post(actions::shut_down))
        .route("/start-cluster", post(actions::start))
        .route("/login", get(login::form).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/cluster-file", get(actions::cluster_file))
        .route("/secure-boot/certificate", get(actions::certificate))
        .route("/kubeconfig", get(actions::kubeconfig))
        .route("/keep", get(keep::page).post(keep::confirm))
        .route("/keep/later", post(keep::later))
        .route("/keep/import/{program}", post(keep::import))
        .merge(assets())
}
