//! A node's journal: which units write to it, its last entries, and what comes.

use super::events::LAST_EVENT_ID;
use super::types::{LogBroken, NodeLog, NodeUnits};
use super::{Problem, Session, Shared, nodes};
use crate::core::Core;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
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
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogParameters {
    /// All units when empty, too: a form sends it so.
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    lines: Option<u32>,
    #[serde(default)]
    after: Option<Cursor>,
    #[serde(default)]
    follow: bool,
}

pub async fn units(
    _: Session,
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<NodeUnits>, Problem> {
    let name = nodes::parse(&name)?;
    match nodes::ask(&shared.core, &name, &Request::Units).await? {
        Answer::Units { units } => Ok(Json(NodeUnits { units })),
        _ => Err(nodes::broken(name.as_str(), &ClientError::Unexpected)),
    }
}

pub async fn logs(
    _: Session,
    State(shared): State<Shared>,
    Path(name): Path<String>,
    parameters: Result<Query<LogParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let bad = |words: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", words);
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
    let reader = Reader { core: shared.core, name, query, client: None, told: None };
    let bundles = stream::unfold(reader, |reader| async { Some(reader.next().await) });
    let events = bundles.flat_map(|bundle| stream::iter(bundle.into_iter().map(Ok::<_, Infallible>)));
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

async fn read(core: &Core, name: &Name, query: &LogQuery) -> Result<Vec<LogEntry>, Problem> {
    let mut client = nodes::reach(core, name).await?;
    let broken = |error| nodes::broken(name.as_str(), &error);
    client.start_log(query).await.map_err(broken)?;
    let mut entries = Vec::new();
    while let Some(bundle) = client.next_entries().await.map_err(broken)? {
        entries.extend(bundle);
        // its word for how many were asked is not taken
        if entries.len() >= usize::try_from(MOST_ENTRIES).unwrap_or(usize::MAX) {
            break;
        }
    }
    Ok(entries)
}

/// Follows a node's log through its restarts, for as long as the browser reads.
struct Reader {
    core: Arc<Core>,
    name: Name,
    query: LogQuery,
    client: Option<Client>,
    /// Why it broke off, once that was said.
    told: Option<String>,
}

impl Reader {
    async fn next(mut self) -> (Vec<Event>, Self) {
        loop {
            match self.entries().await {
                Ok(entries) if entries.is_empty() => {}
                Ok(entries) => {
                    self.told = None;
                    self.query.after = entries.last().map(|entry| entry.cursor.clone());
                    return (entries.iter().filter_map(entry_event).collect(), self);
                }
                Err(problem) => {
                    self.client = None;
                    if self.told.as_deref() != Some(problem.detail.as_str()) {
                        let event = Event::default().event("broken");
                        let event = event.json_data(LogBroken { reason: problem.detail.clone() });
                        self.told = Some(problem.detail);
                        return (event.into_iter().collect(), self);
                    }
                    sleep(AGAIN).await;
                }
            }
        }
    }

    async fn entries(&mut self) -> Result<Vec<LogEntry>, Problem> {
        let broken = |error| nodes::broken(self.name.as_str(), &error);
        let client = match &mut self.client {
            Some(client) => client,
            empty => {
                let mut client = nodes::reach(&self.core, &self.name).await?;
                client.start_log(&self.query).await.map_err(broken)?;
                empty.insert(client)
            }
        };
        // a journal that is followed has no end
        client.next_entries().await.and_then(|entries| entries.ok_or(ClientError::Closed)).map_err(broken)
    }
}

fn entry_event(entry: &LogEntry) -> Option<Event> {
    Event::default().event("entry").id(entry.cursor.as_str()).json_data(entry).ok()
}
