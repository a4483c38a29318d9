//! All pages with samples on them, to look at in a browser: `cargo run -p cairn-manager --example preview`.

use super::shell::{self, Page, Place};
use super::visitor::Visitor;
use super::{
    artifacts, assets, cluster, discover, keep, media, network, node, overview, phone, sample, start,
};
use crate::api::{BlinkResponse, LanStatus, OpenState, Status};
use axum::Json;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures_util::stream::{self, StreamExt as _};
use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::{Instant, interval};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// By name: a cookie of that name chooses it, and `/sample/NAME` sets the cookie.
fn chosen(headers: &HeaderMap) -> Status {
    let cookie = headers.get("cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match cookie.rsplit_once("sample=").map_or("", |(_, name)| name) {
        "calm" => sample::calm(),
        "new" => sample::new(),
        "hundred" => sample::hundred(),
        _ => sample::evening(START.elapsed().as_secs() + 12),
    }
}

/// The pages that the manager serves, without a manager.
pub fn router() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/{place}", get(page))
        .route("/nodes/{place}", get(page))
        .route("/sample/{name}", get(choose))
        .route("/assets/{name}", get(assets::get))
        .route("/api/v1/events", get(events))
        .route(
            "/api/v1/nodes/{name}/units",
            get(|| async { r#"{"units":["cairn-agent.service","cairn-etcd.service","kernel"]}"# }),
        )
        .route("/api/v1/nodes/{name}/logs", get(log))
        .route("/api/v1/nodes/{name}/blink", post(blink))
        .route("/api/v1/machines/{id}/blink", post(blink))
        .route("/api/v1/serial/{name}/stream", get(console))
}

async fn choose(Path(name): Path<String>) -> Response {
    ([("set-cookie", format!("sample={name}; Path=/"))], Redirect::to("/")).into_response()
}

async fn log() -> Sse<impl stream::Stream<Item = Result<Event, Infallible>>> {
    let lines =
        stream::unfold((interval(Duration::from_millis(300)), 0_u64), |(mut tick, number)| async move {
            tick.tick().await;
            let entry = sample::log_entry(START.elapsed(), number);
            Some((Event::default().event("entry").json_data(entry).unwrap_or_default(), (tick, number + 1)))
        });
    Sse::new(lines.map(Ok))
}

async fn blink() -> Json<BlinkResponse> {
    Json(BlinkResponse { light: "the light of the network socket eth0".into(), seconds: 5 })
}

async fn console() -> Sse<impl stream::Stream<Item = Result<Event, Infallible>>> {
    // "\x1b[1mcairn\x1b[0m: <code> 123 456\r\n" again and again
    let line = Event::default().event("output").data("G1sxbWNhaXJuG1swbTogPGNvZGU+IDEyMyA0NTYNCg==");
    let lines = stream::unfold((interval(Duration::from_secs(1)), line), |(mut tick, line)| async move {
        tick.tick().await;
        Some((line.clone(), (tick, line)))
    });
    Sse::new(lines.map(Ok))
}

async fn events() -> Sse<impl stream::Stream<Item = Result<Event, Infallible>>> {
    let ticks = stream::unfold(interval(Duration::from_secs(1)), |mut tick| async {
        tick.tick().await;
        Some((Event::default().event("status").data("changed"), tick))
    });
    Sse::new(ticks.map(Ok))
}

async fn page(headers: HeaderMap, place: Option<Path<String>>) -> Response {
    let visitor = Visitor { live_part_only: headers.contains_key("hx-request") };
    let status = &chosen(&headers);
    let name = place.map(|Path(name)| name).unwrap_or_default();
    let found = status.nodes.iter().find(|node| node.name == name);
    let (place, title, content) = match (name.as_str(), found) {
        ("", _) => (Place::Overview, "Overview", overview::content(status)),
        ("discover", _) => (Place::Discover, "Discover", discover::content(status, &sample::wire())),
        ("media", _) => (Place::Media, "Media", media::content(status, &sample::media())),
        ("cluster", _) => (Place::Cluster, "Cluster", cluster::content(status, &sample::events())),
        ("artifacts", _) => (Place::Cluster, "Artifacts", artifacts::content(&Ok(sample::artifacts()), None)),
        ("network", _) => {
            (Place::Network, "Network", network::content(status, &sample::wire(), &sample::adapters()))
        }
        ("phone", _) => (Place::Network, "On your phone", phone::content(&sample::lan(), false)),
        ("phone-off", _) => (Place::Network, "On your phone", phone::content(&LanStatus::default(), false)),
        ("login", _) => return super::login::page("home", StatusCode::OK, None),
        ("start", _) => {
            let content = start::content(&OpenState::default(), &start::Asks::default(), None);
            return shell::narrow(StatusCode::OK, "Start", &content);
        }
        ("keep", _) => {
            let content = sample::entry().map(|entry| keep::content(&entry, true, None));
            return shell::narrow(StatusCode::OK, "Keep the cluster file", &content.unwrap_or_default());
        }
        (name, Some(found)) => (Place::Cluster, name, node::content(found, &sample::events())),
        _ => {
            let words = "There is no such page among the samples.".to_owned();
            return shell::problem(StatusCode::NOT_FOUND, &[words], "/");
        }
    };
    let path = if found.is_some() { format!("/nodes/{name}") } else { format!("/{name}") };
    Page { place, path: &path, title, status, content }.answer(&visitor)
}
