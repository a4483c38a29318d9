//! Server-sent events: the steps of all jobs, resumable by number, and "the status has changed".

use super::types::EventMessage;
use super::{Session, Shared};
use crate::api::Status;
use crate::feed::{Feed, Item};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream, StreamExt as _};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;

pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

struct Reader {
    feed: Arc<Feed>,
    newest: watch::Receiver<u64>,
    shown: watch::Receiver<Arc<Status>>,
    /// Already told.
    after: u64,
}

impl Reader {
    /// Waits for the next events; `None` when the manager stops.
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        loop {
            self.newest.mark_unchanged();
            let items = self.feed.after(self.after);
            if let Some(last) = items.last() {
                self.after = last.number;
                return Some((items.iter().filter_map(job).collect(), self));
            }
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                changed = self.shown.changed() => {
                    changed.ok()?;
                    return Some((vec![Event::default().event("status").data("changed")], self));
                }
            }
        }
    }
}

fn job(item: &Item) -> Option<Event> {
    let Item { number, subject, unix_seconds, event } = item;
    let message =
        EventMessage { subject: subject.clone(), unix_seconds: *unix_seconds, event: event.clone() };
    Event::default().event("job").id(number.to_string()).json_data(message).ok()
}

pub async fn events(
    _: Session,
    State(shared): State<Shared>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last =
        headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let feed = Arc::clone(&shared.core.jobs.feed);
    let newest = feed.newest();
    let reader = Reader { newest, shown: shared.core.shown(), feed, after: last.unwrap_or(0) };
    let batches = stream::unfold(reader, Reader::next);
    Sse::new(batches.flat_map(|batch| stream::iter(batch.into_iter().map(Ok))))
        .keep_alive(KeepAlive::default())
}
