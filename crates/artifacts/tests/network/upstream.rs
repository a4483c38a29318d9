//! A real HTTP server on loopback that does what a test tells it, one answer for each request.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use futures_util::{StreamExt as _, stream};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

/// How one request is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// As a good server does, with ranges and an entity tag.
    Good(&'static [u8], &'static str),
    /// As a good server does, but the connection ends after so many bytes.
    Cut(&'static [u8], &'static str, usize),
    /// Always the whole, without ranges and tags.
    Plain(&'static [u8]),
    Status(u16),
    Redirect(&'static str),
}

/// `Range` and `If-Range` of a request.
pub type Asked = (Option<String>, Option<String>);

pub struct Upstream {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Upstream {
    /// The last answer is given again and again.
    pub fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let asked = Arc::default();
        let script = Script {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            asked: Arc::clone(&asked),
        };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            axum::serve(listener, Router::new().fallback(answer).with_state(script)).await.unwrap();
        });
        Self { address, asked, _runtime: runtime }
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(script): State<Script>, _uri: Uri, headers: HeaderMap) -> Response<Body> {
    let word = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap().to_owned());
    let (range, if_range) = (word(header::RANGE), word(header::IF_RANGE));
    script.asked.lock().unwrap().push((range.clone(), if_range.clone()));
    let answer = {
        let mut answers = script.answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers.front().unwrap().clone() }
    };
    match answer {
        Answer::Good(content, tag) => ranged(content, tag, range, if_range, usize::MAX),
        Answer::Cut(content, tag, after) => ranged(content, tag, range, if_range, after),
        Answer::Plain(content) => Response::new(Body::from(content)),
        Answer::Status(status) => Response::builder().status(status).body(Body::from("no")).unwrap(),
        Answer::Redirect(to) => {
            Response::builder().status(302).header(header::LOCATION, to).body(Body::empty()).unwrap()
        }
    }
}

fn ranged(
    content: &'static [u8],
    tag: &str,
    range: Option<String>,
    if_range: Option<String>,
    after: usize,
) -> Response<Body> {
    let start = range.filter(|_| if_range.is_none_or(|known| known == tag));
    let start =
        start.map(|range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap());
    let builder = Response::builder().header(header::ETAG, tag);
    let (builder, rest) = match start {
        Some(start) if start >= content.len() => {
            return builder.status(StatusCode::RANGE_NOT_SATISFIABLE).body(Body::empty()).unwrap();
        }
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
            (builder.status(206).header(header::CONTENT_RANGE, range), &content[start..])
        }
        None => (builder, content),
    };
    let length = rest.len();
    let sent = stream::iter([Ok(Bytes::from_static(rest.get(..after).unwrap_or(rest)))]);
    let end = async move {
        // what was sent has to be on its way before the connection ends
        tokio::time::sleep(Duration::from_millis(20)).await;
        (after < length).then(|| Err(io::Error::other("cut")))
    };
    let body = Body::from_stream(sent.chain(stream::once(end).filter_map(std::future::ready)));
    builder.header(header::CONTENT_LENGTH, length).body(body).unwrap()
}
