//! Prepared media, over HTTP.

use super::nodes::parse;
use super::types::{MediumFormat, MediumRequest};
use super::{Problem, Session, Shared};
use crate::media::{self, MediaError, send};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
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
    let MediumRequest { valid_seconds, format } = if body.is_empty() {
        MediumRequest::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", error.to_string())
        })?
    };
    let name = parse(&name)?;
    let medium = media::prepare(&shared.core, &name, valid_seconds).await?;
    let (kind, ending) = match format {
        MediumFormat::Gzip => ("application/gzip", "img.gz"),
        MediumFormat::Raw => ("application/octet-stream", "img"),
    };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
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
