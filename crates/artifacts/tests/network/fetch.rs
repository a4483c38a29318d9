//! Fetching from a real server that cuts, lies and refuses.

use crate::upstream::{Answer, Upstream};
use cairn_artifacts::{Client, FetchError, Patience, Sum, Told, Want, fetch};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &[u8] = b"0123456789abcdef0123456789abcdef";
const TAG: &str = "\"v1\"";

fn client() -> Client {
    let short = Duration::from_millis(1);
    Client::direct(Patience { attempts: 3, first: short, longest: short })
}

struct Case {
    folder: tempfile::TempDir,
    upstream: Upstream,
    told: Vec<Told>,
}

impl Case {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), upstream: Upstream::start(answers), told: Vec::new() }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    fn want(&self, size: Option<u64>) -> Want {
        Want { url: self.upstream.url("file"), sum: Sum::of_bytes(FILE), size }
    }

    fn fetch(&mut self) -> Result<(), FetchError> {
        let (want, target) = (self.want(None), self.target());
        fetch(&client(), &want, &target, &mut |told| self.told.push(told))
    }

    fn retries(&self) -> usize {
        self.told.iter().filter(|told| matches!(told, Told::Retried { .. })).count()
    }

    fn assert_there_alone(&self) {
        assert_eq!(std::fs::read(self.target()).unwrap(), FILE);
        assert_eq!(count(self.folder.path()), 1, "nothing stays beside it");
    }
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_whole_file_arrives_and_its_progress_is_told() {
    let mut case = Case::new([Answer::Good(FILE, TAG)]);
    case.fetch().unwrap();
    case.assert_there_alone();
    assert_eq!(case.told.last(), Some(&Told::Progress { done: 32, total: 32 }));
}

#[test]
fn a_cut_connection_goes_on_where_it_was() {
    let mut case =
        Case::new([Answer::Cut(FILE, TAG, 10), Answer::Cut(FILE, TAG, 10), Answer::Good(FILE, TAG)]);
    case.fetch().unwrap();
    case.assert_there_alone();
    let tag = Some(TAG.to_owned());
    let range = |from: u8| (Some(format!("bytes={from}-")), tag.clone());
    assert_eq!(case.upstream.asked(), [(None, None), range(10), range(20)]);
    assert_eq!(case.retries(), 2);
}

#[test]
fn progress_costs_no_patience_but_standing_still_does() {
    // seven cuts with three attempts: each got further than the one before
    let cuts = std::iter::repeat_n(Answer::Cut(FILE, TAG, 5), 6).chain([Answer::Good(FILE, TAG)]);
    let mut case = Case::new(cuts);
    case.fetch().unwrap();
    case.assert_there_alone();
    let mut still = Case::new([Answer::Cut(FILE, TAG, 0)]);
    assert!(matches!(still.fetch(), Err(FetchError::Broken(..))));
    assert_eq!(still.upstream.asked().len(), 3);
}

#[test]
fn what_an_earlier_run_left_is_taken_up() {
    let mut case = Case::new([
        Answer::Cut(FILE, TAG, 10),
        Answer::Status(500),
        Answer::Status(500),
        Answer::Status(500),
        Answer::Good(FILE, TAG),
    ]);
    assert!(matches!(case.fetch(), Err(FetchError::Status { .. })));
    assert!(!case.target().exists());
    case.fetch().unwrap();
    case.assert_there_alone();
    assert_eq!(case.upstream.asked().last().unwrap().0.as_deref(), Some("bytes=10-"));
}

#[test]
fn two_versions_of_a_file_are_not_mixed() {
    let old: &[u8] = b"XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX";
    let mut case = Case::new([Answer::Cut(old, "\"v0\"", 10), Answer::Good(FILE, TAG)]);
    case.fetch().unwrap();
    case.assert_there_alone();
}

#[test]
fn a_server_without_ranges_works_too() {
    let mut case = Case::new([Answer::Cut(FILE, TAG, 10), Answer::Plain(FILE)]);
    case.fetch().unwrap();
    case.assert_there_alone();
}

#[test]
fn a_wrong_checksum_names_both_sums_and_leaves_nothing() {
    let wrong: &[u8] = b"0123456789abcdef0123456789abcdeX";
    let mut case = Case::new([Answer::Good(wrong, TAG)]);
    let error = case.fetch().unwrap_err().to_string();
    assert!(error.contains(&Sum::of_bytes(FILE).to_string()), "{error}");
    assert!(error.contains(&Sum::of_bytes(wrong).to_string()), "{error}");
    assert_eq!(count(case.folder.path()), 0);
    assert_eq!(case.upstream.asked().len(), 1, "it is not asked again");
}

#[test]
fn a_part_that_is_no_beginning_of_the_file_is_thrown_away() {
    let mut case = Case::new([Answer::Good(FILE, TAG)]);
    std::fs::write(case.folder.path().join("file.part"), [b'X'; 99]).unwrap();
    // 416: the file has no such bytes
    case.fetch().unwrap();
    case.assert_there_alone();
    assert_eq!(case.upstream.asked(), [(Some("bytes=99-".to_owned()), None), (None, None)]);
    assert_eq!(case.retries(), 0);
    // a server that says so of the whole file, too, is not asked for ever
    let mut case = Case::new([Answer::Status(416)]);
    std::fs::write(case.folder.path().join("file.part"), [b'X'; 99]).unwrap();
    assert!(matches!(case.fetch(), Err(FetchError::Status { .. })));
    assert_eq!(case.upstream.asked().len(), 2);
    // a part that is whole needs no server
    let mut case = Case::new([Answer::Status(500)]);
    std::fs::write(case.folder.path().join("file.part"), FILE).unwrap();
    case.fetch().unwrap();
    case.assert_there_alone();
    assert!(case.upstream.asked().is_empty());
}

#[test]
fn busy_servers_are_asked_again_and_refusals_are_not() {
    for (status, asked) in [(503, 3), (500, 3), (429, 3), (404, 1), (403, 1), (410, 1)] {
        let mut case = Case::new([Answer::Status(status)]);
        let error = case.fetch().unwrap_err();
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert!(!error.is_offline());
        assert_eq!(case.upstream.asked().len(), asked, "{status}");
    }
    let mut case = Case::new([Answer::Status(503), Answer::Good(FILE, TAG)]);
    case.fetch().unwrap();
    case.assert_there_alone();
    assert_eq!(case.retries(), 1);
}

#[test]
fn a_redirect_keeps_the_range() {
    let mut case = Case::new([
        Answer::Redirect("/elsewhere"),
        Answer::Cut(FILE, TAG, 10),
        Answer::Redirect("/elsewhere"),
        Answer::Good(FILE, TAG),
    ]);
    case.fetch().unwrap();
    case.assert_there_alone();
    assert_eq!(case.upstream.asked()[3].0.as_deref(), Some("bytes=10-"));
}

#[test]
fn more_than_was_pinned_is_not_written() {
    let case = Case::new([Answer::Good(FILE, TAG)]);
    let error = fetch(&client(), &case.want(Some(31)), &case.target(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 31, .. }));
    assert_eq!(count(case.folder.path()), 0);
}

#[test]
fn where_nobody_answers_there_may_be_no_network() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", free.local_addr().unwrap());
    drop(free);
    for url in [url, "http://no-such-host.invalid/file".to_owned()] {
        let want = Want { url, sum: Sum::of_bytes(FILE), size: None };
        let error = fetch(&client(), &want, &folder.path().join("file"), &mut |_| {}).unwrap_err();
        assert!(error.is_offline(), "{error:?}");
    }
}
