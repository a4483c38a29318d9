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
use cairn_model::static_address::StaticAddress;
use cairn_model::wifi::Wifi;
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
    #[serde(default)]
    address: String,
    #[serde(default)]
    gateway: String,
    #[serde(default)]
    dns: String,
}

impl Wanted {
    /// Wi-Fi and static address, or why they can't be.
    fn network(&mut self) -> Result<(Option<Wifi>, Option<StaticAddress>), String> {
        let key = self.wifi_key.take().unwrap_or_else(|| Secret::new(String::new()));
        let wifi = Wifi::filled_in(&self.wifi_country, &self.wifi_ssid, key, self.wifi_hidden.is_some());
        let address = StaticAddress::filled_in(&self.address, &self.gateway, &self.dns);
        Ok((wifi.map_err(|error| error.to_string())?, address.map_err(|error| error.to_string())?))
    }
}

fn ask(words: &str) -> Response {
    shell::problem(StatusCode::UNPROCESSABLE_ENTITY, &[words.to_owned()], "/media")
}

fn ask_network(error: &str) -> Response {
    ask(&format!("Nothing was prepared: {error}."))
}

/// What the page shows beside the status.
pub async fn look(core: &Core, status: &Status) -> Result<MediaView, JoinError> {
    let (disks, boards) = tokio::task::spawn_blocking(|| (media::disks(), media::boards())).await?;
    let file = core.book.file();
    let prepared = core.book.journal(|journal| media::list::list(file.cluster(), journal, unix_now()));
    let names = status.nodes.iter().filter_map(|node| node.name.parse::<Name>().ok());
    let jobs = names.filter_map(|name| Some((name.to_string(), core.jobs.view(&job::subject(&name))?)));
    Ok(MediaView { disks, boards, media: prepared, jobs: jobs.collect() })
}

pub async fn download(_: Session, State(shared): State<Shared>, Form(mut wanted): Form<Wanted>) -> Response {
    let (wifi, address) = match wanted.network() {
        Ok(network) => network,
        Err(error) => return ask_network(&error),
    };
    let request = MediumRequest {
        kind: wanted.kind,
        board: wanted.board,
        format: MediumFormat::Gzip,
        valid_seconds: None,
        wifi,
        address,
    };
    shown(api::image(&shared, &wanted.node, request).await, "/media")
}

pub async fn write(_: Session, State(shared): State<Shared>, Form(mut wanted): Form<Wanted>) -> Response {
    let (wifi, address) = match wanted.network() {
        Ok(network) => network,
        Err(error) => return ask_network(&error),
    };
    let Wanted { node, kind, board, disk, erase, .. } = wanted;
    if disk.is_empty() {
        return ask("No disk was chosen. Choose the card or stick that the medium is written to.");
    }
    if erase.is_none() {
        return ask("Nothing was written: tick that everything on the chosen disk is lost, if it may be.");
    }
    let Ok(node) = node.parse::<Name>() else { return ask("No node was chosen. Choose whose medium it is.") };
    let wish = Wish { node, kind, board: board.into(), valid: None, wifi, address };
    let started = job::start(&shared.core, wish, disk).await.map_err(Problem::from);
    shown(started.map(|()| Redirect::to("/media").into_response()), "/media")
}
