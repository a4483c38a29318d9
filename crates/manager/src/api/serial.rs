//! The serial adapters of the manager's machine: consoles of nodes that have no screen.

use super::events::LAST_EVENT_ID;
use super::{Problem, Session, Shared};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_host::serial::{Adapter, Reader, SerialError};
use cairn_workflow::log::chain;
use futures_util::stream::{self, Stream};
use std::convert::Infallible;
use std::sync::Arc;

/// More than anybody types or pastes into a console at once.
const MOST_INPUT: usize = 4096;

pub async fn list(_: Session, State(shared): State<Shared>) -> Result<Json<Vec<Adapter>>, Problem> {
    let consoles = Arc::clone(&shared.core.consoles);
    let listed = tokio::task::spawn_blocking(move || consoles.list()).await;
    listed.map(Json).map_err(|error| Problem::internal(&error))
}

/// What the console says: events `output` with the bytes in base64, and the number of the last byte as their
/// id. Whoever names none gets what was said before, as far as it is remembered.
pub async fn stream(
    _: Session,
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Sse::new(output(open(&shared, name, last).await?)).keep_alive(KeepAlive::default()))
}

fn output(reader: Reader) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(reader, |mut reader| async {
        let chunk = reader.next().await?;
        let event = Event::default().event("output").id(chunk.end.to_string());
        Some((Ok(event.data(STANDARD.encode(&chunk.bytes))), reader))
    })
}

/// The body is typed as it is.
pub async fn input(
    _: Session,
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    if body.len() > MOST_INPUT {
        let words = format!("that is more than {MOST_INPUT} bytes at once: send it in smaller pieces");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-much-input", words));
    }
    open(&shared, name, None).await?.write(body.to_vec()).await.map_err(|error| problem(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn open(shared: &Shared, name: String, after: Option<u64>) -> Result<Reader, Problem> {
    let consoles = Arc::clone(&shared.core.consoles);
    let opened = tokio::task::spawn_blocking(move || consoles.read(&name, after)).await;
    opened.map_err(|error| Problem::internal(&error))?.map_err(|error| problem(&error))
}

fn problem(error: &SerialError) -> Problem {
    let (status, kind) = match error {
        SerialError::NoAdapter(_) => (StatusCode::NOT_FOUND, "no-such-adapter"),
        SerialError::Problem { .. } | SerialError::Open(..) => (StatusCode::CONFLICT, "adapter-not-opened"),
        SerialError::Stuck(_) => (StatusCode::CONFLICT, "input-not-taken"),
    };
    Problem::new(status, kind, chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;
    use cairn_host::serial::Consoles;
    use futures_util::StreamExt as _;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    #[tokio::test]
    async fn what_a_console_says_comes_as_events_with_the_number_to_resume_after() {
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&far).unwrap();
        unlockpt(&far).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let device = ptsname(&far, Vec::new()).unwrap().into_string().unwrap();
        symlink(device, folder.path().join("ttyUSB0")).unwrap();
        let consoles = Consoles::new(folder.path().into(), Duration::ZERO);
        let reader = consoles.read("ttyUSB0", None).unwrap();
        rustix::io::write(&far, b"code 123 456\r\n").unwrap();
        let mut body = Sse::new(output(reader)).into_response().into_body().into_data_stream();
        let first =
            tokio::time::timeout(Duration::from_secs(20), body.next()).await.unwrap().unwrap().unwrap();
        let text = String::from_utf8(first.to_vec()).unwrap();
        let line = |field: &str| text.lines().find_map(|line| line.strip_prefix(field)).unwrap().to_owned();
        assert_eq!(line("event: "), "output");
        assert!(line("id: ").parse::<u64>().unwrap() > 0);
        let said = STANDARD.decode(line("data: ")).unwrap();
        assert!(!said.is_empty() && b"code 123 456\r\n".starts_with(&said), "{text}");
    }
}
