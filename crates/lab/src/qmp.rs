//! QEMU's control protocol (QMP): lines of JSON on a unix socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thiserror::Error;

use crate::socket;

/// QEMU answers within milliseconds, unless two cores are busy with four machines.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Error)]
pub enum QmpError {
    #[error("cannot reach the control socket")]
    Unreachable(#[source] io::Error),
    #[error("the control socket broke")]
    Broken(#[source] io::Error),
    #[error("the control socket was closed: QEMU has ended")]
    Closed,
    #[error("{waited_for} did not come in time")]
    Silent { waited_for: String },
    #[error("QEMU sent what is no JSON")]
    Garbled(#[source] serde_json::Error),
    #[error("QEMU refused {command}: {reason}")]
    Refused { command: String, reason: String },
    #[error("saving or loading the running state failed: {0}")]
    Migration(String),
}

/// One connection. QEMU serves one at a time, so keep it no longer than needed.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
    events: Vec<Value>,
}

#[derive(Debug, PartialEq)]
enum Message {
    Answer(Value),
    Refusal(String),
    Event(Value),
    Other,
}

fn parse(line: &[u8]) -> Result<Message, serde_json::Error> {
    let value: Value = serde_json::from_slice(line)?;
    if let Some(answer) = value.get("return") {
        return Ok(Message::Answer(answer.clone()));
    }
    if let Some(error) = value.get("error") {
        let reason = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
        return Ok(Message::Refusal(reason.to_owned()));
    }
    Ok(if value.get("event").is_some() { Message::Event(value) } else { Message::Other })
}

impl Qmp {
    pub fn connect(dir: &Path, socket_name: &str) -> Result<Qmp, QmpError> {
        let stream = socket::connect(dir, socket_name).map_err(QmpError::Unreachable)?;
        let mut qmp = Qmp { reader: BufReader::new(stream), line: Vec::new(), events: Vec::new() };
        let deadline = Instant::now() + PATIENCE;
        // The greeting is neither answer nor event.
        while !matches!(qmp.receive(deadline, "the greeting")?, Message::Other) {}
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.reader.get_mut().write_all(line.as_bytes()).map_err(QmpError::Broken)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receive(deadline, &format!("the answer to {command}"))? {
                Message::Answer(answer) => return Ok(answer),
                Message::Refusal(reason) => {
                    return Err(QmpError::Refused { command: command.to_owned(), reason });
                }
                Message::Event(event) => self.events.push(event),
                Message::Other => {}
            }
        }
    }

    /// Waits for an event with this name whose data pleases, also one that came while an answer was awaited.
    pub fn wait_event(
        &mut self,
        name: &str,
        patience: Duration,
        pleases: impl Fn(&Value) -> bool,
    ) -> Result<Value, QmpError> {
        let fits = |event: &Value| {
            event.get("event").and_then(Value::as_str) == Some(name)
                && pleases(event.get("data").unwrap_or(&Value::Null))
        };
        let deadline = Instant::now() + patience;
        loop {
            if let Some(at) = self.events.iter().position(fits) {
                return Ok(self.events.remove(at));
            }
            if let Message::Event(event) = self.receive(deadline, &format!("the event {name}"))? {
                self.events.push(event);
            }
        }
    }

    fn receive(&mut self, deadline: Instant, waited_for: &str) -> Result<Message, QmpError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(QmpError::Silent { waited_for: waited_for.to_owned() });
            }
            self.reader.get_ref().set_read_timeout(Some(left)).map_err(QmpError::Broken)?;
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(0) => return Err(QmpError::Closed),
                Ok(_) if self.line.ends_with(b"\n") => {
                    let line = std::mem::take(&mut self.line);
                    return parse(&line).map_err(QmpError::Garbled);
                }
                Ok(_) => {}
                // What was read so far stays in the buffer.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(QmpError::Closed),
                Err(error) => return Err(QmpError::Broken(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_refusals_and_events_are_told_apart() {
        assert_eq!(parse(br#"{"return": {}}"#).unwrap(), Message::Answer(json!({})));
        let refusal = parse(br#"{"error": {"class": "GenericError", "desc": "no such device"}}"#).unwrap();
        assert_eq!(refusal, Message::Refusal("no such device".into()));
        assert!(matches!(parse(br#"{"event": "RESET", "timestamp": {}}"#).unwrap(), Message::Event(_)));
        assert_eq!(parse(br#"{"QMP": {}}"#).unwrap(), Message::Other);
        assert!(parse(b"nonsense").is_err());
    }

    proptest! {
        #[test]
        fn no_line_whatever_makes_it_fail(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }
    }
}
