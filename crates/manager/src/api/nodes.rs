//! What is asked of one node, and the cluster file.

use super::{Problem, Session, Shared};
use crate::core::Core;
use crate::dial;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cairn_model::cluster::Name;
use cairn_wire::message::Request;
use cairn_workflow::log::chain;

pub(super) fn parse(name: &str) -> Result<Name, Problem> {
    name.parse::<Name>()
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-such-node", error.to_string()))
}

/// The sealed text, as the owner keeps it in the password manager.
pub async fn cluster_file(_: Session, State(shared): State<Shared>) -> Result<Response, Problem> {
    let text = shared.core.book.sealed_text().await.map_err(|error| Problem::internal(&error))?;
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, text).into_response())
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
