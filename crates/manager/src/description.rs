//! The description of the API (OpenAPI 3.1), from the same routes that answer.
//!
//! What each operation does, takes and gives stands at its handler. Added here is what the same check refuses
//! everywhere: another host, no session, a closed manager, a body that is no such object.

use crate::api::{self, EventMessage, LogBroken, Problem, SESSION_COOKIE};
use crate::front;
use cairn_model::log::LogEntry;
use std::sync::LazyLock;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response};

const ABOUT: &str = "All that the page and the command line do. Errors are problems (RFC 9457): `type` is for programs, `detail` says what happened and what to do. Long jobs are told as numbered events.";
const PROBLEM: &str = "application/problem+json";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Cairn", description = ABOUT, license(name = "Apache-2.0", identifier = "Apache-2.0")),
    servers((url = "/", description = "the manager that gives this description")),
    components(schemas(Problem, EventMessage, LogEntry, LogBroken)),
    tags(
        (name = "door", description = "Open to anyone: whether a cluster is open, and opening one"),
        (name = "cluster", description = "The cluster as a whole, and the events of all jobs"),
        (name = "nodes", description = "What is asked of one node"),
        (name = "machines", description = "Machines that are no node yet"),
        (name = "media", description = "Prepared media"),
        (name = "artifacts", description = "What comes from outside the node image"),
        (name = "network", description = "What the manager sees of the network"),
        (name = "serial", description = "Serial adapters of the manager's machine"),
    )
)]
struct About;

/// The document as it is served and printed.
///
/// # Errors
/// When it can't be written as JSON.
pub fn text() -> Result<&'static str, &'static serde_json::Error> {
    static TEXT: LazyLock<serde_json::Result<String>> = LazyLock::new(|| description().to_pretty_json());
    TEXT.as_deref()
}

pub(crate) fn description() -> OpenApi {
    let mut outside = front::operations().into_openapi();
    let mut inside = api::operations().into_openapi();
    for operation in operations(&mut outside) {
        common(operation);
    }
    for operation in operations(&mut inside) {
        common(operation);
        closed_to_others(operation);
    }
    let mut all = <About as utoipa::OpenApi>::openapi();
    all.info.version = env!("CARGO_PKG_VERSION").to_owned();
    all.merge(outside);
    all.merge(inside);
    let schemes = &mut all.components.get_or_insert_default().security_schemes;
    schemes.insert("token".into(), RefOr::T(SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer))));
    let cookie = ApiKeyValue::with_description(SESSION_COOKIE, "What `/login` gives a browser.");
    schemes.insert("session".into(), RefOr::T(SecurityScheme::ApiKey(ApiKey::Cookie(cookie))));
    for operation in operations(&mut all) {
        as_problems(operation);
    }
    all
}

fn operations(api: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    api.paths.paths.values_mut().flat_map(|item| {
        let PathItem { get, put, post, delete, patch, .. } = item;
        [get, put, post, delete, patch].into_iter().flatten()
    })
}

fn add(operation: &mut Operation, status: &str, words: &str) {
    let responses = &mut operation.responses.responses;
    responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Response::new(words)));
}

fn common(operation: &mut Operation) {
    add(operation, "421", "It is addressed to another host than this manager.");
    let body = match &operation.request_body {
        Some(RefOr::T(body)) => Some(body.content.contains_key("application/json")),
        Some(RefOr::Ref(_)) | None => None,
    };
    if let Some(json) = body {
        add(operation, "413", "The body is too long.");
        add(operation, "422", "The body is not what is taken here.");
        if json {
            add(operation, "415", "The body is not sent as JSON.");
        }
    }
    if operation.parameters.as_ref().is_some_and(|all| !all.is_empty()) {
        add(operation, "422", "A part of the address is not what is taken here.");
    }
}

/// What is behind the door.
fn closed_to_others(operation: &mut Operation) {
    add(operation, "401", "Neither the session token nor a session's cookie was sent.");
    add(operation, "403", "Another site's page sent it with the browser's cookie.");
    add(operation, "409", "No cluster file is open.");
    operation.security =
        Some(["token", "session"].map(|name| SecurityRequirement::new(name, [""; 0])).into());
}

/// Every error has the same body.
fn as_problems(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response) {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            response.content.insert(PROBLEM.to_owned(), RefOr::T(content));
        }
    }
}

#[cfg(test)]
mod tests;
