//! What the page's buttons do.

use super::layout;
use crate::api::{self, ApproveRequest, Problem, Session, Shared};
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

/// As browsers send a form: an empty choice is none, an unticked box is absent.
#[derive(Deserialize)]
pub struct Approval {
    code: String,
    node: String,
    disk: String,
    #[serde(default)]
    wipe: Option<String>,
}

fn shown(result: Result<impl IntoResponse, Problem>) -> Response {
    match result {
        Ok(answer) => answer.into_response(),
        Err(problem) => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            layout::problem(status, &problem.detail)
        }
    }
}

pub async fn approve(
    _: Session,
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Form(form): Form<Approval>,
) -> Response {
    let Approval { code, node, disk, wipe } = form;
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let request = ApproveRequest { code, node: given(node), disk: given(disk), wipe: wipe.is_some() };
    let approved = api::give(&shared.core, &id, &request).map_err(Problem::from);
    shown(approved.map(|_| Redirect::to("/")))
}

pub async fn medium(session: Session, state: State<Shared>, name: Path<String>) -> Response {
    shown(api::medium(session, state, name, axum::body::Bytes::new()).await)
}

pub async fn restart(session: Session, state: State<Shared>, name: Path<String>) -> Response {
    shown(api::restart(session, state, name).await.map(|_| Redirect::to("/")))
}

pub async fn power_off(session: Session, state: State<Shared>, name: Path<String>) -> Response {
    shown(api::power_off(session, state, name).await.map(|_| Redirect::to("/")))
}

pub async fn cluster_file(session: Session, state: State<Shared>) -> Response {
    shown(api::cluster_file(session, state).await)
}
