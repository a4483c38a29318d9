//! An HTTP/1.1 server for a fixed map of files: GET, HEAD and ranges, streamed in chunks. Parts of an image are
//! served whole only.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tower_http::services::ServeFile;

use crate::files::Files;
use crate::story::{Fetch, Story, Via};

mod parts;
mod pieces;

/// Connections at once; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 256;
/// Connections at once to one address, so that one machine can't keep the others out; a further one is closed.
const CONNECTIONS_EACH: usize = 64;
/// Read from a file at once: with it one connection costs about so much memory.
const CHUNK: usize = 128 * 1024;
/// How long a connection may take to send a request, the first or the next.
const REQUEST_WITHIN: Duration = Duration::from_secs(15);
/// A client that takes nothing of what it asked for in this time is gone, or means to stay for ever.
const TAKE_WITHIN: Duration = Duration::from_secs(60);

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// The HTTP server; also of use without network boot.
pub struct Http {
    /// Where it listens.
    pub listener: TcpListener,
    /// What is served.
    pub files: Files,
    /// Where it is told.
    pub story: Arc<Story>,
}

impl Http {
    /// Serves until it fails; dropping the future ends all connections.
    ///
    /// # Errors
    /// When it can take no more connections.
    pub async fn serve(self) -> io::Result<()> {
        let Self { listener, files, story } = self;
        let files = Arc::new(files);
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        let peers = Arc::new(Mutex::new(HashMap::new()));
        loop {
            let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                // Out of file handles, or a client that was gone before it was accepted.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Some(place) = Place::take(&peers, peer.ip()) else { continue };
            let (files, story) = (files.clone(), story.clone());
            connections.spawn(async move {
                converse(stream, peer.ip(), files, story).await;
                drop((permit, place));
            });
            while connections.try_join_next().is_some() {}
        }
    }
}

/// How many connections each address has.
type Peers = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One of an address's connections.
struct Place(Peers, IpAddr);

impl Place {
    fn take(peers: &Peers, peer: IpAddr) -> Option<Self> {
        let mut counts = peers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(peer).or_default();
        let room = *count < CONNECTIONS_EACH;
        *count += usize::from(room);
        room.then(|| Self(peers.clone(), peer))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

async fn converse(stream: TcpStream, peer: IpAddr, files: Arc<Files>, story: Arc<Story>) {
    let _ = stream.set_nodelay(true);
    let under_way = Arc::new(UnderWay::default());
    let service = service_fn(|request| {
        let (files, story, under_way) = (files.clone(), story.clone(), under_way.clone());
        async move { Ok::<_, Infallible>(answer(request, peer, &files, &story, under_way).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = pin!(connection) => if let Err(error) = ended {
            tracing::debug!(%peer, %error, "an HTTP connection ended early");
        },
        () = under_way.stalled() => tracing::debug!(%peer, "an HTTP client takes nothing"),
    }
}

/// A connection's files on their way.
#[derive(Default)]
struct UnderWay {
    bodies: AtomicU64,
    pieces: AtomicU64,
}

impl UnderWay {
    /// Waits until something was on its way for [`TAKE_WITHIN`] and no piece of it was taken.
    async fn stalled(&self) {
        let look = || (self.bodies.load(Ordering::Relaxed), self.pieces.load(Ordering::Relaxed));
        let mut before = look();
        loop {
            tokio::time::sleep(TAKE_WITHIN).await;
            let now = look();
            if now == before && now.0 > 0 {
                return;
            }
            before = now;
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: IpAddr,
    files: &Files,
    story: &Arc<Story>,
    under_way: Arc<UnderWay>,
) -> Answer {
    let asked = request.uri().path().to_owned();
    if let Some((name, part, image)) = files.find_part(&asked) {
        return parts::answer(&request, peer, story, (name, part, image), under_way).await;
    }
    let Some((name, path)) = files.find(&asked) else {
        Fetch::refuse(story, Via::Http, peer, &asked, "no such file is served");
        return short(StatusCode::NOT_FOUND, "no such file is served\n");
    };
    let get = request.method() == Method::GET;
    let response = match ServeFile::new(&path).try_call(request).await {
        Ok(response) => response,
        Err(error) => return unreadable(story, peer, name, &error),
    };
    let announced = pieces::announced(response.status(), response.headers());
    let Some((range, size)) = announced.filter(|_| get) else {
        return response.map(BodyExt::boxed_unsync);
    };
    // The head is tower-http's, with all that it knows of ranges and dates; the bytes are read in our way.
    let path = path.into_owned();
    let opened = spawn_blocking(move || pieces::open(&path, size)).await.map_err(io::Error::other).flatten();
    let file = match opened {
        Ok(file) => file,
        Err(error) => return unreadable(story, peer, name, &error),
    };
    let length = range.end.saturating_sub(range.start);
    let fetch = Fetch::start(story, Via::Http, peer, name, length);
    response.map(|_| Told::body(pieces::body(file, range), length, fetch, under_way))
}

fn unreadable(story: &Arc<Story>, peer: IpAddr, name: &str, error: &io::Error) -> Answer {
    Fetch::refuse(story, Via::Http, peer, name, &format!("the file can't be read: {error}"));
    short(StatusCode::INTERNAL_SERVER_ERROR, "the file can't be read\n")
}

fn short(status: StatusCode, text: &'static str) -> Answer {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}

/// A body that tells how much of it has been taken.
struct Told {
    inner: UnsyncBoxBody<Bytes, io::Error>,
    sent: u64,
    size: u64,
    fetch: Option<Fetch>,
    under_way: Arc<UnderWay>,
}

impl Drop for Told {
    fn drop(&mut self) {
        self.under_way.bodies.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Told {
    fn body<B>(inner: B, size: u64, fetch: Fetch, under_way: Arc<UnderWay>) -> UnsyncBoxBody<Bytes, io::Error>
    where
        B: Body<Data = Bytes, Error = io::Error> + Send + 'static,
    {
        under_way.bodies.fetch_add(1, Ordering::Relaxed);
        Self { inner: inner.boxed_unsync(), sent: 0, size, fetch: Some(fetch), under_way }.boxed_unsync()
    }
}

impl Body for Told {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.under_way.pieces.fetch_add(1, Ordering::Relaxed);
            self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
            let sent = self.sent;
            if let Some(fetch) = &mut self.fetch {
                fetch.progress(sent);
            }
            // Hyper does not ask again once the announced length is reached.
            if self.sent >= self.size
                && let Some(fetch) = self.fetch.take()
            {
                fetch.done();
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
