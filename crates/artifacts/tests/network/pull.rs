//! The whole way of a store: lock, pull, break off, go on, all against a real server.

use crate::upstream::{Answer, Upstream};
use cairn_artifacts::lock::{self, LockError};
use cairn_artifacts::pull::{look, pull};
use cairn_artifacts::store::State;
use cairn_artifacts::{Client, Patience, Pins, Store, Sum};
use cairn_workflow::{EventLog, RowState, What, rows};
use std::time::Duration;

const ONE: &[u8] = b"the program";
const TWO: &[u8] = b"the images";

fn client() -> Client {
    let short = Duration::from_millis(1);
    Client::direct(Patience { attempts: 2, first: short, longest: short })
}

fn pin(name: &str, upstream: &Upstream, content: Option<&[u8]>) -> String {
    let sum = content.map(|content| format!("sha256 = '{}'\n", Sum::of_bytes(content))).unwrap_or_default();
    let url = upstream.url(name);
    format!("[[artifact]]\nname = '{name}'\nversion = '1'\narch = 'amd64'\nurl = '{url}'\n{sum}")
}

#[test]
fn all_that_is_locked_and_missing_is_pulled_and_every_step_is_told() {
    let upstream =
        Upstream::start([Answer::Status(503), Answer::Good(ONE, "\"1\""), Answer::Good(TWO, "\"2\"")]);
    let text =
        [pin("k3s", &upstream, Some(ONE)), pin("open", &upstream, None), pin("images", &upstream, Some(TWO))];
    let pins = Pins::parse("x", &text.concat()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();

    let log = EventLog::new();
    pull(&store, &client(), &look(&store, &pins.pins).unwrap(), &mut |what| {
        log.emit(what);
    })
    .unwrap();
    let states: Vec<State> = look(&store, &pins.pins).unwrap().iter().map(|item| item.state).collect();
    assert_eq!(states, [State::There { size: 11 }, State::NotLocked, State::There { size: 10 }]);
    let events = log.after(0);
    let shown = rows(&events);
    assert_eq!(shown.len(), 2, "what is not locked is not planned");
    assert!(shown.iter().all(|row| row.state == RowState::Done));
    assert_eq!(shown[0].progress, Some((11, 11)));
    assert!(events.iter().any(|event| matches!(&event.what, What::Retried { attempt: 1, .. })));
    assert_eq!(events.last().unwrap().what, What::Finished);

    // nothing is left to do
    let log = EventLog::new();
    pull(&store, &client(), &look(&store, &pins.pins).unwrap(), &mut |what| {
        log.emit(what);
    })
    .unwrap();
    assert_eq!(upstream.asked().len(), 3);
    assert!(rows(&log.after(0)).is_empty());
}

#[test]
fn a_pull_that_failed_goes_on_with_what_is_missing() {
    let upstream =
        Upstream::start([Answer::Good(ONE, "\"1\""), Answer::Status(404), Answer::Good(TWO, "\"2\"")]);
    let text = [pin("k3s", &upstream, Some(ONE)), pin("images", &upstream, Some(TWO))].concat();
    let pins = Pins::parse("x", &text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let log = EventLog::new();
    pull(&store, &client(), &look(&store, &pins.pins).unwrap(), &mut |what| {
        log.emit(what);
    })
    .unwrap_err();
    assert!(matches!(log.after(0).last().unwrap().what, What::Failed { .. }));
    pull(&store, &client(), &look(&store, &pins.pins).unwrap(), &mut |_| {}).unwrap();
    assert!(look(&store, &pins.pins).unwrap().iter().all(|item| item.is_there()));
}

#[test]
fn checksums_come_from_upstreams_own_file_and_lie_in_the_owners() {
    let sums: &'static str = format!("{}  k3s\n", Sum::of_bytes(ONE)).leak();
    let upstream = Upstream::start([Answer::Plain(sums.as_bytes())]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("artifacts.toml");
    let text = format!("# mine\n{}checksums = '{}'\n", pin("k3s", &upstream, None), upstream.url("sums.txt"));
    std::fs::write(&path, &text).unwrap();
    let locked = lock::lock_file(&client(), &path).unwrap();
    assert_eq!(locked.new[0].sum, Some(Sum::of_bytes(ONE)));
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written.starts_with(&text), "{written}");
    assert_eq!(Pins::load(&path).unwrap().pins, locked.new);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_lock_that_fails_writes_nothing() {
    let upstream = Upstream::start([Answer::Status(404)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("artifacts.toml");
    let text = format!("{}checksums = '{}'\n", pin("k3s", &upstream, None), upstream.url("sums.txt"));
    std::fs::write(&path, &text).unwrap();
    assert!(matches!(lock::lock_file(&client(), &path), Err(LockError::Status { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    // where only TLS vouches for the checksums, plain HTTP is not asked at all
    let tls = Client::https_only(Patience::default());
    assert!(matches!(lock::lock_file(&tls, &path), Err(LockError::Fetch(..))));
    assert_eq!(upstream.asked().len(), 1);
}
