//! The store of artifacts, over HTTP.

use super::types::JobStatus;
use super::{Problem, Session, Shared};
use crate::artifacts::ArtifactsError;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use cairn_artifacts::pull::{Item, Listed, SUBJECT, plan};
use cairn_workflow::What;
use cairn_workflow::log::chain;
use std::sync::Arc;

impl From<ArtifactsError> for Problem {
    fn from(error: ArtifactsError) -> Self {
        let (status, kind) = match &error {
            ArtifactsError::Pulling => (StatusCode::CONFLICT, "pull-running"),
            ArtifactsError::Pins(_) => (StatusCode::CONFLICT, "wrong-pins"),
            ArtifactsError::Fetch(_) => (StatusCode::BAD_GATEWAY, "not-fetched"),
            ArtifactsError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self::new(status, kind, chain(&error))
    }
}

async fn look(shared: &Shared) -> Result<Vec<Item>, Problem> {
    let artifacts = Arc::clone(&shared.core.artifacts);
    let looked = tokio::task::spawn_blocking(move || artifacts.look()).await;
    Ok(looked.map_err(|error| Problem::internal(&error))??)
}

/// What is wanted, and what of it is there.
#[utoipa::path(
    get,
    path = "/api/v1/artifacts",
    operation_id = "artifacts",
    tag = "artifacts",
    responses(
        (status = 200, body = Vec<Listed>, description = "Each pinned file"),
        (status = 409, description = "The pins are wrong, or no cluster file is open."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn list(_: Session, State(shared): State<Shared>) -> Result<Json<Vec<Listed>>, Problem> {
    Ok(Json(look(&shared).await?.iter().map(Item::listed).collect()))
}

/// Begins to fetch what is missing.
#[utoipa::path(
    post,
    path = "/api/v1/artifacts/pull",
    operation_id = "pullArtifacts",
    tag = "artifacts",
    responses(
        (status = 202, body = JobStatus, description = "It has begun"),
        (status = 409, description = "It is being fetched already, the pins are wrong, or no cluster file is open."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn pull(
    _: Session,
    State(shared): State<Shared>,
) -> Result<(StatusCode, Json<JobStatus>), Problem> {
    let pulling = shared.core.artifacts.begin()?;
    // the plan is there before the answer
    let items = look(&shared).await?;
    let core = Arc::clone(&shared.core);
    core.jobs.plan(plan(&items));
    tokio::task::spawn_blocking(move || {
        let report = &mut |what| match what {
            What::Planned { .. } => {}
            what => core.jobs.report(SUBJECT, what),
        };
        if let Err(error) = pulling.run(&items, report) {
            tracing::warn!(error = chain(&error), "artifacts were not fetched");
        }
    });
    Ok((StatusCode::ACCEPTED, view(&shared)?))
}

/// How far fetching is.
#[utoipa::path(
    get,
    path = "/api/v1/artifacts/pull",
    operation_id = "artifactsJob",
    tag = "artifacts",
    responses(
        (status = 200, body = JobStatus, description = "The job that was begun last"),
        (status = 404, description = "Nothing was fetched since the manager started."),
    )
)]
pub async fn pulling(_: Session, State(shared): State<Shared>) -> Result<Json<JobStatus>, Problem> {
    view(&shared)
}

fn view(shared: &Shared) -> Result<Json<JobStatus>, Problem> {
    let none = || {
        let words = "no artifacts were fetched since the manager started";
        Problem::new(StatusCode::NOT_FOUND, "no-such-job", words)
    };
    shared.core.jobs.view(SUBJECT).map(Json).ok_or_else(none)
}
