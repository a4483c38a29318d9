//! Parts of unified kernel images, as ranges of the image's bytes.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::task::spawn_blocking;

use super::{Answer, CHUNK, Told, UnderWay, short};
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
            Content::Bytes(file, range) => streamed(file, range),
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

fn streamed(file: File, range: Range<u64>) -> UnsyncBoxBody<Bytes, io::Error> {
    let chunks = stream::try_unfold((Arc::new(file), range), |(file, range)| async move {
        let length = usize::try_from(range.end - range.start).unwrap_or(CHUNK).min(CHUNK);
        if length == 0 {
            return Ok(None);
        }
        let (reader, at) = (file.clone(), range.start);
        let read = move || {
            let mut bytes = vec![0; length];
            reader.read_exact_at(&mut bytes, at).map(|()| bytes)
        };
        let bytes = spawn_blocking(read).await.map_err(io::Error::other)??;
        let left = range.start + length as u64..range.end;
        Ok::<_, io::Error>(Some((Frame::data(Bytes::from(bytes)), (file, left))))
    });
    StreamBody::new(chunks).boxed_unsync()
}
