//! The owner's word for a machine.

use super::ask::{Asked, Part};
use super::types::{ApproveRequest, ApproveResponse};
use super::{Problem, Session, Shared};
use crate::approve::{self, ApproveError};
use crate::book::BookError;
use crate::core::Core;
use crate::journal::{Approval, Way};
use crate::suit;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use cairn_model::cluster::{EditError, Fingerprint, Name, Role};
use cairn_vault::file::NextError;
use cairn_wire::message::AgentState;
use std::collections::BTreeSet;
use tokio::time::Instant;

impl From<ApproveError> for Problem {
    fn from(error: ApproveError) -> Self {
        let (status, kind) = match &error {
            ApproveError::NoSuchMachine => (StatusCode::NOT_FOUND, "no-such-machine"),
            ApproveError::NotWaiting => (StatusCode::CONFLICT, "not-waiting"),
            ApproveError::Impossible(_) => (StatusCode::CONFLICT, "impossible"),
            ApproveError::NoCode => (StatusCode::CONFLICT, "no-code"),
            ApproveError::WrongCode { .. } => (StatusCode::FORBIDDEN, "wrong-code"),
            ApproveError::NoSuchNode(_) => (StatusCode::UNPROCESSABLE_ENTITY, "no-such-node"),
            ApproveError::PlaceTaken(_) => (StatusCode::CONFLICT, "place-taken"),
            ApproveError::NoPlace(_) => (StatusCode::CONFLICT, "no-place"),
            ApproveError::OtherPlace(_) => (StatusCode::CONFLICT, "other-place"),
            ApproveError::BadName(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad-name"),
            ApproveError::NoRole(_) => (StatusCode::UNPROCESSABLE_ENTITY, "no-role"),
            ApproveError::NoMoreEtcd => (StatusCode::CONFLICT, "no-more-etcd"),
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

/// An approval that may stand, as far as can be told before it is written down.
struct Given {
    machine: Fingerprint,
    name: Name,
    /// Of a place that has to be made.
    new: Option<Role>,
    way: Way,
    replaces: Option<Fingerprint>,
}

fn check(core: &Core, id: &str, request: &ApproveRequest) -> Result<Given, ApproveError> {
    let machine_key: Fingerprint = id.parse().map_err(|_| ApproveError::NoSuchMachine)?;
    let now = Instant::now();
    let file = core.book.file();
    let mut registry = core.registry();
    let machine = registry.get_mut(&machine_key).ok_or(ApproveError::NoSuchMachine)?;
    let contact = machine.contact.clone().filter(|_| machine.is_reached(now));
    let contact = contact.ok_or(ApproveError::NotWaiting)?;
    // its join key was proven, which is worth more than a code
    let by_stick = machine.waits_for_disk().cloned();
    if by_stick.is_none() {
        if contact.description.state != AgentState::Fresh {
            return Err(ApproveError::NotWaiting);
        }
        let code = machine.code.as_ref().ok_or(ApproveError::NoCode)?;
        if !code.matches(&request.code) {
            return Err(ApproveError::WrongCode { another: machine.wrong_code() });
        }
    }
    let inventory = contact.description.inventory;
    suit::possible(&inventory).map_err(ApproveError::Impossible)?;
    let way = approve::disk(&inventory, request.disk.as_deref(), request.wipe)?;
    let way = if by_stick.is_some() { way.by_stick() } else { way };
    let is_reached = |other: &Fingerprint| registry.get(other).is_some_and(|m| m.is_reached(now));
    let parse = |text: &str| text.parse::<Name>().map_err(|_| ApproveError::BadName(text.to_owned()));
    let named = request.node.as_deref().map(parse).transpose()?;
    core.book.journal(|journal| {
        let (name, suggested) = match (named, &by_stick) {
            (Some(name), Some(place)) if name != *place => {
                return Err(ApproveError::OtherPlace(place.clone()));
            }
            (_, Some(place)) => (place.clone(), None),
            (Some(name), None) => (name, None),
            (None, None) => match suit::suggest(file.cluster(), journal, &inventory) {
                Some(suggestion) => (suggestion.place, Some(suggestion.role)),
                None => {
                    let unfit = suit::unfit(&inventory);
                    let words = unfit.unwrap_or_else(|| "etcd has no free place, and it is small".to_owned());
                    return Err(ApproveError::NoPlace(words));
                }
            },
        };
        if by_stick.is_none() && file.cluster().node(&name).is_none() {
            let role = suit::role_of_new(&name, request.role.or(suggested));
            return match role.ok_or_else(|| ApproveError::NoRole(name.clone()))? {
                Role::Etcd => Err(ApproveError::NoMoreEtcd),
                role => Ok(Given { machine: machine_key, name, new: Some(role), way, replaces: None }),
            };
        }
        let node = approve::place(file.cluster(), journal, &name, &machine_key, is_reached)?;
        let holder = node.enrolled.as_ref().map(|holder| holder.boot);
        let replaces = holder.filter(|holder| *holder != machine_key);
        Ok(Given { machine: machine_key, name, new: None, way, replaces })
    })
}

fn stored(error: impl std::error::Error) -> ApproveError {
    ApproveError::Store(cairn_workflow::log::chain(&error))
}

/// Checks everything, makes the place if there is none, and writes the approval down; the machine's own
/// task goes on from there.
pub async fn give(core: &Core, id: &str, request: &ApproveRequest) -> Result<ApproveResponse, ApproveError> {
    let Given { machine, name, new, way, replaces } = check(core, id, request)?;
    if let Some(role) = new {
        let place = name.clone();
        let made = core.book.change(move |cluster| cluster.with_node(role, Some(place))).await;
        made.map_err(|error| match error {
            // somebody was as quick as we
            BookError::Next(NextError::Edit(EditError::NameTaken(place))) => ApproveError::PlaceTaken(place),
            error => stored(error),
        })?;
    }
    let disk = match &way {
        Way::Disk { id, .. } | Way::InnerDisk { id, .. } => id.clone(),
        Way::Medium => String::new(),
    };
    let (file, now) = (core.book.file(), Instant::now());
    let reached: BTreeSet<Fingerprint> =
        core.registry().iter().filter(|it| it.is_reached(now)).map(|it| it.fingerprint).collect();
    let mut free = Ok(());
    let note = core.book.note(|journal| {
        // another approval may have come in between
        let is_reached = |other: &Fingerprint| reached.contains(other);
        free = approve::place(file.cluster(), journal, &name, &machine, is_reached).map(drop);
        if free.is_ok() {
            journal.approve(machine, Approval::new(name.clone(), way, replaces));
        }
    });
    note.map_err(stored)?;
    free?;
    core.machine(&machine, |machine| {
        machine.succeed();
        machine.wake.notify_one();
    });
    tracing::info!(node = %name, disk, "the owner approved a machine");
    Ok(ApproveResponse { node: name.to_string(), disk, cluster_file: cluster_file(core).await })
}

/// The approval stands, whether its room can be told or not.
async fn cluster_file(core: &Core) -> String {
    let Ok((entry, _)) = core.book.entry().await else { return String::new() };
    let room = entry.room().with_another_node();
    let advice = room.advice().map(|advice| format!(". {advice}")).unwrap_or_default();
    format!("the cluster file will have some {room}{advice}")
}

/// The owner's word for a machine: it becomes a node.
#[utoipa::path(
    post,
    path = "/api/v1/machines/{id}/approve",
    operation_id = "approveMachine",
    tag = "machines",
    params(("id" = String, Path, description = "A machine, by the fingerprint of its key")),
    request_body = ApproveRequest,
    responses(
        (status = 200, body = ApproveResponse, description = "It is approved, and will be installed"),
        (status = 403, description = "The code is another one than the machine shows, or another site's page sent it."),
        (status = 404, description = "No such machine is here."),
        (status = 409, description = "It does not wait, its place is taken, its disk is not blank or has to be chosen, or no cluster file is open."),
        (status = 422, description = "The name, the role or the disk does not fit, or the body is not what is taken here."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn approve(
    _: Session,
    State(shared): State<Shared>,
    Part(id): Part,
    Asked(request): Asked<ApproveRequest>,
) -> Result<Json<ApproveResponse>, Problem> {
    Ok(Json(give(&shared.core, &id, &request).await?))
}
