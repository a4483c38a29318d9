//! What a request brings: a part of its address, and a body. What is wrong with it is a problem in words.

use super::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

/// The one part of the address that the route leaves open.
pub struct Part(pub String);

/// A JSON object.
pub struct Asked<T>(pub T);

/// A JSON object that may be left out.
pub struct AskedOrNot<T>(pub T);

/// Bytes as they are.
pub struct Raw(pub Bytes);

pub fn bad(words: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", words)
}

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let part = Path::<String>::from_request_parts(parts, state).await;
        part.map(|Path(text)| Self(text)).map_err(|error| bad(error.body_text()))
    }
}

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state).await.map(Self).map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let words = format!("the body is longer than {} bytes", super::MOST_BODY);
                return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-long", words);
            }
            bad(error.body_text())
        })
    }
}

/// A form of another site's page can't say that it is JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    if !is_json(headers) {
        let words = "the body has to be JSON; send it with `Content-Type: application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", words));
    }
    // serde takes an array for an object, by the order of the fields
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(bad("the body has to be a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| bad(error.to_string()))
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let Raw(body) = Raw::from_request(request, state).await?;
        parse(&headers, &body).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for AskedOrNot<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let Raw(body) = Raw::from_request(request, state).await?;
        if body.is_empty() { Ok(Self(T::default())) } else { parse(&headers, &body).map(Self) }
    }
}
