//! Fetching one file whose checksum is known: resumed, tried again, and believed only at its end.

use crate::client::Client;
use crate::part::{Part, long};
use crate::sum::Sum;
use cairn_workflow::log::chain;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use ureq::http::{Response, StatusCode, header};

/// No more than this is fetched of a file whose size nobody said.
pub const LARGEST: u64 = 4 << 30;
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    pub url: String,
    pub sum: Sum,
    /// In bytes, where it is known.
    pub size: Option<u64>,
}

/// What is told on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// In bytes; a total of 0 is not known yet.
    Progress {
        done: u64,
        total: u64,
    },
    Retried {
        attempt: u32,
        reason: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{0} did not answer")]
    Request(String, #[source] ureq::Error),
    #[error("{0} did not arrive whole")]
    Broken(String, #[source] io::Error),
    #[error("{0} ended after {1} of {2} bytes")]
    Short(String, u64, u64),
    #[error("{url} was answered with {status}")]
    Status { url: String, status: StatusCode },
    #[error(
        "{url} is not the file that was pinned: its SHA-256 is {found}, it should be {wanted}; what was fetched is removed"
    )]
    WrongSum { url: String, wanted: Sum, found: Sum },
    #[error(
        "{url} is larger than {limit} bytes, so it is not the file that was pinned; what was fetched is removed"
    )]
    TooLarge { url: String, limit: u64 },
    #[error("{} can't be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("somebody else is fetching {}", .0.display())]
    Busy(PathBuf),
}

impl FetchError {
    /// It may go better the next time.
    fn is_passing(&self) -> bool {
        match self {
            Self::Broken(..) | Self::Short(..) => true,
            Self::Request(_, error) => {
                is_offline(error)
                    || matches!(
                        error,
                        ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::Protocol(_)
                    )
            }
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            }
            Self::WrongSum { .. } | Self::TooLarge { .. } | Self::Write(..) | Self::Busy(_) => false,
        }
    }

    /// Nobody could be reached at all: there may be no network.
    pub fn is_offline(&self) -> bool {
        matches!(self, Self::Request(_, error) if is_offline(error))
    }
}

fn is_offline(error: &ureq::Error) -> bool {
    use io::ErrorKind as Kind;
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
            true
        }
        ureq::Error::Timeout(kind) => matches!(kind, ureq::Timeout::Resolve | ureq::Timeout::Connect),
        // Whoever ends a connection was there. A name that is not found has no kind of its own.
        ureq::Error::Io(error) => !matches!(
            error.kind(),
            Kind::UnexpectedEof
                | Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::BrokenPipe
                | Kind::InvalidData
        ),
        _ => false,
    }
}

/// Puts the file at `target`, or leaves what there is of it beside it for the next time.
///
/// # Errors
/// When it can't be had, after as many tries as the client has patience, or is not the right one.
pub fn fetch(
    client: &Client,
    want: &Want,
    target: &Path,
    tell: &mut dyn FnMut(Told),
) -> Result<(), FetchError> {
    let mut part = Part::open(target)?;
    let (mut attempt, mut furthest) = (0_u32, part.length());
    loop {
        let error = match more(client, want, &mut part, tell) {
            Ok(()) => return finish(part, want),
            Err(error) => error,
        };
        if matches!(error, FetchError::TooLarge { .. }) {
            part.remove();
            return Err(error);
        }
        if part.length() > furthest {
            (attempt, furthest) = (0, part.length());
        }
        attempt = attempt.saturating_add(1);
        let pause = client.patience.pause(attempt).filter(|_| error.is_passing());
        let Some(pause) = pause else { return Err(error) };
        tell(Told::Retried { attempt, reason: chain(&error) });
        std::thread::sleep(pause);
    }
}

fn finish(part: Part, want: &Want) -> Result<(), FetchError> {
    let found = part.sum();
    if found != want.sum {
        part.remove();
        return Err(FetchError::WrongSum { url: want.url.clone(), wanted: want.sum, found });
    }
    part.keep()
}

/// One attempt. `Ok` when the server has no more to give.
fn more(client: &Client, want: &Want, part: &mut Part, tell: &mut dyn FnMut(Told)) -> Result<(), FetchError> {
    if want.size.is_some_and(|size| size == part.length()) || part.sum() == want.sum {
        return Ok(());
    }
    let response = ask(client, want, part)?;
    let status = response.status();
    if status == StatusCode::RANGE_NOT_SATISFIABLE && part.length() > 0 {
        // The sum was not right a moment ago, so this is no beginning of the file. Without it no range is asked for.
        part.restart(None)?;
        return more(client, want, part, tell);
    }
    if !goes_on(&response, part.length()) {
        if status != StatusCode::OK {
            return Err(FetchError::Status { url: want.url.clone(), status });
        }
        part.restart(tag(&response))?;
    }
    let left = response.body().content_length();
    let total = want.size.or(left.map(|left| part.length().saturating_add(left)));
    let limit = want.size.unwrap_or(LARGEST);
    if total.is_some_and(|total| total > limit) {
        return Err(FetchError::TooLarge { url: want.url.clone(), limit });
    }
    copy(response, want, part, total.unwrap_or(0), limit, tell)?;
    match total {
        Some(total) if part.length() < total => {
            Err(FetchError::Short(want.url.clone(), part.length(), total))
        }
        _ => Ok(()),
    }
}

fn ask(client: &Client, want: &Want, part: &Part) -> Result<Response<ureq::Body>, FetchError> {
    let mut request = client.agent.get(&want.url).header(header::ACCEPT_ENCODING, "identity");
    if part.length() > 0 {
        request = request.header(header::RANGE, format!("bytes={}-", part.length()));
        if let Some(tag) = part.tag() {
            request = request.header(header::IF_RANGE, tag);
        }
    }
    request.call().map_err(|error| FetchError::Request(want.url.clone(), error))
}

/// Whether the answer is the rest of the file from `offset` on (RFC 9110, 14.4).
fn goes_on(response: &Response<ureq::Body>, offset: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
    response.status() == StatusCode::PARTIAL_CONTENT && start == Some(offset)
}

fn tag(response: &Response<ureq::Body>) -> Option<&str> {
    response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok())
}

fn copy(
    response: Response<ureq::Body>,
    want: &Want,
    part: &mut Part,
    total: u64,
    limit: u64,
    tell: &mut dyn FnMut(Told),
) -> Result<(), FetchError> {
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 128 * 1024];
    let mut told = Instant::now();
    tell(Told::Progress { done: part.length(), total });
    loop {
        let count = match body.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(FetchError::Broken(want.url.clone(), error)),
        };
        let block = buffer.get(..count).unwrap_or_default();
        if part.length().saturating_add(long(count)) > limit {
            return Err(FetchError::TooLarge { url: want.url.clone(), limit });
        }
        part.append(block)?;
        if block.is_empty() || told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tell(Told::Progress { done: part.length(), total });
        }
        if block.is_empty() {
            return Ok(());
        }
    }
}
