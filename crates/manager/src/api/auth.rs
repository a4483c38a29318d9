//! Who may ask: the bearer of the token, or a browser that logged in, on our own host.

use super::{Problem, Shared};
use crate::site::Site;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

pub const SESSION_COOKIE: &str = "cairn_session";

/// Proof that the request may read and change everything.
pub struct Session;

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A request of another page carries that page's origin; a browser always says one for what changes things.
pub fn is_own_origin(headers: &HeaderMap, method: &Method, site: Site) -> bool {
    let own = text(headers, &header::HOST).map(|host| site.origin(host));
    match text(headers, &header::ORIGIN) {
        Some(origin) => own.as_deref() == Some(origin),
        None => matches!(*method, Method::GET | Method::HEAD),
    }
}

/// Refuses what is not addressed to this server, whatever it asks for.
pub async fn own_host_only(State(site): State<Site>, request: Request, next: Next) -> Response {
    match text(request.headers(), &header::HOST) {
        Some(host) if site.is_host(host) => next.run(request).await,
        _ => {
            let words = "this request is addressed to another host than this manager; use the address that it listens on";
            Problem::new(StatusCode::MISDIRECTED_REQUEST, "foreign-host", words).into_response()
        }
    }
}

/// What the browser shows of its session.
pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value)
}

impl FromRequestParts<Shared> for Session {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let headers = &parts.headers;
        if let Some(value) = text(headers, &header::AUTHORIZATION) {
            let token = value.strip_prefix("Bearer ").unwrap_or_default();
            if shared.core.token.is(token) {
                return Ok(Self);
            }
            let words = "the session token is not the one of this manager; it stands in the file 'token' of its working directory";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong-token", words));
        }
        let goes_on = |cookie| shared.core.sessions.goes_on(cookie, Instant::now());
        if !session_cookie(headers).is_some_and(goes_on) {
            let words =
                "the session token is needed: send it as 'Authorization: Bearer', or log in on the page";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "no-token", words));
        }
        if !is_own_origin(headers, &parts.method, shared.site) {
            let words = "another site's page sent this request; open the manager's own page";
            return Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", words));
        }
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_cookie_makes_the_check_panic(text in ".{0,80}") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = text.parse() { headers.insert(header::COOKIE, value); }
            let _ = session_cookie(&headers);
        }
    }
}
