//! The API as its own description says it is, judged by others: the document by a validator, the manager by a fuzzer
//! that makes requests of the document.

#![allow(clippy::unwrap_used)]

use cairn_cli::lab::agents::identity;
use cairn_vault::file::{ClusterFile, Passphrase, disk};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// In namespaces of its own, with no disk and no adapter of this machine: what is typed into a console at random, or
/// written to a disk, must not reach a real one.
const FUZZ: &str = r#"
    set -eu
    cairn=$1 tool=$2 config=$3
    ip link set lo up
    mount -t tmpfs none /sys/block
    mount -t tmpfs none /dev
    mknod -m 666 /dev/null c 1 3
    mknod -m 666 /dev/urandom c 1 9
    api=http://127.0.0.1:4200/api/v1
    manager() { "$cairn" manager "$@" >manager.log 2>&1 & until "$cairn" health 2>/dev/null; do sleep 0.1; done; }
    fuzz() { "$tool" --config-file "$config" run $api/openapi.json --header "Authorization: Bearer $(cat cairn-work/token)" "$@"; }
"#;

/// All that the description has, without any node.
const ALL: &str = r#"
    manager
    curl --silent --show-error --fail --output new.json --json '{"name": "home"}' $api/new
    fuzz
"#;

/// What nodes are asked, with nodes that run. Requests find two of the three; what ends these comes last, and at the
/// very end the third one is shut down.
const NODES: &str = r#"
    "$cairn" lab agents agents >agents.log 2>&1 &
    manager --file home.cairn --passphrase-file passphrase --interface lo
    until_so_many() { until [ "$("$cairn" status --json | grep -c "\"phase\": \"$1\"")" = $2 ]; do sleep 0.1; done; }
    until_so_many running 3
    fuzz --include-tag nodes --include-tag cluster \
        $(printf -- '--exclude-operation-id %s ' start powerOffNode removeNode shutDown)
    fuzz --include-operation-id start --include-operation-id powerOffNode
    until_so_many unreachable 2
    fuzz --include-operation-id removeNode
    fuzz --include-operation-id shutDown
"#;

/// By chance alone no request would name a node that is there.
const NAMES: &str = r#"
[dictionaries.nodes]
values = ["compute-1", "compute-2"]

[parameters]
"path.name" = { dictionary = "nodes", probability = 0.7 }
"#;

/// Seconds. On two cores with nothing else to do it takes one minute.
const PATIENCE: &str = "600";

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

fn fuzz(folder: &Path, script: &str, more_config: &str) {
    let config = folder.join("schemathesis.toml");
    std::fs::write(&config, format!("{}{more_config}", include_str!("schemathesis.toml"))).unwrap();
    // whatever is waited for inside
    let fuzzed = Command::new("timeout")
        .args([PATIENCE, "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c"])
        .args([&format!("{FUZZ}{script}"), "fuzz"])
        .arg(env!("CARGO_BIN_EXE_cairn"))
        .arg(tool("schemathesis"))
        .arg(config)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let log = std::fs::read_to_string(folder.join("manager.log")).unwrap_or_default();
    let tail: Vec<&str> = log.lines().rev().take(20).collect();
    assert!(fuzzed.status.success(), "{}\n{}", words(&fuzzed), tail.join("\n"));
}

#[test]
fn no_request_breaks_the_manager_and_every_answer_is_as_described() {
    let folder = tempfile::tempdir().unwrap();
    fuzz(folder.path(), ALL, "");
}

#[test]
fn nor_does_any_that_reaches_a_running_node() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["compute-1", "compute-2", "compute-3"].map(|name| name.parse().unwrap());
    let file = ClusterFile::new("home".parse().unwrap(), 0, 3, 0).unwrap();
    let (file, identities) = identity::enrol(&file, &names).unwrap();
    identity::store(&folder.path().join("agents"), &identities).unwrap();
    let passphrase = "stone pile marks the long way back home";
    std::fs::write(folder.path().join("passphrase"), passphrase).unwrap();
    let sealed = file.seal(&Passphrase::new(passphrase).unwrap()).unwrap();
    disk::create(&folder.path().join("home.cairn"), &sealed).unwrap();
    fuzz(folder.path(), NODES, NAMES);
}
