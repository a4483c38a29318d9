//! The way in: what can be asked before a cluster file is open, and the way to everything else once one is.

use crate::api::{self, Asked, NewRequest, NewResponse, OpenRequest, OpenState, Problem, is_own_origin};
use crate::core::Core;
use crate::description;
use crate::door::Door;
use crate::lan::Lan;
use crate::options::ManagerError;
use crate::site::Site;
use crate::web;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Json, Router};
use cairn_model::cluster::Name;
use cairn_vault::file::{OpenError, Passphrase, Sealed};
use cairn_workflow::log::chain;
use std::sync::{Arc, OnceLock};
use tower::ServiceExt as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(Clone)]
pub struct Front {
    pub door: Arc<Door>,
    pub site: Site,
    lan: Arc<Lan>,
    /// Everything behind the door, made when it has opened.
    inside: Arc<OnceLock<Router>>,
}

/// What is there without a session.
pub fn operations() -> OpenApiRouter<Front> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(describe))
        .routes(routes!(state, open))
        .routes(routes!(create))
}

pub fn router(door: Arc<Door>, site: Site, lan: Arc<Lan>) -> Router {
    let front = Front { door, site, lan, inside: Arc::default() };
    Router::from(operations())
        .merge(web::front_router())
        .route_layer(DefaultBodyLimit::max(api::MOST_BODY))
        .method_not_allowed_fallback(api::not_so)
        .route_layer(from_fn_with_state(site, api::own_host_only))
        .fallback(inside)
        .with_state(front)
}

async fn inside(State(front): State<Front>, request: Request<Body>) -> Response {
    if let Some(core) = front.door.core() {
        let router =
            front.inside.get_or_init(|| api::router(core, front.site, Arc::clone(&front.lan))).clone();
        return router.oneshot(request).await.into_response();
    }
    if request.uri().path().starts_with("/api/") {
        let words = "no cluster file is open; open one on the page, or start the manager with one";
        return Problem::new(StatusCode::CONFLICT, "closed", words).into_response();
    }
    Redirect::to("/start").into_response()
}

impl Front {
    /// Whether opening a pasted file takes the token: over a network anyone could be first, with a cluster of
    /// their own.
    pub fn asks_token_to_open(&self) -> Result<bool, ManagerError> {
        Ok(self.site.is_network() && !self.door.has_cluster()?)
    }

    /// Before there is a session, too, no other site's page acts for the owner.
    fn admit_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if headers.contains_key(header::ORIGIN) && !is_own_origin(headers, &Method::POST, self.site) {
            let words = "another site's page sent this request; open the manager's own page";
            return Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", words));
        }
        Ok(())
    }

    fn admit_token(&self, headers: &HeaderMap, token: Option<&str>) -> Result<(), Problem> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.or_else(|| bearer?.strip_prefix("Bearer "));
        if token.is_some_and(|token| self.door.token.is(token)) {
            return Ok(());
        }
        let words = "this manager listens on the network, where anyone could be first; give the session token, which stands in the file 'token' of its working directory";
        Err(Problem::new(StatusCode::UNAUTHORIZED, "no-token", words))
    }

    pub fn open_state(&self) -> Result<OpenState, ManagerError> {
        let open = self.door.core().is_some();
        let known = self.door.known()?;
        Ok(OpenState {
            open,
            cluster: known.as_ref().map(|sealed| sealed.cluster().to_string()),
            generation: known.as_ref().map(Sealed::generation),
        })
    }

    /// For the cluster that is known here its passphrase is proof enough, from wherever it comes.
    pub async fn open(
        &self,
        headers: &HeaderMap,
        token: Option<&str>,
        request: OpenRequest,
    ) -> Result<Arc<Core>, Problem> {
        self.admit_origin(headers)?;
        let OpenRequest { file, passphrase } = request;
        let text = file.filter(|text| !text.trim().is_empty());
        if text.is_some() && self.asks_token_to_open()? {
            self.admit_token(headers, token)?;
        }
        let given = text.map(|text| Sealed::parse(&text)).transpose();
        let given = given.map_err(|error| ManagerError::Open("the cluster file".to_owned(), error))?;
        Ok(self.door.open(given, parse_passphrase(passphrase.expose())?, self.site).await?)
    }

    pub async fn create(
        &self,
        headers: &HeaderMap,
        token: Option<&str>,
        request: NewRequest,
    ) -> Result<(Arc<Core>, NewResponse), Problem> {
        self.admit_origin(headers)?;
        if self.site.is_network() {
            self.admit_token(headers, token)?;
        }
        let NewRequest { name, passphrase } = request;
        let name: Name = name.trim().parse().map_err(|error: cairn_model::cluster::NameError| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-name", error.to_string())
        })?;
        let own = passphrase.filter(|text| !text.expose().trim().is_empty());
        let passphrase = match own {
            Some(own) => parse_passphrase(own.expose())?,
            None => Passphrase::generate().map_err(|error| Problem::internal(&error))?,
        };
        let core = self.door.create(name, passphrase, self.site).await?;
        let (entry, _) = core.book.entry().await.map_err(|error| Problem::internal(&error))?;
        let response = NewResponse {
            passphrase: entry.password().clone(),
            file: entry.notes().to_owned(),
            characters: entry.characters(),
            left: entry.room().left(),
        };
        Ok((core, response))
    }
}

