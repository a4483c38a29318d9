//! One line of `journalctl --output=json` (systemd's JOURNAL_EXPORT_FORMATS, "Journal JSON Format").

use cairn_model::log::{Cursor, LONGEST_MESSAGE, LogEntry};
use serde::Deserialize;

/// Names of units and programs; longer ones are cut.
const LONGEST_NAME: usize = 255;
/// What stands around an entry's texts as JSON, and its cursor.
const FRAME: usize = 512;

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "__CURSOR")]
    cursor: Cursor,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    time: String,
    #[serde(rename = "MESSAGE")]
    message: Option<Field>,
    #[serde(rename = "PRIORITY")]
    priority: Option<Field>,
    #[serde(rename = "_SYSTEMD_UNIT")]
    unit: Option<Field>,
    /// Whom a message of systemd's own is about.
    #[serde(rename = "UNIT")]
    about: Option<Field>,
    #[serde(rename = "SYSLOG_IDENTIFIER")]
    identifier: Option<Field>,
    #[serde(rename = "_TRANSPORT")]
    transport: Option<Field>,
}

/// Text; bytes where it is not UTF-8 or not printable; several where the field was given more than once.
/// A field of more than 4 KiB is `null`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Field {
    Text(String),
    Bytes(Vec<u8>),
    Several(Vec<Option<Field>>),
}

impl Field {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Self::Several(fields) => {
                let texts: Vec<String> = fields.into_iter().flatten().map(Self::into_text).collect();
                texts.join("\n")
            }
        }
    }
}

/// `None` for what is no entry.
pub fn parse(line: &[u8]) -> Option<LogEntry> {
    let Line { cursor, time, message, priority, unit, about, identifier, transport } =
        serde_json::from_slice(line).ok()?;
    let name = |field: Field| cut(field.into_text(), LONGEST_NAME).0;
    let kernel = transport.is_some_and(|field| field.into_text() == "kernel");
    let unit = about.or(unit).map(name).or_else(|| kernel.then(|| "kernel".to_owned()));
    let (message, cut) = match message {
        Some(field) => cut(field.into_text(), LONGEST_MESSAGE),
        // journalctl leaves it out when it is too long; an entry without any message is rare
        None => (format!("(a message of more than {LONGEST_MESSAGE} bytes)"), true),
    };
    Some(LogEntry {
        cursor,
        time_us: time.parse().ok()?,
        unit,
        identifier: identifier.map(name),
        priority: priority.and_then(|field| field.into_text().parse().ok()),
        message,
        cut,
    })
}

/// At most so many bytes, and whether something was lost.
fn cut(mut text: String, most: usize) -> (String, bool) {
    if text.len() <= most {
        return (text, false);
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    (text, true)
}

/// Bytes that an entry has as JSON when each of its characters has to be escaped.
pub fn longest_as_json(entry: &LogEntry) -> usize {
    let texts = [Some(&entry.message), entry.unit.as_ref(), entry.identifier.as_ref()];
    let bytes: usize = texts.into_iter().flatten().map(String::len).sum();
    bytes.saturating_mul(6).saturating_add(FRAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(fields: &str) -> Option<LogEntry> {
        parse(format!(r#"{{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"17"{fields}}}"#).as_bytes())
    }

    #[test]
    fn every_form_of_a_field_is_understood() {
        let message = |json: &str| line(&format!(r#","MESSAGE":{json}"#)).map(|e| (e.message, e.cut));
        let cases = [
            (r#""plain""#, "plain"),
            ("[104,105,255,0]", "hi\u{fffd}\0"),
            (r#"["two","three"]"#, "two\nthree"),
            (r#"["two",[255],null]"#, "two\n\u{fffd}"),
            ("[]", ""),
        ];
        for (json, expected) in cases {
            assert_eq!(message(json), Some((expected.to_owned(), false)), "{json}");
        }
        let (text, cut) = message("null").unwrap();
        assert!(cut && text.contains("4096 bytes"));
        for json in ["7", "true", r#"{"a":1}"#, "[1000]", "[-1]"] {
            assert_eq!(message(json), None, "{json}");
        }
    }

    #[test]
    fn the_kernels_entries_and_those_about_a_unit_are_named() {
        let unit = |fields: &str| line(fields).unwrap().unit;
        assert_eq!(unit(r#","_TRANSPORT":"kernel""#).as_deref(), Some("kernel"));
        assert_eq!(
            unit(r#","_SYSTEMD_UNIT":"init.scope","UNIT":"k3s.service""#).as_deref(),
            Some("k3s.service")
        );
        assert_eq!(unit(""), None);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let entry = line(&format!(r#","MESSAGE":"{}""#, "ä".repeat(3000))).unwrap();
        assert!(entry.cut && entry.message.len() <= LONGEST_MESSAGE && entry.message.ends_with('ä'));
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_entry_is_longer_as_json_than_was_reckoned(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let entry = line(&format!(r#","MESSAGE":{}"#, serde_json::to_string(&bytes).unwrap())).unwrap();
            prop_assert!(serde_json::to_vec(&entry).unwrap().len() <= longest_as_json(&entry));
        }
    }
}
