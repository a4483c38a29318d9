//! The page on the network: where it is, and its switch.

use super::{Problem, Session, Shared};
use crate::lan::LanStatus;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

/// What it is to be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanSwitch {
    pub on: bool,
}

pub async fn lan(_: Session, State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(shared.lan.status()))
}

/// Whoever is on the network may use what is there, and not decide who else comes in.
pub async fn switch(
    _: Session,
    State(shared): State<Shared>,
    request: Result<Json<LanSwitch>, JsonRejection>,
) -> Result<Json<LanStatus>, Problem> {
    if shared.site.is_network() {
        let words = "this is switched at the manager's own machine only: open the page there";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not-here", words));
    }
    let Json(LanSwitch { on }) = request
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", error.body_text()))?;
    Ok(Json(shared.lan.switch(on).await))
}
