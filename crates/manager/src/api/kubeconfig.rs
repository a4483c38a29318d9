//! What opens Kubernetes: asked of the nodes that run it, kept nowhere.

use super::{Problem, Session, Shared, nodes};
use crate::core::Core;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cairn_model::cluster::{Name, Role};
use cairn_model::secret::Secret;
use cairn_wire::message::{Request, Response as Answer};

/// Bytes that are wiped once they are sent.
struct Wiped(Secret);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

/// What opens Kubernetes.
///
/// It is asked of the nodes that run it, and kept nowhere.
#[utoipa::path(
    get,
    path = "/api/v1/kubeconfig",
    operation_id = "kubeconfig",
    tag = "cluster",
    responses(
        (status = 200, body = Secret, content_type = "application/yaml", description = "A kubeconfig, which is a secret"),
        (status = 409, description = "No node has one, or no cluster file is open."),
    )
)]
pub async fn kubeconfig(_: Session, State(shared): State<Shared>) -> Result<Response, Problem> {
    let secret = find(&shared.core).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/yaml"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"kubeconfig.yaml\""),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from(Bytes::from_owner(Wiped(secret)))).into_response())
}

/// From the first node that has it; if none has, why each has not.
async fn find(core: &Core) -> Result<Secret, Problem> {
    let file = core.book.file();
    let compute: Vec<Name> = file.cluster().nodes_of(Role::Compute).map(|node| node.name.clone()).collect();
    let mut reasons = Vec::new();
    for name in &compute {
        match nodes::ask(core, name, &Request::Kubeconfig).await {
            Ok(Answer::Kubeconfig { text }) => return Ok(text),
            Ok(_) => reasons.push(format!("'{name}' gave another answer than was asked for")),
            Err(problem) => reasons.push(problem.detail),
        }
    }
    let words = if reasons.is_empty() {
        "this cluster has no compute node, so nothing runs Kubernetes".to_owned()
    } else {
        format!("no compute node runs k3s: {}", reasons.join("; "))
    };
    Err(Problem::new(StatusCode::CONFLICT, "no-kubeconfig", words))
}
