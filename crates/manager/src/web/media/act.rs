//! What the form for a medium does.

use super::MediaView;
use crate::api::{
    self, MediumBoard, MediumFormat, MediumKind, MediumRequest, Problem, Session, Shared, Status,
};
use crate::core::{Core, unix_now};
use crate::media::{self, Wish, job};
use crate::web::actions::shown;
use crate::web::shell;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use cairn_model::cluster::Name;
use cairn_model::secret::Secret;
use cairn_model::wifi::{Wifi, WifiError};
use serde::Deserialize;
use tokio::task::JoinError;

#[derive(Deserialize)]
pub struct Wanted {
    node: String,
    kind: MediumKind,
    #[serde(default)]
    board: MediumBoard,
    #[serde(default)]
    disk: String,
    #[serde(default)]
    erase: Option<String>,
    #[serde(default)]
    wifi_country: String,
    #[serde(default)]
    wifi_ssid: String,
    #[serde(default)]
    wifi_key: Option<Secret>,
    #[serde(default)]
    wifi_hidden: Option<String>,
}

impl Wanted {
    fn wifi(&mut self) -> Result<Option<Wifi>, WifiError> {
        let key = self.wifi_key.take().unwrap_or_else(|| Secret::new(String::new()));
        Wifi::filled_in(&self.wifi_country, &self.wifi_ssid, key, self.wifi_hidden.is_some())
    }
}

fn ask(words: &str) -> Response {
    shell::problem(StatusCode::UNPROCESSABLE_ENTITY, &[words.to_owned()], "/media")
}

fn ask_wifi(error: &WifiError) -> Response {
    ask(&format!("Nothing was prepared: {error}."))
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

pub async fn download(_: Session, State(shared): State<Shared>, Form(mut wanted): Form<Wanted>) -> Response {
    let wifi = match wanted.wifi() {
        Ok(wifi) => wifi,
        Err(error) => return ask_wifi(&error),
    };
    let request = MediumRequest {
        kind: wanted.kind,
        board: wanted.board,
        format: MediumFormat::Gzip,
        valid_seconds: None,
        wifi,
    };
    shown(api::image(&shared, &wanted.node, request).await, "/media")
}

pub async fn write(_: Session, State(shared): State<Shared>, Form(mut wanted): Form<Wanted>) -> Response {
    let wifi = match wanted.wifi() {
        Ok(wifi) => wifi,
        Err(error) => return ask_wifi(&error),
    };
    let Wanted { node, kind, board, disk, erase, .. } = wanted;
    if disk.is_empty() {
        return ask("No disk was chosen. Choose the card or stick that the medium is written to.");
    }
    if erase.is_none() {
        return ask("Nothing was written: tick that everything on the chosen disk is lost, if it may be.");
    }
    let Ok(node) = node.parse::<Name>() else { return ask("No node was chosen. Choose whose medium it is.") };
    let wish = Wish { node, kind, board: board.into(), valid: None, wifi };
    let started = job::start(&shared.core, wish, disk).await.map_err(Problem::from);
    shown(started.map(|()| Redirect::to("/media").into_response()), "/media")
}
