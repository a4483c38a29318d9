//! The network, as the manager's machine sees it.

use super::ask::AskedOrNot;
use super::{Problem, Session, Shared};
use crate::network::types::{NetworkReport, ScanReport, ScanRequest};
use crate::network::{self, ScanRefused};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use cairn_workflow::log::chain;

/// The network, as the manager's machine sees it.
#[utoipa::path(
    get,
    path = "/api/v1/network",
    operation_id = "network",
    tag = "network",
    responses(
        (status = 200, body = NetworkReport, description = "Interfaces, ports, machines on the wire"),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn network(_: Session, State(shared): State<Shared>) -> Result<impl IntoResponse, Problem> {
    let report: NetworkReport =
        network::look(&shared.core).await.map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(report)))
}

/// Looks for machines and DHCP servers on a network.
///
/// Takes a few seconds; who hangs up ends it.
#[utoipa::path(
    post,
    path = "/api/v1/network/scan",
    operation_id = "scanNetwork",
    tag = "network",
    request_body = Option<ScanRequest>,
    responses(
        (status = 200, body = ScanReport, description = "What answered"),
        (status = 404, description = "There is no such interface."),
        (status = 409, description = "A scan runs, nothing is connected, it could not be done, or no cluster file is open."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn scan(
    _: Session,
    State(shared): State<Shared>,
    AskedOrNot(request): AskedOrNot<ScanRequest>,
) -> Result<Json<ScanReport>, Problem> {
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
