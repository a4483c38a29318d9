//! The serial adapters of the manager's machine: consoles of nodes that have no screen.

use super::ask::{Part, Raw};
use super::events::LAST_EVENT_ID;
use super::{Problem, Session, Shared};
use axum::Json;
use axum::extract::State;
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

/// The serial adapters of the manager's machine.
#[utoipa::path(
    get,
    path = "/api/v1/serial",
    operation_id = "serialAdapters",
    tag = "serial",
    responses(
        (status = 200, body = Vec<Adapter>, description = "By name"),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn list(_: Session, State(shared): State<Shared>) -> Result<Json<Vec<Adapter>>, Problem> {
    let consoles = Arc::clone(&shared.core.consoles);
    let listed = tokio::task::spawn_blocking(move || consoles.list()).await;
    listed.map(Json).map_err(|error| Problem::internal(&error))
}

/// What a console says, as it comes.
///
/// Server-sent events `output`: the data is bytes in base64, the id the number of the last byte. Whoever names none
/// gets what was said before, as far as it is remembered.
#[utoipa::path(
    get,
    path = "/api/v1/serial/{name}/stream",
    operation_id = "serialStream",
    tag = "serial",
    params(("name" = String, Path, description = "An adapter"), ("Last-Event-ID" = Option<String>, Header, description = "The number of the last byte that was read")),
    responses(
        (status = 200, body = crate::api::ServerSentEvent, content_type = "text/event-stream", description = "Events, those after the named byte first"),
        (status = 404, description = "There is no such adapter."),
        (status = 409, description = "The adapter could not be opened, or no cluster file is open."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn stream(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
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

/// Types bytes into a console, as they are.
#[utoipa::path(
    post,
    path = "/api/v1/serial/{name}/input",
    operation_id = "serialInput",
    tag = "serial",
    params(("name" = String, Path, description = "An adapter")),
    request_body(content = String, content_type = "application/octet-stream", description = "4096 bytes at most"),
    responses(
        (status = 204, description = "They were written"),
        (status = 404, description = "There is no such adapter."),
        (status = 409, description = "The adapter was not opened, it takes no input, or no cluster file is open."),
        (status = 500, description = "The manager could not read or write what is its own."),
    )
)]
pub async fn input(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
    Raw(body): Raw,
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
