//! Parts of unified kernel images, as ranges of the image's bytes.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::task::spawn_blocking;

use super::{Answer, Told, UnderWay, pieces, short};
use crate::story::{Fetch, Story, Via};
use crate::uki::{Content, Part};

pub async fn answer(
    request: &Request<Incoming>,
    peer: IpAddr,
    story: &Arc<Story>,
    (name, part, image): (&str, Part, &Path),
    under_way: Arc<UnderWay>,
) -> Answer {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return short(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    let image = image.to_owned();
    let content = match spawn_blocking(move || part.open(&image)).await {
        Ok(Ok(content)) => content,
        Ok(Err(error)) => {
            Fetch::refuse(story, Via::Http, peer, name, &words(&error));
            return short(StatusCode::INTERNAL_SERVER_ERROR, "the image has no such part\n");
        }
        Err(_) => return short(StatusCode::INTERNAL_SERVER_ERROR, "the image can't be read\n"),
    };
    let size = content.size();
    let mut answer = short(StatusCode::OK, "");
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
    if request.method() == Method::GET {
        let body = match content {
            Content::Text(text) => {
                Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
            }
            Content::Bytes(file, range) => pieces::body(file, range),
        };
        let fetch = Fetch::start(story, Via::Http, peer, name, size);
        *answer.body_mut() = Told::body(body, size, fetch, under_way);
    }
    answer
}

/// An error with what caused it.
fn words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
