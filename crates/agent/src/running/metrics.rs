//! What etcd says of itself, in Prometheus' text format (prometheus.io, "Exposition formats").
//!
//! Only the few numbers that Cairn uses are looked for, so the text is read line by line and never held apart: a library
//! for the whole format would be larger than all that the agent knows of etcd.

use cairn_model::etcd::EtcdVitals;
use std::collections::BTreeMap;

/// A line that holds a number: `name{label="value",…} 1.5`, perhaps with a time behind it.
#[derive(Debug, PartialEq)]
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
        let (name, rest) = line.split_at_checked(end)?;
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(inner) => inner.split_at_checked(closing(inner)?)?,
            None => ("", rest),
        };
        let value = rest.trim_start_matches('}').split_whitespace().next()?.parse().ok()?;
        Some(Self { name, labels, value })
    }

    /// A label's value as it is written: those that are looked for never need an escape.
    fn label(&self, wanted: &str) -> Option<&'a str> {
        let mut rest = self.labels;
        loop {
            let (name, quoted) = rest.trim_start_matches([',', ' ']).split_once("=\"")?;
            let (value, behind) = quoted.split_at_checked(end_of_text(quoted)?)?;
            if name.trim() == wanted {
                return Some(value);
            }
            rest = behind.get(1..)?;
        }
    }
}

/// Where the labels end: a brace outside of quotes.
fn closing(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let next = rest.find(['"', '}'])?;
        let found = at + next;
        if rest.get(next..)?.starts_with('}') {
            return Some(found);
        }
        at = found + 1 + end_of_text(text.get(found + 1..)?)? + 1;
    }
}

/// Where a text ends whose opening quote is gone; a backslash escapes what follows.
fn end_of_text(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

/// How many were at most so long (in seconds), for growing lengths.
type Buckets = Vec<(f64, f64)>;

/// The least bound within which 99 of 100 lie, in microseconds. `None` without any, and when they lie beyond the last.
fn p99_us(buckets: &Buckets) -> Option<u64> {
    let all = buckets.iter().map(|(_, count)| *count).fold(0.0, f64::max);
    let within = buckets.iter().filter(|(_, count)| all > 0.0 && *count >= all * 0.99);
    let seconds = within.map(|(bound, _)| *bound).fold(f64::INFINITY, f64::min);
    whole(seconds * 1e6)
}

/// Saturates; `None` for what is no number of things.
fn whole(value: f64) -> Option<u64> {
    // `as` would do all of this without a word
    (value.is_finite() && value >= 0.0).then_some(value.round() as u64)
}

/// `None` when this is not etcd's text.
pub fn read(text: &str) -> Option<EtcdVitals> {
    let mut vitals = EtcdVitals::default();
    let (mut log, mut peers) = (Buckets::new(), BTreeMap::<&str, Buckets>::new());
    let mut is_etcd = false;
    for sample in text.lines().filter_map(Sample::parse) {
        let bound = || sample.label("le").and_then(|le| le.parse::<f64>().ok());
        match sample.name {
            "etcd_disk_wal_fsync_duration_seconds_bucket" => {
                log.extend(bound().map(|bound| (bound, sample.value)));
            }
            "etcd_network_peer_round_trip_time_seconds_bucket" => {
                if let Some((to, bound)) = sample.label("To").zip(bound()) {
                    peers.entry(to).or_default().push((bound, sample.value));
                }
            }
            "etcd_mvcc_db_total_size_in_bytes" => {
                is_etcd = true;
                vitals.database = whole(sample.value).unwrap_or(0);
            }
            "etcd_mvcc_db_total_size_in_use_in_bytes" => {
                vitals.database_in_use = whole(sample.value).unwrap_or(0);
            }
            "etcd_server_leader_changes_seen_total" => {
                vitals.leader_changes = whole(sample.value).unwrap_or(0);
            }
            "etcd_network_active_peers" => vitals.peers += u32::from(sample.value > 0.0),
            _ => {}
        }
    }
    vitals.log_p99_us = p99_us(&log);
    vitals.round_trip_p99_us = peers.values().filter_map(p99_us).max();
    is_etcd.then_some(vitals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = r#"# HELP etcd_disk_wal_fsync_duration_seconds The latency distributions of fsync called by WAL.
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 90
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"} 98
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.004"} 99
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 100
etcd_disk_wal_fsync_duration_seconds_sum 1.2
etcd_mvcc_db_total_size_in_bytes 2.0971520e+07
etcd_mvcc_db_total_size_in_use_in_bytes 1.048576e+06
etcd_server_leader_changes_seen_total 3
etcd_network_active_peers{Local="a",Remote="b"} 1
etcd_network_active_peers{Local="a",Remote="c"} 0
etcd_network_peer_round_trip_time_seconds_bucket{To="b",le="0.0001"} 5
etcd_network_peer_round_trip_time_seconds_bucket{To="b",le="+Inf"} 5
etcd_network_peer_round_trip_time_seconds_bucket{To="c",le="0.0001"} 0
etcd_network_peer_round_trip_time_seconds_bucket{To="c",le="0.0512"} 7 1700000000000
etcd_network_peer_round_trip_time_seconds_bucket{To="c",le="+Inf"} 7
"#;

    #[test]
    fn the_numbers_that_matter_are_found() {
        let expected = EtcdVitals {
            drive: None,
            log_p99_us: Some(4_000),
            round_trip_p99_us: Some(51_200),
            database: 20 << 20,
            database_in_use: 1 << 20,
            leader_changes: 3,
            peers: 1,
        };
        assert_eq!(read(TEXT), Some(expected));
        assert_eq!(read("<html>"), None);
    }

    #[test]
    fn a_labels_text_may_hold_what_elsewhere_ends_it() {
        let sample = Sample::parse(r#"a{x="}\",le=\"9\\",le="1"} 2"#).unwrap();
        assert_eq!((sample.name, sample.value), ("a", 2.0));
        assert_eq!(sample.label("le"), Some("1"));
        for none in ["", "# a 1", "a", "a{", r#"a{x="} 1"#, "a x", "a{} x"] {
            assert_eq!(Sample::parse(none), None, "{none}");
        }
    }

    #[test]
    fn beyond_the_last_bound_nothing_is_known() {
        assert_eq!(p99_us(&vec![(0.1, 5.0), (f64::INFINITY, 10.0)]), None);
        assert_eq!(p99_us(&vec![(0.1, 0.0), (f64::INFINITY, 0.0)]), None);
        assert_eq!(p99_us(&Vec::new()), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_this_panic(text in "(etcd_[a-z_]{0,9}(bucket)?|[{}\"\\\\=, \n#]|le=\"[0-9.]*\"|[0-9.e+-]{1,5}){0,40}") {
            read(&text);
        }

        #[test]
        fn each_text_of_a_label_comes_back(value in "[a-z{},= ]{0,9}", number in 0_u32..1000) {
            let line = format!("name{{one=\"{value}\",two=\"{value}2\"}} {number}");
            let sample = Sample::parse(&line).unwrap();
            prop_assert_eq!(sample.value, f64::from(number));
            let two = format!("{value}2");
            prop_assert_eq!(sample.label("two"), Some(two.as_str()));
            prop_assert_eq!(sample.label("three"), None);
        }
    }
}
