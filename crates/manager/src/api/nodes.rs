//! What is asked of one node, and the cluster file.

use super::ask::Part;
use super::{Problem, Session, Shared};
use crate::core::Core;
use crate::dial;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cairn_model::cluster::Name;
use cairn_wire::client::{Client, ClientError};
use cairn_wire::message::{Request, Response as Answer};
use cairn_workflow::log::chain;

pub(super) fn parse(name: &str) -> Result<Name, Problem> {
    name.parse::<Name>()
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-such-node", error.to_string()))
}

/// The sealed cluster file, as the owner keeps it in the password manager.
#[utoipa::path(
    get,
    path = "/api/v1/cluster-file",
    operation_id = "clusterFile",
    tag = "cluster",
    responses(
        (status = 200, body = String, content_type = "text/plain; charset=utf-8", description = "The newest generation"),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn cluster_file(_: Session, State(shared): State<Shared>) -> Result<Response, Problem> {
    let text = shared.core.book.sealed_text().await.map_err(|error| Problem::internal(&error))?;
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, text).into_response())
}

/// Restarts a node.
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/restart",
    operation_id = "restartNode",
    tag = "nodes",
    params(("name" = cairn_model::cluster::Name, Path, description = "A node", example = "etcd-1")),
    responses(
        (status = 204, description = "It does"),
        (status = 404, description = "There is no such node."),
        (status = 409, description = "The node was not reached or refuses, or no cluster file is open."),
        (status = 422, description = "That is no name of a node."),
    )
)]
pub async fn restart(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
) -> Result<StatusCode, Problem> {
    tell(&shared.core, &parse(&name)?, &Request::Restart).await
}

/// Powers a node off.
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/poweroff",
    operation_id = "powerOffNode",
    tag = "nodes",
    params(("name" = cairn_model::cluster::Name, Path, description = "A node", example = "etcd-1")),
    responses(
        (status = 204, description = "It does"),
        (status = 404, description = "There is no such node."),
        (status = 409, description = "The node was not reached or refuses, or no cluster file is open."),
        (status = 422, description = "That is no name of a node."),
    )
)]
pub async fn power_off(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
) -> Result<StatusCode, Problem> {
    tell(&shared.core, &parse(&name)?, &Request::PowerOff).await
}

/// Tells a node to do something that has no answer but that it will.
pub(crate) async fn tell(core: &Core, name: &Name, request: &Request) -> Result<StatusCode, Problem> {
    ask(core, name, request).await.map(|_| StatusCode::NO_CONTENT)
}

/// Asks a node one thing.
pub(super) async fn ask(core: &Core, name: &Name, request: &Request) -> Result<Answer, Problem> {
    let mut client = reach(core, name).await?;
    client.ask(request).await.map_err(|error| broken(name.as_str(), &error))
}

/// On a conversation of its own: the other one may be busy.
pub(super) async fn reach(core: &Core, name: &Name) -> Result<Client, Problem> {
    is_node(core, name)?;
    let file = core.book.file();
    let hint = core.registry().machine_of(name, file.cluster()).map(|machine| machine.hint.clone());
    let hint =
        hint.ok_or_else(|| unreachable(format!("'{name}' was not reached since the manager started")))?;
    let connected = dial::connect(core, &hint).await;
    connected.map(|(client, _)| client).map_err(|error| unreachable(format!("'{name}': {}", chain(&error))))
}

pub(super) fn is_node(core: &Core, name: &Name) -> Result<(), Problem> {
    let words = || format!("there is no node '{name}' in this cluster");
    let file = core.book.file();
    let node = file.cluster().node(name);
    node.map(drop).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no-such-node", words()))
}

/// Why a conversation with somebody did not end well.
pub(super) fn broken(who: &str, error: &ClientError) -> Problem {
    match error {
        ClientError::Refused(reason) => {
            Problem::new(StatusCode::CONFLICT, "refused", format!("'{who}': {reason}"))
        }
        // this is how an agent takes a question that it does not know
        ClientError::Closed => {
            unreachable(format!("'{who}' closed the connection; is its system older than this manager?"))
        }
        error => unreachable(format!("'{who}': {}", chain(error))),
    }
}

pub(super) fn unreachable(words: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, "unreachable", words)
}
