//! What is asked of the cluster as a whole: checks, what may be done now, shutting down, starting, removing a node.

use super::ask::Part;
use super::types::{ActionStatus, CheckStatus, PowerResponse};
use super::{Problem, Session, Shared, nodes};
use crate::book::BookError;
use crate::{check, power, question};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use cairn_model::cluster::Name;
use cairn_vault::file::NextError;
use cairn_wire::message::Request;
use std::sync::Arc;

/// What is wrong with each node, and what to do.
#[utoipa::path(
    get,
    path = "/api/v1/checks",
    operation_id = "checks",
    tag = "cluster",
    responses(
        (status = 200, body = Vec<CheckStatus>, description = "What was tried, what came back"),
    )
)]
pub async fn checks(_: Session, State(shared): State<Shared>) -> Json<Vec<CheckStatus>> {
    Json(check::checks(&shared.core.status()))
}

/// What the owner may do now, and why not.
#[utoipa::path(
    get,
    path = "/api/v1/actions",
    operation_id = "actions",
    tag = "cluster",
    responses(
        (status = 200, body = Vec<ActionStatus>, description = "Every action"),
    )
)]
pub async fn actions(_: Session, State(shared): State<Shared>) -> Json<Vec<ActionStatus>> {
    Json(question::actions(&shared.core.status()))
}

/// What is not offered is refused with the same words.
fn offered(shared: &Shared, id: &str) -> Result<(), Problem> {
    let actions = question::actions(&shared.core.status());
    let refused = actions.into_iter().find(|action| action.id == id).and_then(|action| action.refused);
    match refused {
        Some(words) => Err(Problem::new(StatusCode::CONFLICT, "not-now", words)),
        None => Ok(()),
    }
}

/// Powers all nodes off, in the order of their roles.
#[utoipa::path(
    post,
    path = "/api/v1/shutdown",
    operation_id = "shutDown",
    tag = "cluster",
    responses(
        (status = 202, body = PowerResponse, description = "It has begun; the events tell the rest"),
        (status = 409, description = "It makes no sense now, or no cluster file is open."),
    )
)]
pub async fn shut_down(
    _: Session,
    State(shared): State<Shared>,
) -> Result<(StatusCode, Json<PowerResponse>), Problem> {
    let core = &shared.core;
    // two requests at once don't both find that nothing goes on
    let mut last = core.power.lock().await;
    offered(&shared, "shut-down")?;
    let order = power::off_order(&core.status());
    let plan = power::shutdown_plan(&order);
    power::begin(core, &mut last, plan.clone(), power::shut_down(Arc::clone(core), order)).await;
    Ok((StatusCode::ACCEPTED, Json(PowerResponse { subject: plan.subject.clone(), plan })))
}

/// Unlocks all nodes, and waits until the cluster is healthy.
#[utoipa::path(
    post,
    path = "/api/v1/start",
    operation_id = "start",
    tag = "cluster",
    responses(
        (status = 202, body = PowerResponse, description = "It has begun; the events tell the rest"),
        (status = 409, description = "It makes no sense now, or no cluster file is open."),
    )
)]
pub async fn start(
    _: Session,
    State(shared): State<Shared>,
) -> Result<(StatusCode, Json<PowerResponse>), Problem> {
    let core = &shared.core;
    let mut last = core.power.lock().await;
    offered(&shared, "start")?;
    let plan = power::start_plan(&core.status());
    power::begin(core, &mut last, plan.clone(), power::start(Arc::clone(core), plan.clone())).await;
    Ok((StatusCode::ACCEPTED, Json(PowerResponse { subject: plan.subject.clone(), plan })))
}

/// Takes a node out of the cluster.
///
/// It is switched off if it is on, and taken out of the cluster file. Its disk stays as it is: encrypted, and with a
/// recovery key that follows from the cluster file.
#[utoipa::path(
    delete,
    path = "/api/v1/nodes/{name}",
    operation_id = "removeNode",
    tag = "nodes",
    params(("name" = cairn_model::cluster::Name, Path, description = "A node", example = "etcd-1")),
    responses(
        (status = 204, description = "It is out"),
        (status = 404, description = "There is no such node."),
        (status = 409, description = "It stays, or was not reached, or no cluster file is open."),
        (status = 422, description = "That is no name of a node."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn remove(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
) -> Result<StatusCode, Problem> {
    offered(&shared, "remove-node")?;
    let core = &shared.core;
    let name: Name = nodes::parse(&name)?;
    nodes::is_node(core, &name)?;
    let status = core.status();
    let node = status.nodes.iter().find(|node| node.name == name.as_str());
    let formed = core.book.file().cluster().etcd_formed;
    if let Some(words) = node.and_then(|node| question::keeps(node, formed)) {
        return Err(Problem::new(StatusCode::CONFLICT, "kept", format!("'{name}' stays: {words}")));
    }
    if node.is_some_and(power::is_on) {
        nodes::tell(core, &name, &Request::PowerOff).await?;
    }
    let gone = name.clone();
    core.book.change(move |cluster| cluster.without_node(&gone)).await.map_err(|error| match error {
        BookError::Next(NextError::Edit(error)) => {
            Problem::new(StatusCode::CONFLICT, "kept", error.to_string())
        }
        error => Problem::internal(&error),
    })?;
    core.book.note(|journal| journal.forget(&name)).map_err(|error| Problem::internal(&error))?;
    core.jobs.forget(&name);
    tracing::info!(node = %name, "the owner removed a node");
    core.show();
    Ok(StatusCode::NO_CONTENT)
}
