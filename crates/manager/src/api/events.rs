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
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Vitals change with every poll of every node, and each page is rendered anew for each "the status has changed".
const STATUS_EVERY: Duration = Duration::from_secs(2);

struct Reader {
    feed: Arc<Feed>,
    newest: watch::Receiver<u64>,
    shown: watch::Receiver<Arc<Status>>,
    /// Already told.
    after: u64,
    /// No sooner is told again that the status has changed.
    not_before: Instant,
}

/// What changes before its time is not lost: it has changed when the time has come.
async fn changed(
    shown: &mut watch::Receiver<Arc<Status>>,
    not_before: Instant,
) -> Result<(), watch::error::RecvError> {
    sleep_until(not_before).await;
    shown.changed().await
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
                changed = changed(&mut self.shown, self.not_before) => {
                    changed.ok()?;
                    self.not_before = Instant::now() + STATUS_EVERY;
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

/// The steps of all jobs as they happen.
///
/// Server-sent events without an end. `job`: its data is an `EventMessage`, its id the number to resume after.
/// `status`: what `/api/v1/status` gives has changed.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    operation_id = "events",
    tag = "cluster",
    params(("Last-Event-ID" = Option<String>, Header, description = "The number of the last event that was read; all are told when it is left out or no number")),
    responses(
        (status = 200, body = crate::api::ServerSentEvent, content_type = "text/event-stream", description = "Events, those after the named one first"),
    )
)]
pub async fn events(
    _: Session,
    State(shared): State<Shared>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last =
        headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let feed = Arc::clone(&shared.core.jobs.feed);
    let newest = feed.newest();
    let (shown, after, not_before) = (shared.core.shown(), last.unwrap_or(0), Instant::now());
    let reader = Reader { feed, newest, shown, after, not_before };
    let batches = stream::unfold(reader, Reader::next);
    Sse::new(batches.flat_map(|batch| stream::iter(batch.into_iter().map(Ok))))
        .keep_alive(KeepAlive::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_workflow::{Event as JobEvent, What};
    use std::time::SystemTime;
    use tokio::time::timeout;

    fn reader() -> (watch::Sender<Arc<Status>>, Arc<Feed>, Reader) {
        let (status, feed) = (watch::Sender::default(), Arc::new(Feed::new(SystemTime::UNIX_EPOCH)));
        let (newest, shown) = (feed.newest(), status.subscribe());
        let reader = Reader { feed: Arc::clone(&feed), newest, shown, after: 0, not_before: Instant::now() };
        (status, feed, reader)
    }

    #[tokio::test(start_paused = true)]
    async fn many_changes_are_told_as_few_and_the_last_is_never_lost() {
        let (status, _feed, mut reader) = reader();
        let began = Instant::now();
        for seconds in [0, 2, 4] {
            for _ in 0..5 {
                status.send_replace(Arc::default());
            }
            let (events, next) = reader.next().await.unwrap();
            assert_eq!((events.len(), began.elapsed().as_secs()), (1, seconds));
            reader = next;
        }
        assert!(timeout(STATUS_EVERY * 9, reader.next()).await.is_err(), "nothing has changed");
    }

    #[tokio::test(start_paused = true)]
    async fn steps_of_jobs_are_told_at_once() {
        let (status, feed, reader) = reader();
        status.send_replace(Arc::default());
        let (_, reader) = reader.next().await.unwrap();
        status.send_replace(Arc::default());
        feed.push("etcd-1".into(), JobEvent { number: 1, what: What::Started { step: "a".into() } });
        let began = Instant::now();
        let (_, reader) = reader.next().await.unwrap();
        assert_eq!((began.elapsed(), reader.after), (Duration::ZERO, *feed.newest().borrow()));
    }
}
