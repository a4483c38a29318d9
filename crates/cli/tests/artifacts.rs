//! `cairn artifacts` as an owner types it, against a server on loopback.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "the program";
const SUM: &str = "9ad88dc9ecb15d4cba9d0b51f8b5f3ea6de8e8d7e2a4b3a6e1fbe0a2d3c4b5a6";

struct Owner {
    folder: tempfile::TempDir,
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Owner {
    fn new(pins: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pins.toml"), pins).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn cairn(&self, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_cairn"))
            .arg("artifacts")
            .args(arguments)
            .arg("--store")
            .arg(self.path("store"))
            .arg("--pins")
            .arg(self.path("pins.toml"))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn pin(name: &str, url: &str, sum: Option<&str>) -> String {
    let sum = sum.map(|sum| format!("sha256 = '{sum}'\n")).unwrap_or_default();
    format!("[[artifact]]\nname = '{name}'\nversion = 'v1'\narch = 'amd64'\nurl = '{url}'\n{sum}\n")
}

fn sum_of(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

fn program_sum() -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    std::fs::write(&path, PROGRAM).unwrap();
    sum_of(&path)
}

/// Answers every request with the program.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map(Result::unwrap).find(String::is_empty).unwrap();
            let length = PROGRAM.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{PROGRAM}"
            )
            .unwrap();
        }
    });
    address
}

#[test]
fn what_is_missing_is_pulled_once_and_then_all_is_there() {
    let url = format!("http://{}/k3s", serve());
    let owner = Owner::new(&pin("k3s", &url, Some(&program_sum())));
    assert_eq!(owner.cairn(&["list"]).code, 3);
    let said = owner.cairn(&["pull"]);
    assert_eq!((said.code, said.out.as_str()), (0, "all 1 artifacts are there\n"), "{}", said.err);
    assert!(said.err.contains("k3s v1 (amd64): done"), "{}", said.err);
    let json: serde_json::Value = serde_json::from_str(&owner.cairn(&["list", "--json"]).out).unwrap();
    assert_eq!(json.pointer("/0/state").unwrap(), "there");
    assert_eq!(json.pointer("/0/size").unwrap(), PROGRAM.len());
    let again = owner.cairn(&["pull"]);
    assert_eq!((again.code, again.err.as_str()), (0, ""));
}

#[test]
fn a_wrong_file_is_an_error_and_names_both_checksums() {
    let url = format!("http://{}/k3s", serve());
    let owner = Owner::new(&pin("k3s", &url, Some(SUM)));
    let said = owner.cairn(&["pull"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains(SUM) && said.err.contains(&program_sum()), "{}", said.err);
}

#[test]
fn what_is_not_locked_is_missing_and_says_how_it_gets_locked() {
    let owner = Owner::new(&pin("k3s", "http://127.0.0.1:9/k3s", None));
    let said = owner.cairn(&["pull"]);
    assert_eq!(said.code, 3);
    assert!(said.err.contains("not locked") && said.err.contains("`cairn artifacts lock`"), "{}", said.err);
    // there is no checksum file either, so locking can't help, and what is downloaded is not believed
    let said = owner.cairn(&["lock"]);
    assert_eq!(said.code, 3);
    assert!(said.err.contains("k3s v1 (amd64) stays unlocked"), "{}", said.err);
}

#[test]
fn without_a_network_what_is_missing_is_listed_and_can_be_carried_over() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/k3s", free.local_addr().unwrap());
    drop(free);
    let owner = Owner::new(&pin("k3s", &url, Some(&program_sum())));
    let said = owner.cairn(&["pull"]);
    assert_eq!(said.code, 3);
    assert!(said.err.contains("there is no network here"), "{}", said.err);
    assert!(said.err.contains(&format!("  k3s v1 (amd64), size unknown: {url}\n")), "{}", said.err);

    let stick = owner.path("stick");
    std::fs::create_dir(&stick).unwrap();
    let said = owner.cairn(&["import", stick.to_str().unwrap()]);
    assert_eq!(said.code, 3);
    assert!(said.out.contains("has nothing that is missing"), "{}", said.out);
    std::fs::write(stick.join("Unconfirmed 4711.crdownload"), PROGRAM).unwrap();
    let said = owner.cairn(&["import", stick.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("4711.crdownload is k3s v1 (amd64)"), "{}", said.out);
}

#[test]
fn a_name_that_is_not_pinned_is_an_error() {
    let owner = Owner::new(&pin("k3s", "http://127.0.0.1:9/k3s", None));
    let said = owner.cairn(&["list", "--name", "k8s"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("names no 'k8s'"), "{}", said.err);
}
