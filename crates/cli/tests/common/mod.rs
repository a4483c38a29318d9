//! A manager that answers what a test wants, on loopback.

#![allow(clippy::unwrap_used, dead_code)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

/// What was asked: method and path with a space between, and the body.
pub struct Question {
    pub line: String,
    pub body: String,
}

pub struct Answer {
    pub status: u16,
    pub kind: &'static str,
    pub body: String,
}

impl Answer {
    pub fn json(body: &serde_json::Value) -> Self {
        Self { status: 200, kind: "application/json", body: body.to_string() }
    }

    pub fn problem(status: u16, detail: &str) -> Self {
        let body = serde_json::json!({ "title": "Conflict", "detail": detail }).to_string();
        Self { status, kind: "application/problem+json", body }
    }
}

pub struct Manager {
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
}

impl Manager {
    /// Answers one question on each connection, then closes it.
    pub fn start(mut answer: impl FnMut(Question) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let question = read(&stream);
                let Answer { status, kind, body } = answer(question);
                let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n");
                write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok();
            }
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "00").unwrap();
        Self { address, folder }
    }

    pub fn token(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    pub fn cairn(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command
            .args(arguments)
            .env("CAIRN_MANAGER", format!("http://{}", self.address))
            .env("CAIRN_TOKEN_FILE", self.token());
        command
    }
}

fn read(stream: &TcpStream) -> Question {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).unwrap();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        match header.to_ascii_lowercase().trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let line = line.rsplit_once(' ').map(|(line, _)| line.to_owned()).unwrap();
    Question { line, body: String::from_utf8(body).unwrap() }
}
