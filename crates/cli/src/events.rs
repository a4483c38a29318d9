//! Server-sent events (HTML Living Standard, section 9.2), as far as the manager sends them.

use std::io::{self, BufRead, Read};

/// No event of the manager's comes near this.
const LONGEST_LINE: u64 = 1024 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: String,
}

/// The events of one answer; ends when the connection does.
#[derive(Debug)]
pub struct Events<R> {
    reader: R,
    /// What broke the connection, if it did not end in order.
    error: Option<io::Error>,
}

impl<R: BufRead> Events<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, error: None }
    }

    /// Why there are no more, once there are none.
    pub fn end(&self) -> String {
        let words = |error| format!("the connection to the manager broke ({error})");
        self.error.as_ref().map_or_else(|| "the manager ended the connection".to_owned(), words)
    }
}

impl<R: BufRead> Iterator for Events<R> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let mut line = String::new();
            let read = self.reader.by_ref().take(LONGEST_LINE).read_line(&mut line);
            let read = read.map_err(|error| self.error = Some(error)).ok()?;
            if read == 0 || !line.ends_with('\n') {
                return None;
            }
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                if event.data.is_empty() {
                    event = Event::default();
                    continue;
                }
                return Some(event);
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.name),
                "id" => event.id = Some(value.to_owned()),
                "data" => {
                    if !event.data.is_empty() {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                }
                // a comment keeps the connection alive
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_from_comments_and_from_what_was_cut_off() {
        let text = ": hello\n\nevent: entry\nid: s=1\ndata: {\"a\":1}\n\nevent: x\ndata:1\ndata: 2\r\n\r\n:\n\ndata: cut";
        let events: Vec<Event> = Events::new(text.as_bytes()).collect();
        let expected = [
            Event { name: "entry".into(), id: Some("s=1".into()), data: "{\"a\":1}".into() },
            Event { name: "x".into(), id: None, data: "1\n2".into() },
        ];
        assert_eq!(events, expected);
    }
}
