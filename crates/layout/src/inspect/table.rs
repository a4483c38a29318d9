//! Foreign partition tables in words.

use std::io::{self, Read, Seek};

use super::probe::Probe;
use super::signature;
use crate::gpt::{SIGNATURE, Table, le32};

/// Partitions that are named; the others are counted.
const SHOWN: usize = 6;

pub(super) fn describe_gpt<D: Read + Seek>(probe: &mut Probe<'_, D>, table: &Table) -> io::Result<String> {
    let mut parts = Vec::new();
    for entry in table.entries.iter().take(SHOWN) {
        let name = signature::clean(&entry.name);
        parts.push(match entry.byte_range(table.sector) {
            Some((start, len)) => partition(probe, &name, start, len)?,
            None => format!("`{name}` of impossible size"),
        });
    }
    Ok(sentence("GPT", &parts, table.entries.len()))
}

fn partition<D: Read + Seek>(
    probe: &mut Probe<'_, D>,
    name: &str,
    start: u64,
    len: u64,
) -> io::Result<String> {
    let found = signature::identify(probe, start, len)?;
    let content = if found.is_empty() { "unknown content".to_owned() } else { signature::words(&found) };
    let name = if name.is_empty() { String::new() } else { format!(" in `{name}`") };
    Ok(format!("{content}{name}, {}", size_words(len)))
}

fn sentence(kind: &str, parts: &[String], all: usize) -> String {
    let more = match all.saturating_sub(parts.len()) {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    match all {
        0 => format!("{kind} without partitions"),
        1 => format!("{kind} with 1 partition: {}", parts.join("; ")),
        n => format!("{kind} with {n} partitions: {}{more}", parts.join("; ")),
    }
}

/// A damaged GPT, or an MBR.
pub(super) fn describe_remains<D: Read + Seek>(probe: &mut Probe<'_, D>) -> io::Result<Option<String>> {
    let size = probe.size();
    let headers = [Some(512), Some(4096), size.checked_sub(512), size.checked_sub(4096)];
    for at in headers.into_iter().flatten() {
        if probe.bytes(at, SIGNATURE.len())? == SIGNATURE {
            return Ok(Some("a damaged partition table (GPT)".to_owned()));
        }
    }
    mbr(probe)
}

fn mbr<D: Read + Seek>(probe: &mut Probe<'_, D>) -> io::Result<Option<String>> {
    let sector = probe.bytes(0, 512)?;
    let Some(records) = sector.strip_suffix(&[0x55, 0xAA]).and_then(|s| s.get(446..)) else {
        return Ok(None);
    };
    let (records, _) = records.as_chunks::<16>();
    if !records.iter().all(|r| matches!(r.first(), Some(0 | 0x80))) {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for record in records {
        let (kind, first, sectors) = (record.get(4), le32(record, 8), le32(record, 12));
        let (Some(kind), Some(first), Some(sectors)) = (kind, first, sectors) else { continue };
        if *kind != 0 && sectors != 0 {
            let kind = format!("type {kind:02x}");
            parts.push(partition(probe, &kind, u64::from(first) * 512, u64::from(sectors) * 512)?);
        }
    }
    Ok((!parts.is_empty()).then(|| sentence("MBR", &parts, parts.len())))
}

/// Decimal, as disks are sold.
pub(super) fn size_words(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        1_000_000_000..1_000_000_000_000 => (1_000_000_000, "GB"),
        _ => (1_000_000_000_000, "TB"),
    };
    format!("{}.{} {name}", bytes / unit, bytes % unit / (unit / 10))
}
