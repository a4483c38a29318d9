//! Logging in: the session token for a cookie.

use super::shell;
use super::ui::{Tone, notice};
use crate::api::{SESSION_COOKIE, Session, Shared};
use axum::Form;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use cairn_model::secret::Secret;
use maud::html;
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Login {
    token: Secret,
}

fn page(status: StatusCode, error: Option<&str>) -> Response {
    let content = html! {
        h1 { "Log in" }
        p.quiet { "This page can change the cluster, so it asks for the session token. It stands in the file "
            code { "token" } " in the manager's working directory; "
            code { "cairn lab env" } " shows where that is in the lab." }
        @if let Some(error) = error { (notice(Tone::Failed, html! { span role="alert" { (error) } })) }
        form.stack method="post" action="/login" {
            div.field {
                label for="token" { "Session token" }
                input #token type="password" name="token" autocomplete="current-password" required autofocus;
            }
            button type="submit" { "Log in" }
        }
    };
    shell::narrow(status, "Log in", &content)
}

pub async fn form() -> Response {
    page(StatusCode::OK, None)
}

pub async fn log_in(State(shared): State<Shared>, Form(login): Form<Login>) -> Response {
    let token = &shared.core.token;
    if !token.is(login.token.expose()) {
        return page(StatusCode::UNAUTHORIZED, Some("This is not the manager's session token."));
    }
    let cookie = format!("{SESSION_COOKIE}={}; HttpOnly; SameSite=Strict; Path=/", token.cookie());
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

pub async fn log_out(_: Session) -> Response {
    let cookie = format!("{SESSION_COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response()
}
