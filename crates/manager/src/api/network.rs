//! The network, as the manager's machine sees it.

use super::{Problem, Session, Shared};
use crate::network::types::{NetworkReport, ScanReport, ScanRequest};
use crate::network::{self, ScanRefused};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use cairn_workflow::log::chain;

pub async fn network(_: Session, State(shared): State<Shared>) -> Result<impl IntoResponse, Problem> {
    let report: NetworkReport =
        network::look(&shared.core).await.map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(report)))
}

/// Takes a few seconds; who hangs up ends it.
pub async fn scan(
    _: Session,
    State(shared): State<Shared>,
    body: axum::body::Bytes,
) -> Result<Json<ScanReport>, Problem> {
    let request = if body.is_empty() {
        ScanRequest::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", error.to_string())
        })?
    };
    let found = network::scan(&shared.core, &request).await;
    Ok(Json(found.map_err(|refused| {
        let (status, kind) = match &refused {
            ScanRefused::Running => (StatusCode::CONFLICT, "scan-running"),
            ScanRefused::NoInterface(_) => (StatusCode::NOT_FOUND, "no-such-interface"),
            ScanRefused::NotConnected(_) | ScanRefused::NoNetwork => (StatusCode::CONFLICT, "not-connected"),
            ScanRefused::Scan(_) => (StatusCode::CONFLICT, "not-scanned"),
            ScanRefused::Interfaces(_) | ScanRefused::Lost(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        Problem::new(status, kind, chain(&refused))
    })?))
}
