//! What a machine starts once, at its next network boot.

use super::ask::{Asked, Part};
use super::types::NextBootRequest;
use super::{Problem, Session, Shared, nodes};
use crate::next_boot::{self, NextBootError, Whom};
use axum::extract::State;
use axum::http::StatusCode;

impl From<NextBootError> for Problem {
    fn from(error: NextBootError) -> Self {
        let (status, kind) = match &error {
            NextBootError::NoSuchMachine => (StatusCode::NOT_FOUND, "no-such-machine"),
            NextBootError::NoSuchNode(_) => (StatusCode::NOT_FOUND, "no-such-node"),
            NextBootError::NoNetworkBoot(_) => (StatusCode::CONFLICT, "no-network-boot"),
            NextBootError::NeverAsked => (StatusCode::CONFLICT, "never-asked"),
            NextBootError::NoneForIt { .. } => (StatusCode::CONFLICT, "none-for-it"),
            NextBootError::NotThere(_) => (StatusCode::CONFLICT, "not-there"),
            NextBootError::Journal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            NextBootError::SecureBoot | NextBootError::Unsigned => (StatusCode::CONFLICT, "secure-boot"),
        };
        Self::new(status, kind, error.to_string())
    }
}

/// What a node starts when it next boots from the network, once.
///
/// Afterwards it starts from its disk again. Another wish takes the place of one that waits. It waits until the
/// machine asks by a firmware that can start it.
#[utoipa::path(
    put,
    path = "/api/v1/nodes/{name}/next-boot",
    operation_id = "setNextBootOfNode",
    tag = "nodes",
    params(("name" = cairn_model::cluster::Name, Path, description = "A node", example = "etcd-1")),
    request_body = NextBootRequest,
    responses(
        (status = 204, description = "It will"),
        (status = 404, description = "There is no such node."),
        (status = 409, description = "Network boot does not run, the machine has never asked for it or can't start that, it is not there, or no cluster file is open."),
        (status = 422, description = "The name or the body is not what is taken here."),
    )
)]
pub async fn set_node(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
    Asked(request): Asked<NextBootRequest>,
) -> Result<StatusCode, Problem> {
    next_boot::set(&shared.core, &Whom::Node(nodes::parse(&name)?), request.start).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A node starts what is usual after all.
///
/// What it has been told already can't be taken back.
#[utoipa::path(
    delete,
    path = "/api/v1/nodes/{name}/next-boot",
    operation_id = "forgetNextBootOfNode",
    tag = "nodes",
    params(("name" = cairn_model::cluster::Name, Path, description = "A node", example = "etcd-1")),
    responses(
        (status = 204, description = "Nothing else waits for it"),
        (status = 404, description = "There is no such node."),
        (status = 409, description = "No cluster file is open."),
        (status = 422, description = "That is no name of a node."),
    )
)]
pub async fn forget_node(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
) -> Result<StatusCode, Problem> {
    next_boot::forget(&shared.core, &Whom::Node(nodes::parse(&name)?))?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a machine that is no node yet starts when it next boots from the network, once.
///
/// Afterwards it starts Cairn again, or from its disk once it is installed.
#[utoipa::path(
    put,
    path = "/api/v1/machines/{id}/next-boot",
    operation_id = "setNextBootOfMachine",
    tag = "machines",
    params(("id" = String, Path, description = "A machine, by the fingerprint of its key")),
    request_body = NextBootRequest,
    responses(
        (status = 204, description = "It will"),
        (status = 404, description = "No such machine is here."),
        (status = 409, description = "Network boot does not run, the machine has never asked for it or can't start that, it is not there, or no cluster file is open."),
        (status = 422, description = "The id or the body is not what is taken here."),
    )
)]
pub async fn set_machine(
    _: Session,
    State(shared): State<Shared>,
    Part(id): Part,
    Asked(request): Asked<NextBootRequest>,
) -> Result<StatusCode, Problem> {
    next_boot::set(&shared.core, &machine(&id)?, request.start).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A machine that is no node yet starts what is usual after all.
///
/// What it has been told already can't be taken back.
#[utoipa::path(
    delete,
    path = "/api/v1/machines/{id}/next-boot",
    operation_id = "forgetNextBootOfMachine",
    tag = "machines",
    params(("id" = String, Path, description = "A machine, by the fingerprint of its key")),
    responses(
        (status = 204, description = "Nothing else waits for it"),
        (status = 404, description = "No such machine is here."),
        (status = 409, description = "No cluster file is open."),
        (status = 422, description = "The id is not what is taken here."),
    )
)]
pub async fn forget_machine(
    _: Session,
    State(shared): State<Shared>,
    Part(id): Part,
) -> Result<StatusCode, Problem> {
    next_boot::forget(&shared.core, &machine(&id)?)?;
    Ok(StatusCode::NO_CONTENT)
}

fn machine(id: &str) -> Result<Whom, NextBootError> {
    id.parse().map(Whom::Machine).map_err(|_| NextBootError::NoSuchMachine)
}
