//! What the form for a medium does.

use super::MediaView;
use crate::api::{self, MediumFormat, MediumKind, MediumRequest, Problem, Session, Shared, Status};
use crate::core::{Core, unix_now};
use crate::media::{self, Wish, job};
use crate::web::actions::shown;
use crate::web::shell;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use cairn_model::cluster::Name;
use serde::Deserialize;
use tokio::task::JoinError;

#[derive(Deserialize)]
pub struct Wanted {
    node: String,
    kind: MediumKind,
    #[serde(default)]
    disk: String,
    #[serde(default)]
    erase: Option<String>,
}

/// What the page shows beside the status.
pub async fn look(core: &Core, status: &Status) -> Result<MediaView, JoinError> {
    let disks = tokio::task::spawn_blocking(media::disks).await?;
    let file = core.book.file();
    let prepared = core.book.journal(|journal| media::list::list(file.cluster(), journal, unix_now()));
    let names = status.nodes.iter().filter_map(|node| node.name.parse::<Name>().ok());
    let jobs = names.filter_map(|name| Some((name.to_string(), core.jobs.view(&job::subject(&name))?)));
    Ok(MediaView { disks, media: prepared, jobs: jobs.collect() })
}

pub async fn download(session: Session, state: State<Shared>, Form(wanted): Form<Wanted>) -> Response {
    let request = MediumRequest { kind: wanted.kind, format: MediumFormat::Gzip, valid_seconds: None };
    let (node, request) = (api::Part(wanted.node), api::AskedOrNot(request));
    shown(api::medium(session, state, node, request).await, "/media")
}

pub async fn write(_: Session, State(shared): State<Shared>, Form(wanted): Form<Wanted>) -> Response {
    let Wanted { node, kind, disk, erase } = wanted;
    let ask = |words: &str| shell::problem(StatusCode::UNPROCESSABLE_ENTITY, &[words.to_owned()], "/media");
    if disk.is_empty() {
        return ask("No disk was chosen. Choose the card or stick that the medium is written to.");
    }
    if erase.is_none() {
        return ask("Nothing was written: tick that everything on the chosen disk is lost, if it may be.");
    }
    let Ok(node) = node.parse::<Name>() else { return ask("No node was chosen. Choose whose medium it is.") };
    let wish = Wish { node, kind, valid: None };
    let started = job::start(&shared.core, wish, disk).await.map_err(Problem::from);
    shown(started.map(|()| Redirect::to("/media").into_response()), "/media")
}
