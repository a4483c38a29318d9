//! Prepared media, over HTTP.

use super::nodes::parse;
use super::types::{DiskStatus, JobStatus, MediumFormat, MediumRequest, MediumStatus, WriteMediumRequest};
use super::{Problem, Session, Shared};
use crate::core::unix_now;
use crate::media::{self, MediaError, Wish, job, send};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cairn_model::cluster::Name;
use cairn_workflow::log::chain;

/// Headers of an answer that is an image; see [`MediumRequest`].
pub const MEDIUM_ID: HeaderName = HeaderName::from_static("cairn-medium");
pub const IMAGE_LENGTH: HeaderName = HeaderName::from_static("cairn-image-length");
pub const IMAGE_SHA256: HeaderName = HeaderName::from_static("cairn-image-sha256");

impl From<MediaError> for Problem {
    fn from(error: MediaError) -> Self {
        let (status, kind) = error.kind();
        Self::new(status, kind, chain(&error))
    }
}

/// The disk image of a new prepared medium.
pub async fn medium(
    _: Session,
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let request = if body.is_empty() {
        MediumRequest::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", error.to_string())
        })?
    };
    image(&shared, &name, request).await
}

pub(crate) async fn image(shared: &Shared, name: &str, request: MediumRequest) -> Result<Response, Problem> {
    let MediumRequest { valid_seconds, kind, format, wifi } = request;
    let name = parse(name)?;
    let wish = Wish { node: name.clone(), kind, valid: valid_seconds, wifi };
    let medium = media::prepare(&shared.core, wish).await?;
    let (content_type, ending) = match format {
        MediumFormat::Gzip => ("application/gzip", "img.gz"),
        MediumFormat::Raw => ("application/octet-stream", "img"),
    };
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"cairn-{name}.{ending}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (MEDIUM_ID, medium.id.to_string()),
        (IMAGE_LENGTH, medium.length.to_string()),
        (IMAGE_SHA256, medium.sha256.clone()),
    ];
    Ok(match format {
        MediumFormat::Gzip => (headers, send::gzipped(medium)).into_response(),
        MediumFormat::Raw => {
            let length = [(header::CONTENT_LENGTH, medium.length.to_string())];
            (headers, length, send::raw(medium)).into_response()
        }
    })
}

/// Writes a new medium to a disk of this machine.
pub async fn write(
    _: Session,
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Result<Json<WriteMediumRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<JobStatus>), Problem> {
    let Json(WriteMediumRequest { disk, valid_seconds, kind, wifi }) = body
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", error.body_text()))?;
    let name = parse(&name)?;
    let wish = Wish { node: name.clone(), kind, valid: valid_seconds, wifi };
    job::start(&shared.core, wish, disk).await?;
    Ok((StatusCode::ACCEPTED, Json(view(&shared, &name)?)))
}

/// How far that is.
pub async fn writing(
    _: Session,
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<JobStatus>, Problem> {
    Ok(Json(view(&shared, &parse(&name)?)?))
}

fn view(shared: &Shared, name: &Name) -> Result<JobStatus, Problem> {
    shared.core.jobs.view(&job::subject(name)).ok_or_else(|| {
        let words = format!("no medium for '{name}' was written since the manager started");
        Problem::new(StatusCode::NOT_FOUND, "no-such-job", words)
    })
}

/// The media that were prepared, and what became of them.
pub async fn list(_: Session, State(shared): State<Shared>) -> Json<Vec<MediumStatus>> {
    let file = shared.core.book.file();
    Json(shared.core.book.journal(|journal| media::list::list(file.cluster(), journal, unix_now())))
}

/// The disks of this machine.
pub async fn disks(_: Session) -> Result<Json<Vec<DiskStatus>>, Problem> {
    let disks = tokio::task::spawn_blocking(media::disks).await;
    disks.map(Json).map_err(|error| Problem::internal(&error))
}
