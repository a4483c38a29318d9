//! Prepared media, over HTTP.

use super::ask::{Asked, AskedOrNot, Part};
use super::nodes::parse;
use super::types::{DiskStatus, JobStatus, MediumFormat, MediumRequest, MediumStatus, WriteMediumRequest};
use super::{Problem, Session, Shared};
use crate::core::unix_now;
use crate::media::{self, MediaError, Wish, job, send};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cairn_host::usb_boot::WaitingBoard;
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
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/medium",
    operation_id = "prepareMedium",
    tag = "media",
    params(("name" = cairn_model::cluster::Name, Path, description = "A node", example = "etcd-1")),
    request_body = Option<MediumRequest>,
    responses(
        (status = 200, description = "The image; `cairn-medium`, `cairn-image-length` and `cairn-image-sha256` speak of it as it is on the medium", content((Vec<u8> = "application/gzip"), (Vec<u8> = "application/octet-stream")), headers(("cairn-medium" = String, description = "Its join key's id"), ("cairn-image-length" = u64, description = "Bytes"), ("cairn-image-sha256" = String, description = "In hexadecimal digits"))),
        (status = 404, description = "There is no such node."),
        (status = 409, description = "A machine has the place, another node's medium has the static address, there is no node image, or no cluster file is open."),
        (status = 422, description = "That is no name of a node, the time is too long, the board starts from no such medium, the static address is of the cluster's own network, or the body is not what is taken here."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn medium(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
    AskedOrNot(request): AskedOrNot<MediumRequest>,
) -> Result<Response, Problem> {
    image(&shared, &name, request).await
}

pub(crate) async fn image(shared: &Shared, name: &str, request: MediumRequest) -> Result<Response, Problem> {
    let MediumRequest { valid_seconds, kind, board, format, wifi, address } = request;
    let name = parse(name)?;
    let wish = Wish { node: name.clone(), kind, board: board.into(), valid: valid_seconds, wifi, address };
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
///
/// What is on the disk is lost.
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{name}/medium/write",
    operation_id = "writeMedium",
    tag = "media",
    params(("name" = cairn_model::cluster::Name, Path, description = "A node", example = "etcd-1")),
    request_body = WriteMediumRequest,
    responses(
        (status = 202, body = JobStatus, description = "It has begun"),
        (status = 404, description = "There is no such node or disk."),
        (status = 409, description = "A machine has the place, another node's medium has the static address, the disk is refused, another medium is being written, or no cluster file is open."),
        (status = 422, description = "That is no name of a node, the time is too long, the board starts from no such medium, the static address is of the cluster's own network, or the body is not what is taken here."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn write(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
    Asked(request): Asked<WriteMediumRequest>,
) -> Result<(StatusCode, Json<JobStatus>), Problem> {
    let WriteMediumRequest { disk, valid_seconds, kind, board, wifi, address } = request;
    let name = parse(&name)?;
    let wish = Wish { node: name.clone(), kind, board: board.into(), valid: valid_seconds, wifi, address };
    job::start(&shared.core, wish, disk).await?;
    Ok((StatusCode::ACCEPTED, Json(view(&shared, &name)?)))
}

/// How far writing a medium is.
#[utoipa::path(
    get,
    path = "/api/v1/nodes/{name}/medium/write",
    operation_id = "writeMediumJob",
    tag = "media",
    params(("name" = cairn_model::cluster::Name, Path, description = "A node", example = "etcd-1")),
    responses(
        (status = 200, body = JobStatus, description = "The job that was begun last"),
        (status = 404, description = "None was written since the manager started."),
        (status = 422, description = "That is no name of a node."),
    )
)]
pub async fn writing(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
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
#[utoipa::path(
    get,
    path = "/api/v1/media",
    operation_id = "media",
    tag = "media",
    responses(
        (status = 200, body = Vec<MediumStatus>, description = "The one that is good for the longest first"),
    )
)]
pub async fn list(_: Session, State(shared): State<Shared>) -> Json<Vec<MediumStatus>> {
    let file = shared.core.book.file();
    Json(shared.core.book.journal(|journal| media::list::list(file.cluster(), journal, unix_now())))
}

/// The Raspberry Pis that wait on this machine's USB because they found nothing to start from.
#[utoipa::path(
    get,
    path = "/api/v1/boards",
    operation_id = "boards",
    tag = "media",
    responses(
        (status = 200, body = Vec<WaitingBoard>, description = "By port"),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn boards(_: Session) -> Result<Json<Vec<WaitingBoard>>, Problem> {
    let boards = tokio::task::spawn_blocking(media::boards).await;
    boards.map(Json).map_err(|error| Problem::internal(&error))
}

/// The disks of this machine.
#[utoipa::path(
    get,
    path = "/api/v1/disks",
    operation_id = "disks",
    tag = "media",
    responses(
        (status = 200, body = Vec<DiskStatus>, description = "Those that are refused too, and why"),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn disks(_: Session) -> Result<Json<Vec<DiskStatus>>, Problem> {
    let disks = tokio::task::spawn_blocking(media::disks).await;
    disks.map(Json).map_err(|error| Problem::internal(&error))
}
