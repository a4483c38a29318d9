//! A node's journal: which units write to it, its last entries, and what comes.

use super::ask::{Part, bad};
use super::events::LAST_EVENT_ID;
use super::types::{LogBroken, NodeLog, NodeUnits};
use super::{Problem, Session, Shared, nodes};
use crate::core::Core;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use cairn_model::cluster::Name;
use cairn_model::log::{Cursor, LogEntry, LogQuery, MOST_ENTRIES, Unit};
use cairn_wire::client::{Client, ClientError};
use cairn_wire::message::{Request, Response as Answer};
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const DEFAULT_LINES: u32 = 200;
/// A node that restarts is not there for minutes.
const AGAIN: Duration = Duration::from_secs(3);

/// What stands behind the question mark.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogParameters {
    /// All units when empty, too: a form sends it so.
    #[serde(default)]
    unit: Option<String>,
    /// The last so many, or after a cursor the first so many: 200 when left out, 1000 at most.
    #[serde(default)]
    lines: Option<u32>,
    /// A cursor: only what came after it.
    #[serde(default)]
    after: Option<Cursor>,
    /// As server-sent events, for as long as somebody reads.
    #[serde(default)]
    follow: bool,
}

/// Which units write to a node's log.
#[utoipa::path(
    get,
    path = "/api/v1/nodes/{name}/units",
    operation_id = "nodeUnits",
    tag = "nodes",
    params(("name" = cairn_model::cluster::Name, Path, description = "A node", example = "etcd-1")),
    responses(
        (status = 200, body = NodeUnits, description = "Units, by name"),
        (status = 404, description = "There is no such node."),
        (status = 409, description = "The node was not reached or refuses, or no cluster file is open."),
        (status = 422, description = "That is no name of a node."),
    )
)]
pub async fn units(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
) -> Result<Json<NodeUnits>, Problem> {
    let name = nodes::parse(&name)?;
    match nodes::ask(&shared.core, &name, &Request::Units).await? {
        Answer::Units { units } => Ok(Json(NodeUnits { units })),
        _ => Err(nodes::broken(name.as_str(), &ClientError::Unexpected)),
    }
}

/// A node's log.
///
/// With `follow=true` it is server-sent events without an end. `entry`: its data is a `LogEntry`, its id the cursor
/// to resume after. `broken`: its data is a `LogBroken`; the node can't be read now, and is tried again.
#[utoipa::path(
    get,
    path = "/api/v1/nodes/{name}/logs",
    operation_id = "nodeLogs",
    tag = "nodes",
    params(("name" = cairn_model::cluster::Name, Path, description = "A node", example = "etcd-1"), LogParameters, ("Last-Event-ID" = Option<Cursor>, Header, description = "The cursor of the last entry that was read; goes before `after`")),
    responses(
        (status = 200, description = "Entries, oldest first", content((NodeLog = "application/json"), (crate::api::ServerSentEvent = "text/event-stream"))),
        (status = 404, description = "There is no such node."),
        (status = 409, description = "The node was not reached or refuses, or no cluster file is open."),
        (status = 422, description = "The name, the unit, the cursor or a number is not what is taken here."),
    )
)]
pub async fn logs(
    _: Session,
    State(shared): State<Shared>,
    Part(name): Part,
    parameters: Result<Query<LogParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let name = nodes::parse(&name)?;
    let Query(LogParameters { unit, lines, after, follow }) =
        parameters.map_err(|error| bad(error.body_text()))?;
    let unit = unit.filter(|unit| !unit.is_empty()).map(|unit| unit.parse::<Unit>());
    let unit = unit.transpose().map_err(|error| bad(error.to_string()))?;
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).filter(|id| !id.is_empty());
    let last = last.map(str::parse::<Cursor>).transpose().map_err(|error| bad(error.to_string()))?;
    let lines = lines.unwrap_or(DEFAULT_LINES).min(MOST_ENTRIES);
    let query = LogQuery { unit, lines, after: last.or(after), follow };
    if !follow {
        return Ok(Json(NodeLog { entries: read(&shared.core, &name, &query).await? }).into_response());
    }
    nodes::is_node(&shared.core, &name)?;
    let reader =
        Reader { core: shared.core, name, query, client: None, answered: false, rests: false, told: None };
    let bundles = stream::unfold(reader, |reader| async { Some(reader.next().await) });
    let events = bundles.flat_map(|bundle| stream::iter(bundle.into_iter().map(Ok::<_, Infallible>)));
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

