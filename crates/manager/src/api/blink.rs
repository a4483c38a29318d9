//! Makes a machine show itself, whether it is a node or not yet.

use super::types::{BlinkRequest, BlinkResponse};
use super::{Problem, Session, Shared, nodes};
use crate::dial;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cairn_model::cluster::Fingerprint;
use cairn_wire::client::{Client, ClientError};
use cairn_wire::message::{Request, Response as Answer};
use cairn_workflow::log::chain;

const DEFAULT_SECONDS: u32 = 15;
/// The agent's own bound.
const MOST_SECONDS: u32 = 60;

pub async fn node(
    _: Session,
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<BlinkResponse>, Problem> {
    let name = nodes::parse(&name)?;
    let seconds = seconds(&body)?;
    let client = nodes::reach(&shared.core, &name).await?;
    blink(client, name.as_str(), seconds).await
}

pub async fn machine(
    _: Session,
    State(shared): State<Shared>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<BlinkResponse>, Problem> {
    let seconds = seconds(&body)?;
    let none = || Problem::new(StatusCode::NOT_FOUND, "no-such-machine", "no such machine is here");
    let fingerprint: Fingerprint = id.parse().map_err(|_| none())?;
    let hint = shared.core.machine(&fingerprint, |machine| machine.hint.clone()).ok_or_else(none)?;
    let connected = dial::connect(&shared.core, &hint).await;
    let (client, _) = connected.map_err(|error| nodes::unreachable(chain(&error)))?;
    blink(client, &cairn_wire::fingerprint::short(&fingerprint), seconds).await
}

fn seconds(body: &[u8]) -> Result<u32, Problem> {
    let bad = |words: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", words);
    if body.is_empty() {
        return Ok(DEFAULT_SECONDS);
    }
    let request: BlinkRequest = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
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
