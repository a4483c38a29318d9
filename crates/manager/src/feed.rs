//! One numbered stream of the events of all jobs, for readers that come, go and resume.

use crate::core::unix_now;
use cairn_workflow::Event;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::watch;

/// Some forty installations.
const KEPT: usize = 2000;

#[derive(Clone, Debug)]
pub struct Item {
    pub number: u64,
    pub subject: String,
    /// Since 1970.
    pub unix_seconds: u64,
    pub event: Event,
}

#[derive(Debug)]
pub struct Feed {
    items: Mutex<VecDeque<Item>>,
    newest: watch::Sender<u64>,
}

impl Feed {
    /// Numbers begin at the time of the start, so that they rise over restarts too and a reader that
    /// resumes after one misses nothing.
    pub fn new(now: SystemTime) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let first = u64::try_from(since.as_millis()).unwrap_or_default();
        Self { items: Mutex::default(), newest: watch::Sender::new(first) }
    }

    fn items(&self) -> MutexGuard<'_, VecDeque<Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, subject: String, event: Event) {
        let mut items = self.items();
        if event.what.is_progress() {
            items.retain(|item| {
                !(item.event.what.is_progress()
                    && item.subject == subject
                    && item.event.what.step() == event.what.step())
            });
        }
        let number = self.newest.borrow().saturating_add(1);
        items.push_back(Item { number, subject, unix_seconds: unix_now(), event });
        while items.len() > KEPT {
            items.pop_front();
        }
        self.newest.send_replace(number);
    }

    /// All that came after a number; with a number from the future, all there is.
    pub fn after(&self, number: u64) -> Vec<Item> {
        let known = if number > *self.newest.borrow() { 0 } else { number };
        self.items().iter().filter(|item| item.number > known).cloned().collect()
    }

    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_workflow::What;

    #[test]
    fn a_reader_resumes_by_number_and_old_progress_is_dropped() {
        let feed = Feed::new(SystemTime::UNIX_EPOCH);
        let node = "etcd-1".to_owned();
        let progress = |done| What::Progress { step: "a".into(), done, total: 9, unit: String::new() };
        feed.push(node.clone(), Event { number: 1, what: What::Started { step: "a".into() } });
        for done in 0..5 {
            feed.push(node.clone(), Event { number: 2 + done, what: progress(done) });
        }
        feed.push(node, Event { number: 9, what: What::Done { step: "a".into() } });
        let all = feed.after(0);
        assert_eq!(all.len(), 3);
        assert_eq!(feed.after(all[1].number).len(), 1);
        assert_eq!(feed.after(u64::MAX).len(), 3);
    }
}
