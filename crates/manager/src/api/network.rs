//! The network, as the manager's machine sees it.

use super::{Problem, Session, Shared};
use crate::network::{self, types::NetworkReport};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

pub async fn network(_: Session, State(shared): State<Shared>) -> Result<impl IntoResponse, Problem> {
    let report: NetworkReport =
        network::look(&shared.core).await.map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(report)))
}
