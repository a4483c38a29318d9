//! The web page: rendered here, kept fresh by a few lines of script.
//!
//! The page is whole without the script; with it, the parts marked `data-part` are swapped when the
//! status changes. Everything that comes from machines goes through maud, which escapes it.

mod actions;
mod assets;
mod layout;
mod login;
mod machines;
mod nodes;
mod page;
mod words;

use crate::api::Shared;
use axum::Router;
use axum::routing::{get, post};

pub fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(page::page))
        .route("/fragment", get(page::fragment))
        .route("/login", get(login::form).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/machines/{id}/approve", post(actions::approve))
        .route("/nodes/{name}/medium", post(actions::medium))
        .route("/nodes/{name}/restart", post(actions::restart))
        .route("/nodes/{name}/poweroff", post(actions::power_off))
        .route("/cluster-file", get(actions::cluster_file))
        .route("/assets/{name}", get(assets::asset))
}
