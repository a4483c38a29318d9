//! What is asked of one node, and the cluster file.

use super::types::MediumRequest;
use super::{Problem, Session, Shared};
use crate::core::Core;
use crate::{dial, media};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cairn_model::cluster::Name;
use cairn_wire::message::Request;
use cairn_workflow::log::chain;
use tokio_util::io::ReaderStream;

fn parse(name: &str) -> Result<Name, Problem> {
    name.parse::<Name>()
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-such-node", error.to_string()))
}

/// The sealed text, as the owner keeps it in the password manager.
pub async fn cluster_file(_: Session, State(shared): State<Shared>) -> Result<Response, Problem> {
    let text = shared.core.book.sealed_text().await.map_err(|error| Problem::internal(&error))?;
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, text).into_response())
}

/// The raw disk image of a prepared medium.
pub async fn medium(
    _: Session,
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: axum::body::Bytes,
) -> Result<Response, Problem> {
    let request = if body.is_empty() {
        MediumRequest::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", error.to_string())
        })?
    };
    let name = parse(&name)?;
    download(&shared.core, &name, request.valid_seconds).await
}

pub async fn download(core: &Core, name: &Name, valid_seconds: Option<u64>) -> Result<Response, Problem> {
    let medium = media::prepare(core, name, valid_seconds).await.map_err(|error| {
        let (status, kind) = error.kind();
        Problem::new(status, kind, chain(&error))
    })?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, medium.length.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"cairn-{name}.img\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let stream = ReaderStream::with_capacity(medium.file, 256 * 1024);
    Ok((headers, Body::from_stream(stream)).into_response())
}

pub async fn restart(
    _: Session,
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    tell(&shared.core, &parse(&name)?, &Request::Restart).await
}

pub async fn power_off(
    _: Session,
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    tell(&shared.core, &parse(&name)?, &Request::PowerOff).await
}

/// On a conversation of its own: the other one may be busy.
async fn tell(core: &Core, name: &Name, request: &Request) -> Result<StatusCode, Problem> {
    let file = core.book.file();
    let hint = core.registry().machine_of(name, file.cluster()).map(|machine| machine.hint.clone());
    let unreachable = |words: String| Problem::new(StatusCode::CONFLICT, "unreachable", words);
    let hint =
        hint.ok_or_else(|| unreachable(format!("'{name}' was not reached since the manager started")))?;
    let failed = |error: &dyn std::error::Error| unreachable(format!("'{name}': {}", chain(error)));
    let (mut client, _) = dial::connect(core, &hint).await.map_err(|error| failed(&error))?;
    client.ask(request).await.map_err(|error| failed(&error))?;
    Ok(StatusCode::NO_CONTENT)
}
