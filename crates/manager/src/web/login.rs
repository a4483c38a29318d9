//! Logging in: the cluster's passphrase for a cookie.

use super::shell;
use super::ui::{password, refused};
use crate::api::{SESSION_COOKIE, Session, Shared, is_own_origin};
use crate::token::Token;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use cairn_model::secret::Secret;
use cairn_vault::file::Passphrase;
use maud::html;
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Login {
    passphrase: Secret,
}

pub fn session_cookie(token: &Token) -> String {
    format!("{SESSION_COOKIE}={}; HttpOnly; SameSite=Strict; Path=/", token.cookie())
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
    if headers.contains_key(header::ORIGIN) && !is_own_origin(&headers, &Method::POST) {
        return page(&name(&shared), StatusCode::FORBIDDEN, Some("Another site's page sent this."));
    }
    let given = Passphrase::new(login.passphrase.expose());
    let turn = core.patience.turn().await;
    if !given.is_ok_and(|given| core.book.is_passphrase(&given)) {
        turn.wrong();
        let words = "This is not the cluster's passphrase. It is the password of the entry whose note is the cluster file.";
        return page(&name(&shared), StatusCode::FORBIDDEN, Some(words));
    }
    turn.right();
    ([(header::SET_COOKIE, session_cookie(&core.token))], Redirect::to("/")).into_response()
}

pub async fn log_out(_: Session) -> Response {
    let cookie = format!("{SESSION_COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response()
}
