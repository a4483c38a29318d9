//! Journals made by systemd's own program and read by journalctl.

use super::*;
use cairn_model::log::Cursor;
use std::io::Write as _;
use std::path::Path;
use tempfile::TempDir;

const WRITER: &str = "/lib/systemd/systemd-journal-remote";
const SECOND: u64 = 1_000_000;
const START: u64 = 1_700_000_000 * SECOND;

/// Adds entries to the journal in a folder, in the journal export format.
fn write(folder: &Path, entries: &[(u64, &str, &[u8])]) {
    let mut export = Vec::new();
    for (second, unit, message) in entries {
        let time = START + second * SECOND;
        write!(
            export,
            "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={time}\n_BOOT_ID=4b7b9d6a7c2e4b5ba5e3a6f3c6a1d111\n"
        )
        .unwrap();
        let unit =
            if *unit == "kernel" { "_TRANSPORT=kernel".into() } else { format!("_SYSTEMD_UNIT={unit}") };
        write!(export, "{unit}\nPRIORITY=6\nMESSAGE\n").unwrap();
        export.extend(u64::try_from(message.len()).unwrap().to_le_bytes());
        export.extend_from_slice(message);
        export.extend(b"\n\n");
    }
    let output = format!("--output={}", folder.join("test.journal").display());
    command::run(WRITER, &[&output, "-"], &export).unwrap();
}

fn journal() -> (TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            (0, "k3s.service", b"first"),
            (1, "cairn-etcd.service", b"second"),
            (2, "k3s.service", b"bad \xff\x00 bytes"),
            (3, "kernel", b"from the kernel"),
            (4, "k3s.service", &[b'x'; 9000]),
            (5, "k3s.service", b"last"),
        ],
    );
    let journal = Journal::in_directory(folder.path().to_owned());
    (folder, journal)
}

async fn all(journal: &Journal, query: &LogQuery) -> Vec<LogEntry> {
    let mut receiver = journal.read(query).unwrap();
    let mut entries = Vec::new();
    while let Some(bundle) = receiver.recv().await {
        entries.extend(bundle.unwrap());
    }
    entries
}

fn of(unit: &str, lines: u32) -> LogQuery {
    LogQuery { unit: unit.parse().ok(), lines, ..LogQuery::default() }
}

fn messages(entries: &[LogEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.message.as_str()).collect()
}

#[tokio::test]
async fn the_last_entries_of_a_unit_come_in_order_whatever_is_in_them() {
    let (_folder, journal) = journal();
    let entries = all(&journal, &of("k3s.service", 3)).await;
    assert_eq!(messages(&entries), ["bad \u{fffd}\0 bytes", "(a message of more than 4096 bytes)", "last"]);
    assert!(entries.iter().all(|entry| entry.unit.as_deref() == Some("k3s.service")));
    assert_eq!(entries.last().map(|entry| entry.time_us), Some(START + 5 * SECOND));
    assert_eq!(messages(&all(&journal, &of("kernel", 9)).await), ["from the kernel"]);
    assert_eq!(all(&journal, &LogQuery { lines: 100, ..LogQuery::default() }).await.len(), 6);
    assert!(all(&journal, &of("nothing.service", 5)).await.is_empty());
}

#[tokio::test]
async fn units_with_entries_are_listed_and_the_kernel_is_one() {
    let (_folder, journal) = journal();
    let units: Vec<String> = journal.units().unwrap().into_iter().map(String::from).collect();
    assert_eq!(units, ["kernel", "cairn-etcd.service", "k3s.service"]);
}

#[tokio::test]
async fn a_reader_goes_on_after_its_cursor_even_when_that_is_of_another_journal() {
    let (_folder, journal) = journal();
    let first = all(&journal, &of("k3s.service", 9)).await;
    let after = |cursor: Cursor| LogQuery { after: Some(cursor), ..of("k3s.service", 2) };
    let second = all(&journal, &after(first[0].cursor.clone())).await;
    assert_eq!(second, first[1..3]);
    assert!(all(&journal, &after(first[3].cursor.clone())).await.is_empty());
    // as after a restart: nothing of what is new may be missing
    let zero = "0".repeat(32);
    let time = START + SECOND;
    let gone: Cursor = format!("s={zero};i=1;b={zero};m=1;t={time:x};x=1").parse().unwrap();
    assert_eq!(messages(&all(&journal, &after(gone)).await)[0], "bad \u{fffd}\0 bytes");
}

#[tokio::test]
async fn what_is_written_while_somebody_follows_arrives_and_the_process_ends_with_the_reader() {
    let (folder, journal) = journal();
    let query = LogQuery { follow: true, ..of("k3s.service", 1) };
    let mut receiver = journal.read(&query).unwrap();
    assert_eq!(messages(&receiver.recv().await.unwrap().unwrap()), ["last"]);
    write(folder.path(), &[(9, "cairn-etcd.service", b"not asked for"), (9, "k3s.service", b"new")]);
    assert_eq!(messages(&receiver.recv().await.unwrap().unwrap()), ["new"]);
    drop(receiver);
    // its place is free again once the process is gone
    let all_places = u32::try_from(MOST_READERS).unwrap();
    drop(journal.readers.acquire_many(all_places).await.unwrap());
}

#[tokio::test]
async fn only_so_many_read_at_once() {
    let (_folder, journal) = journal();
    let query = LogQuery { follow: true, ..of("k3s.service", 1) };
    let readers: Vec<_> = (0..MOST_READERS).map(|_| journal.read(&query).unwrap()).collect();
    assert!(journal.read(&query).unwrap_err().contains("4 readers"));
    drop(readers);
}

#[tokio::test]
async fn a_journal_that_can_not_be_read_is_told_in_journalctls_words() {
    let journal = Journal::in_directory("/no/such/folder".into());
    let error = journal.read(&of("k3s.service", 1)).unwrap().recv().await.unwrap().unwrap_err();
    assert!(error.contains("/no/such/folder") || error.contains("No such file"), "{error}");
    assert!(journal.units().is_err());
}

#[tokio::test]
async fn a_line_without_end_is_left_out_and_costs_no_memory() {
    let mut text = vec![b'x'; 3 * LONGEST_LINE];
    text.extend(b"\nshort\n");
    let mut reader = BufReader::with_capacity(100, text.as_slice());
    assert_eq!(next_line(&mut reader).await.unwrap(), Some(Vec::new()));
    assert_eq!(next_line(&mut reader).await.unwrap(), Some(b"short".to_vec()));
    assert_eq!(next_line(&mut reader).await.unwrap(), None);
}

#[test]
fn what_the_manager_says_reaches_journalctl_as_values_only() {
    let query = LogQuery {
        unit: "-.mount".parse().ok(),
        lines: u32::MAX,
        after: "s=1;i=2".parse().ok(),
        follow: true,
    };
    let arguments = arguments(&query);
    assert!(arguments.contains(&"--unit=-.mount".to_owned()));
    assert!(arguments.contains(&"--cursor=s=1;i=2".to_owned()));
    assert!(arguments.contains(&"--lines=1001".to_owned()));
}
