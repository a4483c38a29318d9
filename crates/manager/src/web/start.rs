//! The first page: the cluster file and its passphrase, or a new cluster.

use super::login::let_in;
use super::shell;
use super::ui::{password, pasted, refused};
use crate::api::{NewRequest, OpenRequest, OpenState};
use crate::front::Front;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use cairn_model::secret::Secret;
use maud::{Markup, html};
use serde::Deserialize;

/// What a browser sends; what is not filled in is empty.
#[derive(Deserialize)]
pub struct Opening {
    #[serde(default)]
    file: String,
    passphrase: Secret,
    /// Asked for where anyone on the network could be first.
    #[serde(default)]
    token: Option<Secret>,
}

#[derive(Deserialize)]
pub struct Making {
    name: String,
    #[serde(default)]
    passphrase: Option<Secret>,
    /// As for opening.
    #[serde(default)]
    token: Option<Secret>,
}

pub async fn form(State(front): State<Front>) -> Response {
    page(&front, StatusCode::OK, None)
}

pub async fn open(State(front): State<Front>, headers: HeaderMap, Form(form): Form<Opening>) -> Response {
    let Opening { file, passphrase, token } = form;
    let token = token.as_ref().map(Secret::expose);
    match front.open(&headers, token, OpenRequest { file: Some(file), passphrase }).await {
        Ok(core) => let_in(&core, front.site, "/"),
        Err(problem) => page(&front, problem.code(), Some(&problem.detail)),
    }
}

pub async fn create(State(front): State<Front>, headers: HeaderMap, Form(form): Form<Making>) -> Response {
    let Making { name, passphrase, token } = form;
    let token = token.as_ref().map(Secret::expose);
    match front.create(&headers, token, NewRequest { name, passphrase }).await {
        Ok((core, _)) => let_in(&core, front.site, "/keep"),
        Err(problem) => page(&front, problem.code(), Some(&problem.detail)),
    }
}

fn page(front: &Front, status: StatusCode, error: Option<&str>) -> Response {
    match front.open_state().and_then(|state| Ok((state, front.asks_token_to_open()?))) {
        Ok((OpenState { open: true, .. }, _)) if error.is_none() => Redirect::to("/").into_response(),
        Ok((state, to_open)) => {
            let asks = Asks { to_open, to_begin: front.site.is_network() };
            shell::narrow(status, "Start", &content(&state, &asks, error))
        }
        Err(error) => {
            let words = cairn_workflow::log::chain(&error);
            shell::problem(StatusCode::CONFLICT, &[words], "/start")
        }
    }
}

/// What takes the token.
#[derive(Default)]
pub struct Asks {
    to_open: bool,
    to_begin: bool,
}

pub fn content(state: &OpenState, asks: &Asks, error: Option<&str>) -> Markup {
    html! {
        @if let (Some(name), Some(generation)) = (&state.cluster, state.generation) {
            h1 { "Open " (name) }
            (refused(error))
            p.quiet { "The cluster " strong { (name) } " was open here before (generation " (generation) "). Its passphrase opens it." }
            form.stack method="post" action="/start/open" {
                (password("known-passphrase", "passphrase", "Passphrase", "current-password"))
                button type="submit" { "Open " (name) }
            }
            details.more { summary { "Open another copy of its file" } (paste(asks.to_open)) }
        } @else {
            h1 { "Where do you begin?" }
            (refused(error))
            section.card aria-labelledby="open" {
                h2 #open { "I have a cluster file" }
                (paste(asks.to_open))
            }
            section.card aria-labelledby="new" {
                h2 #new { "I begin anew" }
                (begin(asks.to_begin))
            }
        }
    }
}

fn paste(asks_token: bool) -> Markup {
    html! {
        p.quiet { "It is in your password manager: the note is the file, the password is its passphrase." }
        form.stack method="post" action="/start/open" {
            div.field {
                label for="pick" { "Pick or drop the file" }
                input #pick type="file" data-into="file";
            }
            (pasted("file", "file", "or paste the whole note", 5))
            (password("passphrase", "passphrase", "Passphrase", "current-password"))
            @if asks_token { (token("open-token")) }
            button type="submit" { "Open" }
        }
    }
}

fn begin(asks_token: bool) -> Markup {
    html! {
        p.quiet { "A new cluster needs nothing but a name. Machines come next, when they are found." }
        form.stack method="post" action="/start/new" data-once {
            div.field {
                label for="name" { "Name of the cluster" }
                input #name type="text" name="name" required pattern="[a-z]([a-z0-9\\-]*[a-z0-9])?" maxlength="63"
                    autocomplete="off" autocapitalize="off" placeholder="home" title="Small letters, digits and hyphens";
            }
            details.more {
                summary { "Use a passphrase of my own" }
                div.field {
                    label for="own" { "Own passphrase" }
                    input #own type="password" name="passphrase" autocomplete="new-password";
                }
                p.quiet { "Left empty, seven random words are made, which are better than almost any that people think of." }
            }
            @if asks_token { (token("new-token")) }
            button type="submit" { "Make the cluster" }
        }
    }
}

fn token(id: &str) -> Markup {
    html! {
        (password(id, "token", "Session token", "off"))
        p.quiet { "This page is open to the network. The token shows that you sit at the manager's machine: it stands in the file "
            code { "token" } " of its working directory." }
    }
}
