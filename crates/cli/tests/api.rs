//! The API as its own description says it is, judged by others: the document by a validator, the manager by a fuzzer
//! that makes requests of the document.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// In namespaces of its own, with no disk and no adapter of this machine: what is typed into a console at random, or
/// written to a disk, must not reach a real one.
const FUZZ: &str = r#"
    set -eu
    cairn=$1 tool=$2
    ip link set lo up
    mount -t tmpfs none /sys/block
    mount -t tmpfs none /dev
    mknod -m 666 /dev/null c 1 3
    mknod -m 666 /dev/urandom c 1 9
    "$cairn" manager >manager.log 2>&1 &
    until "$cairn" health 2>/dev/null; do sleep 0.1; done
    curl --silent --show-error --fail --output new.json --json '{"name": "home"}' http://127.0.0.1:4200/api/v1/new
    exec "$tool" --config-file "$3" run http://127.0.0.1:4200/api/v1/openapi.json \
        --header "Authorization: Bearer $(cat cairn-work/token)"
"#;

/// What `make setup` installs.
fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.state/tools/python/bin").join(name);
    assert!(path.exists(), "{name} is missing: run `make setup`");
    path
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_description_is_sound_by_the_rules_of_openapi_3_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openapi.json");
    let printed = Command::new(env!("CARGO_BIN_EXE_cairn")).arg("openapi").output().unwrap();
    assert!(printed.status.success(), "{}", words(&printed));
    std::fs::write(&path, &printed.stdout).unwrap();
    let judged =
        Command::new(tool("openapi-spec-validator")).args(["--schema", "3.1"]).arg(&path).output().unwrap();
    assert!(judged.status.success(), "{}", words(&judged));
}

#[test]
fn no_request_breaks_the_manager_and_every_answer_is_as_described() {
    let folder = tempfile::tempdir().unwrap();
    let fuzzed = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", FUZZ, "fuzz"])
        .arg(env!("CARGO_BIN_EXE_cairn"))
        .arg(tool("schemathesis"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.toml"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let log = std::fs::read_to_string(folder.path().join("manager.log")).unwrap_or_default();
    let tail: Vec<&str> = log.lines().rev().take(20).collect();
    assert!(fuzzed.status.success(), "{}\n{}", words(&fuzzed), tail.join("\n"));
}
