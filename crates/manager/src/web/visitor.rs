//! Who looks at a page: a browser that logged in, and whether it wants the whole page or, by htmx, only
//! what is live in it.

use super::shell;
use crate::api::{Session, Shared};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

pub struct Visitor {
    pub live_part_only: bool,
}

fn is_htmx(headers: &HeaderMap) -> bool {
    headers.contains_key("hx-request")
}

impl FromRequestParts<Shared> for Visitor {
    type Rejection = Response;

    /// Who has not logged in is sent to where that is done.
    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let live_part_only = is_htmx(&parts.headers);
        match Session::from_request_parts(parts, shared).await {
            Ok(Session) => Ok(Self { live_part_only }),
            Err(_) if live_part_only => {
                Err((StatusCode::OK, shell::headers(), [("hx-redirect", "/login")]).into_response())
            }
            Err(_) => Err(Redirect::to("/login").into_response()),
        }
    }
}
