//! Makes a machine show itself, whether it is a node or not yet.

use super::ask::{AskedOrNot, Part, bad};
use super::types::{BlinkRequest, BlinkResponse};
use super::{Problem, Session, Shared, nodes};
use crate::dial;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use cairn_model::cluster::Fingerprint;
use cairn_wire::client::{Client, ClientError};
use cairn_wire::message::{Request, Response as Answer};
use cairn_workflow::log::chain;

const DEFAULT_SECONDS: u32 = 15;
/// The agent's own bound.
const MOST_SECONDS: u32 = 60;

/// Makes a node show itself.
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/blink",
    operation_id = "blinkNode",
    tag = "nodes",
    params(("name" = cairn_model::cluster::Name, Path, description = "A node", example = "etcd-1")),
    request_body = Option<BlinkRequest>,
    responses(
        (status = 200, body = BlinkResponse, description = "Its light blinks"),
        (status = 404, description = "There is no such node."),
        (status = 409, description = "It was not reached or refuses, or no cluster file is open."),
        (status = 422, description = "The name, the id or the body is not what is taken here."),
    )
)]
pub async fn node(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
    AskedOrNot(request): AskedOrNot<BlinkRequest>,
) -> Result<Json<BlinkResponse>, Problem> {
    let name = nodes::parse(&name)?;
    let seconds = seconds(&request)?;
    let client = nodes::reach(&shared.core, &name).await?;
    blink(client, name.as_str(), seconds).await
}

/// Makes a machine that is no node yet show itself.
#[utoipa::path(
    post,
    path = "/api/v1/machines/{id}/blink",
    operation_id = "blinkMachine",
    tag = "machines",
    params(("id" = String, Path, description = "A machine, by the fingerprint of its key")),
    request_body = Option<BlinkRequest>,
    responses(
        (status = 200, body = BlinkResponse, description = "Its light blinks"),
        (status = 404, description = "No such machine is here."),
        (status = 409, description = "It was not reached or refuses, or no cluster file is open."),
        (status = 422, description = "The name, the id or the body is not what is taken here."),
    )
)]
pub async fn machine(
    _: Session,
    State(shared): State<Shared>,
    Part(id): Part,
    AskedOrNot(request): AskedOrNot<BlinkRequest>,
) -> Result<Json<BlinkResponse>, Problem> {
    let seconds = seconds(&request)?;
    let none = || Problem::new(StatusCode::NOT_FOUND, "no-such-machine", "no such machine is here");
    let fingerprint: Fingerprint = id.parse().map_err(|_| none())?;
    let hint = shared.core.machine(&fingerprint, |machine| machine.hint.clone()).ok_or_else(none)?;
    let connected = dial::connect(&shared.core, &hint).await;
    let (client, _) = connected.map_err(|error| nodes::unreachable(chain(&error)))?;
    blink(client, &cairn_wire::fingerprint::short(&fingerprint), seconds).await
}

fn seconds(request: &BlinkRequest) -> Result<u32, Problem> {
    match request.seconds.unwrap_or(DEFAULT_SECONDS) {
        seconds @ 1..=MOST_SECONDS => Ok(seconds),
        _ => Err(bad(format!("`seconds` has to be from 1 to {MOST_SECONDS}"))),
    }
}

async fn blink(mut client: Client, who: &str, seconds: u32) -> Result<Json<BlinkResponse>, Problem> {
    match client.ask(&Request::Blink { seconds }).await {
        Ok(Answer::Blinking { light }) => Ok(Json(BlinkResponse { light, seconds })),
        Ok(_) => Err(nodes::broken(who, &ClientError::Unexpected)),
        Err(error) => Err(nodes::broken(who, &error)),
    }
}
