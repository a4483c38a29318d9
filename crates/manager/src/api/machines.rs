//! The owner's word for a machine.

use super::types::{ApproveRequest, ApproveResponse};
use super::{Problem, Session, Shared};
use crate::approve::{self, ApproveError};
use crate::core::Core;
use crate::journal::{Approval, Way};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cairn_model::cluster::{Fingerprint, Name};
use cairn_wire::message::AgentState;
use tokio::time::Instant;

impl From<ApproveError> for Problem {
    fn from(error: ApproveError) -> Self {
        let (status, kind) = match &error {
            ApproveError::NoSuchMachine => (StatusCode::NOT_FOUND, "no-such-machine"),
            ApproveError::NotWaiting => (StatusCode::CONFLICT, "not-waiting"),
            ApproveError::NoCode => (StatusCode::CONFLICT, "no-code"),
            ApproveError::WrongCode { .. } => (StatusCode::FORBIDDEN, "wrong-code"),
            ApproveError::NoSuchNode(_) => (StatusCode::UNPROCESSABLE_ENTITY, "no-such-node"),
            ApproveError::PlaceTaken(_) => (StatusCode::CONFLICT, "place-taken"),
            ApproveError::NoPlace => (StatusCode::CONFLICT, "no-place"),
            ApproveError::NoSuchDisk(..) => (StatusCode::UNPROCESSABLE_ENTITY, "no-such-disk"),
            ApproveError::NotBlank { .. } => (StatusCode::CONFLICT, "disk-not-blank"),
            ApproveError::TooSmall { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "disk-too-small"),
            ApproveError::StartedFrom(_) => (StatusCode::UNPROCESSABLE_ENTITY, "disk-started-from"),
            ApproveError::ChooseDisk(..) => (StatusCode::CONFLICT, "choose-disk"),
            ApproveError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self::new(status, kind, error.to_string())
    }
}

/// Checks everything, and writes the approval down; the machine's own task goes on from there.
pub fn give(core: &Core, id: &str, request: &ApproveRequest) -> Result<ApproveResponse, ApproveError> {
    let fingerprint: Fingerprint = id.parse().map_err(|_| ApproveError::NoSuchMachine)?;
    let now = Instant::now();
    let file = core.book.file();
    let mut registry = core.registry();
    let machine = registry.get_mut(&fingerprint).ok_or(ApproveError::NoSuchMachine)?;
    let waits = machine.is_reached(now)
        && machine.contact.as_ref().is_some_and(|it| it.description.state == AgentState::Fresh);
    if !waits {
        return Err(ApproveError::NotWaiting);
    }
    let code = machine.code.as_ref().ok_or(ApproveError::NoCode)?;
    if !code.matches(&request.code) {
        return Err(ApproveError::WrongCode { another: machine.wrong_code() });
    }
    let contact = machine.contact.as_ref().ok_or(ApproveError::NotWaiting)?;
    let way = approve::disk(&contact.description.inventory, request.disk.as_deref(), request.wipe)?;
    let is_reached = |other: &Fingerprint| registry.get(other).is_some_and(|m| m.is_reached(now));
    let (name, replaces) = core.book.journal(|journal| -> Result<_, ApproveError> {
        let name = match request.node.as_deref() {
            Some(text) => text.parse::<Name>().map_err(|error| ApproveError::Store(error.to_string()))?,
            None => approve::suggest(file.cluster(), journal).ok_or(ApproveError::NoPlace)?,
        };
        let node = approve::place(file.cluster(), journal, &name, &fingerprint, is_reached)?;
        let holder = node.enrolled.as_ref().map(|holder| holder.boot);
        Ok((name, holder.filter(|holder| *holder != fingerprint)))
    })?;
    let disk = match &way {
        Way::Disk { id, .. } => id.clone(),
        Way::Medium => String::new(),
    };
    core.book
        .note(|journal| journal.approve(fingerprint, Approval::new(name.clone(), way, replaces)))
        .map_err(|error| ApproveError::Store(cairn_workflow::log::chain(&error)))?;
    if let Some(machine) = registry.get_mut(&fingerprint) {
        machine.succeed();
        machine.wake.notify_one();
    }
    tracing::info!(node = %name, disk, "the owner approved a machine");
    Ok(ApproveResponse { node: name.to_string(), disk })
}

pub async fn approve(
    _: Session,
    State(shared): State<Shared>,
    Path(id): Path<String>,
    body: Result<Json<ApproveRequest>, JsonRejection>,
) -> Result<Json<ApproveResponse>, Problem> {
    let Json(request) = body
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", error.body_text()))?;
    Ok(Json(give(&shared.core, &id, &request)?))
}
