//! Logging in: the cluster's passphrase for a cookie.

use super::shell;
use super::ui::{password, refused};
use crate::api::{SESSION_COOKIE, Session, Shared, is_own_origin, session_cookie};
use crate::core::Core;
use crate::site::Site;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use cairn_model::secret::Secret;
use cairn_vault::file::Passphrase;
use cairn_workflow::log::chain;
use maud::html;
use serde::Deserialize;
use tokio::time::Instant;

#[derive(Deserialize)]
pub struct Login {
    passphrase: Secret,
}

/// Begins a session, and leads on.
pub fn let_in(core: &Core, site: Site, to: &str) -> Response {
    match core.sessions.begin(Instant::now()) {
        Ok(cookie) => {
            let cookie = site.cookie(&format!("{SESSION_COOKIE}={}", cookie.expose()));
            ([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response()
        }
        Err(error) => shell::problem(StatusCode::INTERNAL_SERVER_ERROR, &[chain(&error)], "/login"),
    }
}

pub fn page(cluster: &str, status: StatusCode, error: Option<&str>) -> Response {
    let content = html! {
        h1 { "Log in" }
        p.quiet { "The cluster " strong { (cluster) } " is open. Its passphrase lets you in." }
        (refused(error))
        form.stack method="post" action="/login" {
            (password("passphrase", "passphrase", "Passphrase", "current-password"))
            button type="submit" { "Log in" }
        }
    };
    shell::narrow(status, "Log in", &content)
}

fn name(shared: &Shared) -> String {
    shared.core.book.file().cluster().name.to_string()
}

pub async fn form(State(shared): State<Shared>) -> Response {
    page(&name(&shared), StatusCode::OK, None)
}

pub async fn log_in(State(shared): State<Shared>, headers: HeaderMap, Form(login): Form<Login>) -> Response {
    let core = &shared.core;
    if headers.contains_key(header::ORIGIN) && !is_own_origin(&headers, &Method::POST, shared.site) {
        return page(&name(&shared), StatusCode::FORBIDDEN, Some("Another site's page sent this."));
    }
    let given = Passphrase::new(login.passphrase.expose());
    let turn = core.patience.turn(shared.site).await;
    if !given.is_ok_and(|given| core.book.is_passphrase(&given)) {
        turn.wrong();
        let words = "This is not the cluster's passphrase. It is the password of the entry whose note is the cluster file.";
        return page(&name(&shared), StatusCode::FORBIDDEN, Some(words));
    }
    turn.right();
    let_in(core, shared.site, "/")
}

pub async fn log_out(_: Session, State(shared): State<Shared>, headers: HeaderMap) -> Response {
    if let Some(cookie) = session_cookie(&headers) {
        shared.core.sessions.end(cookie);
    }
    let cookie = shared.site.cookie(&format!("{SESSION_COOKIE}=; Max-Age=0"));
    ([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response()
}
