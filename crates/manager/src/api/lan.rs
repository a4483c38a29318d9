//! The page on the network: where it is, and its switch.

use super::ask::Asked;
use super::{Problem, Session, Shared};
use crate::lan::LanStatus;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What it is to be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LanSwitch {
    pub on: bool,
}

/// Where the page is on the network.
#[utoipa::path(
    get,
    path = "/api/v1/lan",
    operation_id = "lan",
    tag = "network",
    responses(
        (status = 200, body = LanStatus, description = "Its addresses, and the certificate's fingerprint"),
    )
)]
pub async fn lan(_: Session, State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(shared.lan.status()))
}

/// Serves the page on the network, or no longer. Whoever is on the network may use what is there, and not
/// decide who else comes in.
#[utoipa::path(
    post,
    path = "/api/v1/lan",
    operation_id = "switchLan",
    tag = "network",
    request_body = LanSwitch,
    responses(
        (status = 200, body = LanStatus, description = "What came of it"),
        (status = 403, description = "It was asked from the network: it is switched at the manager's own machine only."),
        (status = 422, description = "The body is not what is taken here."),
    )
)]
pub async fn switch(
    _: Session,
    State(shared): State<Shared>,
    Asked(LanSwitch { on }): Asked<LanSwitch>,
) -> Result<Json<LanStatus>, Problem> {
    if shared.site.is_network() {
        let words = "this is switched at the manager's own machine only: open the page there";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not-here", words));
    }
    Ok(Json(shared.lan.switch(on).await))
}
