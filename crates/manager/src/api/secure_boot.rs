//! What firmware with Secure Boot on has to be given.

use super::{Problem, Session, Shared};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cairn_workflow::log::chain;
use std::sync::Arc;

/// The certificate that firmware with Secure Boot on has to trust.
///
/// What machines start is signed by a key that follows from the cluster file. The certificate is no secret.
#[utoipa::path(
    get,
    path = "/api/v1/secure-boot/certificate",
    operation_id = "secureBootCertificate",
    tag = "machines",
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/pkix-cert", description = "An X.509 certificate (DER), as firmware takes it from a file"),
        (status = 500, description = "No key follows from the cluster file."),
    )
)]
pub async fn certificate(_: Session, State(shared): State<Shared>) -> Result<Response, Problem> {
    let (signed, owner) = (Arc::clone(&shared.core.signed), shared.core.signer());
    let derived =
        tokio::task::spawn_blocking(move || signed.certificate(owner).map_err(|error| chain(&error)));
    let derived = derived.await.unwrap_or_else(|_| Err("deriving the key was cut short".to_owned()));
    let certificate =
        derived.map_err(|words| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no-signing-key", words))?;
    let headers = [
        (header::CONTENT_TYPE, "application/pkix-cert"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"cairn-secure-boot.cer\""),
    ];
    Ok((headers, certificate).into_response())
}
