//! The event log of one job: bounded, resumable by number, and awaited by any number of readers.

use crate::event::{Event, What};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Cheap to clone; all clones are the same log.
#[derive(Clone, Debug)]
pub struct EventLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    events: Vec<Event>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self::new()
    }
}

impl EventLog {
    pub fn new() -> Self {
        Self { inner: Arc::new(Inner { state: Mutex::default(), newest: watch::Sender::new(0) }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole after every statement, so a poisoned lock loses nothing.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event and returns its number. Older progress of the same step is dropped, which
    /// bounds the log by the number of steps rather than by the size of what is copied.
    pub fn emit(&self, what: What) -> u64 {
        let mut state = self.state();
        if what.is_progress() {
            let step = what.step().map(str::to_owned);
            state.events.retain(|e| !(e.what.is_progress() && e.what.step() == step.as_deref()));
        }
        if matches!(what, What::Planned { .. }) {
            state.events.clear();
        }
        state.last += 1;
        let number = state.last;
        state.events.push(Event { number, what });
        drop(state);
        self.inner.newest.send_replace(number);
        number
    }

    /// All events with a higher number than `after`, oldest first.
    pub fn after(&self, after: u64) -> Vec<Event> {
        self.state().events.iter().filter(|e| e.number > after).cloned().collect()
    }

    /// Waits until there is something after `after`, then returns it.
    pub async fn wait_after(&self, after: u64) -> Vec<Event> {
        let mut newest = self.inner.newest.subscribe();
        loop {
            let events = self.after(after);
            if !events.is_empty() {
                return events;
            }
            if newest.changed().await.is_err() {
                return events;
            }
        }
    }

    /// A channel that changes with every event.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.inner.newest.subscribe()
    }

    /// Runs one step: reports that it started, and how it ended.
    ///
    /// # Errors
    /// Whatever the step's own future returned, after it was reported with its whole chain of causes.
    pub async fn step<T, E: std::error::Error>(
        &self,
        id: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.emit(What::Started { step: id.to_owned() });
        self.ended(id, work.await)
    }

    /// Like [`Self::step`], for work that blocks its thread.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn blocking_step<T, E: std::error::Error>(
        &self,
        id: &str,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.emit(What::Started { step: id.to_owned() });
        self.ended(id, work())
    }

    fn ended<T, E: std::error::Error>(&self, id: &str, result: Result<T, E>) -> Result<T, E> {
        match &result {
            Ok(_) => self.emit(What::Done { step: id.to_owned() }),
            Err(error) => self.emit(What::Failed { step: id.to_owned(), error: chain(error) }),
        };
        result
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn progress(step: &str, done: u64) -> What {
        What::Progress { step: step.to_owned(), done, total: 100, unit: "bytes".to_owned() }
    }

    #[test]
    fn only_the_newest_progress_of_a_step_is_kept() {
        let log = EventLog::new();
        log.emit(What::Started { step: "copy".into() });
        for done in 0..1000 {
            log.emit(progress("copy", done));
        }
        let events = log.after(0);
        assert_eq!(events.len(), 2);
        assert_eq!(events[1].number, 1001);
    }

    #[tokio::test]
    async fn a_reader_that_waits_sees_what_comes_after_its_number() {
        let log = EventLog::new();
        let first = log.emit(What::Started { step: "a".into() });
        let reader = tokio::spawn({
            let log = log.clone();
            async move { log.wait_after(first).await }
        });
        tokio::task::yield_now().await;
        log.emit(What::Done { step: "a".into() });
        let got = reader.await.unwrap();
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].what, What::Done { step: "a".into() });
    }

    #[tokio::test]
    async fn a_failed_step_is_reported_with_its_causes() {
        let log = EventLog::new();
        let result: Result<(), _> = log.step("x", async { Err(std::io::Error::other("no disk")) }).await;
        assert!(result.is_err());
        assert!(
            log.after(0).iter().any(|e| matches!(&e.what, What::Failed { error, .. } if error == "no disk"))
        );
    }

    proptest! {
        #[test]
        fn reading_in_pieces_never_loses_a_step_event(kinds in proptest::collection::vec(0u8..4, 0..60), cut in 0usize..60) {
            let log = EventLog::new();
            let mut seen = Vec::new();
            let mut last = 0;
            for (i, kind) in kinds.iter().enumerate() {
                log.emit(match kind {
                    0 => What::Started { step: "s".into() },
                    1 => What::Done { step: "s".into() },
                    2 => What::Retried { step: "s".into(), attempt: 1, reason: String::new() },
                    _ => progress("s", 1),
                });
                if i == cut {
                    for e in log.after(last) { last = e.number; seen.push(e); }
                }
            }
            seen.extend(log.after(last));
            let kept = seen.iter().filter(|e| !e.what.is_progress()).count();
            prop_assert_eq!(kept, kinds.iter().filter(|k| **k < 3).count());
            prop_assert!(seen.windows(2).all(|w| w[0].number < w[1].number));
        }
    }
}