fn parse_passphrase(text: &str) -> Result<Passphrase, Problem> {
    Passphrase::new(text)
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-passphrase", error.to_string()))
}

impl From<ManagerError> for Problem {
    fn from(error: ManagerError) -> Self {
        let (status, kind) = match &error {
            ManagerError::Open(_, OpenError::WrongPassphrase) => (StatusCode::FORBIDDEN, "wrong-passphrase"),
            ManagerError::Open(..) | ManagerError::File(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "bad-cluster-file")
            }
            ManagerError::NoFile => (StatusCode::UNPROCESSABLE_ENTITY, "no-cluster-file"),
            ManagerError::Lineage(_) => (StatusCode::CONFLICT, "diverged"),
            ManagerError::HasCluster(_) => (StatusCode::CONFLICT, "has-cluster"),
            ManagerError::AlreadyOpen(_) => (StatusCode::CONFLICT, "already-open"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self::new(status, kind, chain(&error))
    }
}

fn body<T>(body: Result<Asked<T>, Problem>) -> Result<T, Problem> {
    // The parser's own words may quote what was sent, and a passphrase may be in it.
    body.map(|Asked(request)| request).map_err(|problem| match problem.code() {
        StatusCode::UNPROCESSABLE_ENTITY => {
            let words = "the body is not the JSON object that this request takes; see the API's description";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", words)
        }
        _ => problem,
    })
}

/// That the manager answers.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "door",
    responses((status = 200, body = String, content_type = "text/plain; charset=utf-8", description = "It does"))
)]
async fn healthz() -> &'static str {
    "ok\n"
}

/// This description.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    operation_id = "describe",
    tag = "door",
    responses(
        (status = 200, body = serde_json::Value, content_type = "application/json", description = "OpenAPI 3.1"),
        (status = 500, description = "It could not be written."),
    )
)]
async fn describe() -> Result<impl IntoResponse, Problem> {
    let text = description::text().map_err(|error| Problem::internal(error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text))
}

/// Whether a cluster file is open.
#[utoipa::path(
    get,
    path = "/api/v1/open",
    operation_id = "openState",
    tag = "door",
    responses(
        (status = 200, body = OpenState, description = "Which one"),
        (status = 422, description = "The working copy of the cluster file can not be read."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
async fn state(State(front): State<Front>) -> Result<Json<OpenState>, Problem> {
    Ok(Json(front.open_state()?))
}

/// Opens a cluster file.
///
/// The passphrase of the cluster that is known here is proof enough. Over the network a file of a cluster that is not
/// known here wants the session token.
#[utoipa::path(
    post,
    path = "/api/v1/open",
    operation_id = "open",
    tag = "door",
    security((), ("token" = [])),
    request_body = OpenRequest,
    responses(
        (status = 200, body = OpenState, description = "It is open"),
        (status = 401, description = "The session token is needed."),
        (status = 403, description = "The passphrase is another one, or another site's page sent it."),
        (status = 409, description = "A cluster is open already, or two copies of its file went different ways."),
        (status = 422, description = "The text is no cluster file, the passphrase is none, or the body is not what is taken here."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
async fn open(
    State(front): State<Front>,
    headers: HeaderMap,
    request: Result<Asked<OpenRequest>, Problem>,
) -> Result<Json<OpenState>, Problem> {
    front.open(&headers, None, body(request)?).await?;
    Ok(Json(front.open_state()?))
}

/// Makes a cluster, and opens it.
///
/// The answer is the only one that holds its passphrase. Over the network it wants the session token.
#[utoipa::path(
    post,
    path = "/api/v1/new",
    operation_id = "newCluster",
    tag = "door",
    security((), ("token" = [])),
    request_body = NewRequest,
    responses(
        (status = 200, body = NewResponse, description = "What belongs into the password manager"),
        (status = 401, description = "The session token is needed."),
        (status = 403, description = "Another site's page sent it."),
        (status = 409, description = "A cluster is open or known here already."),
        (status = 422, description = "The name or the passphrase is none, or the body is not what is taken here."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
async fn create(
    State(front): State<Front>,
    headers: HeaderMap,
    request: Result<Asked<NewRequest>, Problem>,
) -> Result<impl IntoResponse, Problem> {
    let (_, response) = front.create(&headers, None, body(request)?).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(response)))
}

#[cfg(test)]
#[path = "front_tests.rs"]
mod tests;
