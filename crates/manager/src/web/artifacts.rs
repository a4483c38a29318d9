//! What comes from outside the node image: what of it is there, and how the rest is had.

use super::actions::shown;
use super::ui::{self, Tone, notice, state};
use super::words;
use crate::api::{self, JobStatus, Session, Shared};
use crate::artifacts::ArtifactsError;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use cairn_artifacts::pull::Item;
use cairn_artifacts::store::State as Stored;
use cairn_workflow::RowState;
use cairn_workflow::log::chain;
use maud::{Markup, html};

pub async fn pull(session: Session, state: State<Shared>) -> Response {
    let begun = api::pull_artifacts(session, state).await;
    shown(begun.map(|_| Redirect::to("/artifacts").into_response()), "/artifacts")
}

pub fn content(items: &Result<Vec<Item>, ArtifactsError>, job: Option<&JobStatus>) -> Markup {
    let running = job.is_some_and(|job| job.rows.iter().any(|row| row.state == RowState::Running));
    html! {
        header.page {
            p.crumbs { a href="/cluster" { "Cluster" } }
            h1 { "What comes from outside" }
            p.quiet { "Programs that are not in the node image. The manager fetches them once, checks them, and gives them to its nodes." }
        }
        @if let Some(job) = job { (ui::job("artifacts-job", job)) }
        // the status knows nothing of it
        @if running { div hx-get="/artifacts" hx-trigger="every 2s" hx-target="#live" hx-swap="morph:innerHTML" {} }
        @match items {
            Err(error) => (notice(Tone::Failed, chain(error))),
            Ok(items) => {
                @if items.is_empty() { (ui::empty("Nothing is wanted", "The list of artifacts has no entry.")) }
                ul.rows { @for item in items { li { (one(item)) } } }
                (how(items, running))
            }
        }
    }
}

fn one(item: &Item) -> Markup {
    let Item { pin, state: stored } = item;
    html! {
        strong { (pin.name) " " (pin.version) } span.quiet { (pin.arch) }
        @match stored {
            Stored::There { size } => { (state(Tone::Good, "there")) span.quiet { (words::bytes(*size)) } }
            Stored::Missing { partial: 0 } => (state(Tone::Attention, "missing")),
            Stored::Missing { partial } => { (state(Tone::Attention, "missing")) span.quiet { (words::bytes(*partial)) " of it are there" } }
            Stored::Damaged => (state(Tone::Failed, "damaged")),
            Stored::NotLocked => (state(Tone::Attention, "no checksum")),
        }
        @if !item.is_there() { code { (pin.url) } }
    }
}

fn how(items: &[Item], running: bool) -> Markup {
    let has = |wanted: fn(&Stored) -> bool| items.iter().any(|item| wanted(&item.state));
    let lacks = has(|stored| matches!(stored, Stored::Missing { .. } | Stored::Damaged));
    html! {
        @if has(|stored| *stored == Stored::NotLocked) {
            section aria-labelledby="lock" {
                h2 #lock { "Where the checksum is missing" }
                p { "Nothing is fetched that can't be checked. " code { "cairn artifacts lock" } " takes the checksums from upstream once." }
            }
        }
        @if lacks {
            section aria-labelledby="fetch" {
                h2 #fetch { "Get what is missing" }
                @if !running {
                    form method="post" action="/artifacts/pull" { button type="submit" { "Fetch it" } }
                }
                p { "Where this machine has no network: fetch the files above elsewhere, put them into one folder, and run "
                    code { "cairn artifacts import FOLDER" } " here. Each is checked as if it had been fetched." }
            }
        }
    }
}