async fn read(core: &Core, name: &Name, query: &LogQuery) -> Result<Vec<LogEntry>, Problem> {
    let mut client = nodes::reach(core, name).await?;
    let mut answered = false;
    client.start_log(query).await.map_err(|error| ended(name, answered, &error))?;
    let mut entries = Vec::new();
    while let Some(bundle) = client.next_entries().await.map_err(|error| ended(name, answered, &error))? {
        answered = true;
        entries.extend(bundle);
        // its word for how many were asked is not taken
        if entries.len() >= usize::try_from(MOST_ENTRIES).unwrap_or(usize::MAX) {
            break;
        }
    }
    Ok(entries)
}

/// An agent that has answered knows the question: when it closes the connection afterwards, it stops.
fn ended(name: &Name, answered: bool, error: &ClientError) -> Problem {
    match error {
        ClientError::Closed if answered => {
            nodes::unreachable(format!("'{name}' closed the connection: it restarts or goes off"))
        }
        error => nodes::broken(name.as_str(), error),
    }
}

/// Follows a node's log through its restarts, for as long as the browser reads.
struct Reader {
    core: Arc<Core>,
    name: Name,
    query: LogQuery,
    client: Option<Client>,
    /// On this connection.
    answered: bool,
    /// The last attempt failed: the next one comes after a while.
    rests: bool,
    /// Why it broke off, once that was said.
    told: Option<String>,
}

impl Reader {
    async fn next(mut self) -> (Vec<Event>, Self) {
        loop {
            if std::mem::take(&mut self.rests) {
                sleep(AGAIN).await;
            }
            match self.entries().await {
                Ok(entries) if entries.is_empty() => {}
                Ok(entries) => {
                    self.told = None;
                    self.query.after = entries.last().map(|entry| entry.cursor.clone());
                    return (entries.iter().filter_map(entry_event).collect(), self);
                }
                Err(problem) => {
                    self.client = None;
                    self.answered = false;
                    self.rests = true;
                    if self.told.as_deref() != Some(problem.detail.as_str()) {
                        let event = Event::default().event("broken");
                        let event = event.json_data(LogBroken { reason: problem.detail.clone() });
                        self.told = Some(problem.detail);
                        return (event.into_iter().collect(), self);
                    }
                }
            }
        }
    }

    async fn entries(&mut self) -> Result<Vec<LogEntry>, Problem> {
        let (name, answered) = (&self.name, self.answered);
        let broken = |error| ended(name, answered, &error);
        let client = match &mut self.client {
            Some(client) => client,
            empty => {
                let mut client = nodes::reach(&self.core, &self.name).await?;
                client.start_log(&self.query).await.map_err(broken)?;
                empty.insert(client)
            }
        };
        // a journal that is followed has no end
        let entries = client.next_entries().await.and_then(|entries| entries.ok_or(ClientError::Closed));
        self.answered |= entries.is_ok();
        entries.map_err(broken)
    }
}

fn entry_event(entry: &LogEntry) -> Option<Event> {
    Event::default().event("entry").id(entry.cursor.as_str()).json_data(entry).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::{Lab, new_file};
    use cairn_model::cluster::Fingerprint;
    use cairn_model::phase::Phase;
    use cairn_wire::announce::Announcement;
    use tokio::time::Instant;

    #[test]
    fn only_who_never_answered_may_be_too_old_for_the_question() {
        let name = "etcd-1".parse().unwrap();
        let words = |answered| ended(&name, answered, &ClientError::Closed).detail;
        assert!(words(false).contains("older than this manager"));
        assert!(words(true).contains("it restarts"), "{}", words(true));
    }

    #[tokio::test(start_paused = true)]
    async fn after_each_failure_it_rests_though_the_reason_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = new_file(folder.path());
        let lab = Lab::start(folder.path(), "work");
        let (core, name) = (Arc::clone(&lab.core), "etcd-1".parse().unwrap());
        let query = LogQuery { unit: None, lines: 1, after: None, follow: true };
        let reader = Reader { core, name, query, client: None, answered: false, rests: false, told: None };
        let began = Instant::now();
        let (_, reader) = reader.next().await;
        let (first, told) = (began.elapsed(), reader.told.clone());
        // from now on it is another reason: nobody listens where the node is said to be
        let key = Fingerprint::from_bytes([1; 32]);
        let hint = Announcement {
            fingerprint: key,
            phase: Phase::Locked,
            node: Some("etcd-1".into()),
            port: 1,
            addresses: vec!["127.0.0.1".parse().unwrap()],
        };
        lab.core.suppose(hint);
        let proven = crate::decide::Proven::Boot { node: reader.name.clone(), key };
        let state = cairn_wire::message::AgentState::Locked { node: "etcd-1".into() };
        lab.core.spoke(&key, &proven, crate::decide::tests::description(state));
        assert!(lab.core.registry().machine_of(&reader.name, file.cluster()).is_some());
        let (_, reader) = reader.next().await;
        assert_ne!(reader.told, told);
        assert!(began.elapsed() - first >= AGAIN, "{:?} {first:?}", began.elapsed());
    }
}
