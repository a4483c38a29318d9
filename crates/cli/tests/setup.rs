//! `cairn setup` at a terminal: with a real manager until machines are waited for, then with one that has some.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Answer, Manager};
use rexpect::session::{PtySession, spawn_command};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// Longest wait for anything that is expected, in milliseconds.
const PATIENCE: u64 = 120_000;

/// All of it in namespaces of its own, which end with the terminal. The manager is started when the cluster file
/// is there, in the background of the shell, which an interrupt does not reach.
const EVENING: &str = r#"
    trap : INT
    ip link set lo up
    (until [ -e home.cairn ]; do sleep 0.1; done; exec "$0" manager >manager.log 2>&1) &
    "$0" setup; echo "ended with $?"
    "$0" setup; echo "ended with $?"
    kill $!; wait $!
    "$0" manager >>manager.log 2>&1 &
    "$0" setup; echo "ended with $?"
"#;

fn terminal(mut command: Command, folder: &Path) -> PtySession {
    command.current_dir(folder).env("TERM", "dumb");
    spawn_command(command, Some(PATIENCE)).unwrap()
}

fn left(terminal: &mut PtySession) {
    terminal.exp_string("Each one that comes is shown here. Waiting.").unwrap();
    terminal.send_control('c').unwrap();
    terminal.exp_string("ended with 130").unwrap();
}

#[test]
fn the_first_evening_is_one_dialogue_that_may_be_left_and_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    // Whoever runs this in the background of a shell has interrupts ignored, which all its children would inherit.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", "unshare", "--net", "--pid", "--fork", "--kill-child"]);
    command.args(["sh", "-c", EVENING]);
    command.arg(env!("CARGO_BIN_EXE_cairn"));
    let mut it = terminal(command, folder.path());

    it.exp_string("Name of the cluster, such as home: ").unwrap();
    it.send_line("My Home").unwrap();
    it.exp_string("'My Home' is not a name").unwrap();
    it.exp_string("Name of the cluster, such as home: ").unwrap();
    it.send_line("home").unwrap();
    it.exp_string("shown this once:").unwrap();
    let (_, passphrase) = it.exp_regex("[a-z]+(-[a-z]+){6}").unwrap();
    it.exp_string("-----END AGE ENCRYPTED FILE-----").unwrap();
    it.exp_string("which is not shown: ").unwrap();
    it.send_line("something-else").unwrap();
    it.exp_string("This is not the passphrase that stands above").unwrap();
    it.exp_string("which is not shown: ").unwrap();
    assert!(!folder.path().join("home.cairn").exists(), "made before the owner had its passphrase");
    it.send_line(&passphrase).unwrap();
    it.exp_string("home.cairn: the cluster file of 'home', generation 1").unwrap();
    it.exp_string("The manager has the cluster 'home' open.").unwrap();
    left(&mut it);

    it.exp_string("The manager has the cluster 'home' open.").unwrap();
    left(&mut it);

    // A manager that was started again has the file, and wants its passphrase.
    let asked = it.exp_regex("Passphrase of the cluster home: |Name of the cluster").unwrap().1;
    if asked.starts_with("Name") {
        it.send_line("home").unwrap();
        it.exp_string("Passphrase of home.cairn: ").unwrap();
    }
    it.send_line("wrong").unwrap();
    it.exp_string("the passphrase does not open this cluster file").unwrap();
    it.exp_string("Passphrase of ").unwrap();
    it.send_line(&passphrase).unwrap();
    it.exp_string("The manager has the cluster 'home' open.").unwrap();
    left(&mut it);
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    let output = command.arg("setup").current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("standard input is no terminal") && said.contains("`cairn file new`"), "{said}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

fn disk(id: &str, content: Value) -> Value {
    json!({"id": id, "kernel_name": id, "model": "Disk", "serial": "", "size_bytes": 64_000_000_000_u64,
        "rotational": false, "removable": false, "started_from": false, "content": content})
}

fn machine() -> Value {
    json!({"id": "aa11", "short_id": "aa11", "phase": "discovered", "claims": null, "code": "123-456",
        "approved": false, "product": "Some PC", "suggested": "compute-1",
        "suggested_because": "it is big", "refused": null,
        "inventory": {"firmware": "other", "architecture": "x86_64",
            "product": {"vendor": "", "name": "", "serial": ""}, "cpu": {"model": "", "cores": 4, "aes": true},
            "memory_mib": 8000, "interfaces": [],
            "disks": [disk("photos", json!({"holds": "ext4 'family'"})), disk("empty", json!("blank"))]}})
}

fn status(approved: bool) -> Value {
    let node = json!({"name": "etcd-1", "role": "etcd", "phase": if approved { "running" } else { "absent" },
        "conditions": [], "address": "10.1.2.10", "enrolled": approved, "encrypted": approved,
        "unlocked": approved, "memory_used": 0, "agent_resident": 0, "version": null, "job": null});
    json!({"cluster": {"name": "home", "generation": 4, "manager_address": null, "stored": 1},
        "nodes": [node], "machines": if approved { json!([]) } else { json!([machine()]) },
        "etcd": {"members": [], "healthy": 0},
        "network": {"mode": "none", "state": "off", "message": "No network boot.", "address_error": null},
        "healthy": approved,
        "unhealthy_because": if approved { json!([]) } else { json!(["etcd-1 is missing"]) }})
}

#[test]
fn a_machine_is_asked_about_until_it_is_approved_and_the_end_says_what_comes_next() {
    let requests = Arc::new(Mutex::new(Vec::<Value>::new()));
    let asked = Arc::clone(&requests);
    let manager = Manager::start(move |question| {
        let mut asked = asked.lock().unwrap();
        match question.line.as_str() {
            "GET /api/v1/open" => Answer::json(&json!({"open": true, "cluster": "home", "generation": 4})),
            "GET /api/v1/status" => Answer::json(&status(asked.len() == 2)),
            "GET /api/v1/cluster-file" => Answer { status: 200, kind: "text/plain", body: "SEALED".into() },
            "POST /api/v1/machines/aa11/blink" => Answer::json(&json!({"light": "eth0", "seconds": 15})),
            "POST /api/v1/machines/aa11/approve" => {
                asked.push(serde_json::from_str(&question.body).unwrap());
                match asked.len() {
                    1 => Answer::problem(409, "the place is taken"),
                    _ => Answer::json(&json!({"node": "etcd-1", "disk": "photos"})),
                }
            }
            other => Answer::problem(404, other),
        }
    });
    let mut it = terminal(manager.cairn(&["setup"]), manager.folder.path());
    it.exp_string("aa11  discovered  code 123-456  Some PC").unwrap();
    it.exp_string("suggested: compute-1, because it is big").unwrap();
    it.exp_string("Is 123-456 the code on its screen? [y/N, b makes it blink] ").unwrap();
    it.send_line("b").unwrap();
    it.exp_string("eth0 blinks for 15 seconds").unwrap();
    it.exp_string("Is 123-456").unwrap();
    it.send_line("y").unwrap();
    it.exp_string("Places without a machine: etcd-1").unwrap();
    it.exp_string("It becomes [compute-1]: ").unwrap();
    it.send_line("").unwrap();
    it.exp_string("Install on which disk [2], or n for none? ").unwrap();
    it.send_line("").unwrap();
    it.exp_string("Not approved: Conflict: the place is taken").unwrap();

    it.exp_string("Is 123-456").unwrap();
    it.send_line("y").unwrap();
    it.exp_string("It becomes").unwrap();
    it.send_line("etcd-1").unwrap();
    it.exp_string("Install on which disk").unwrap();
    it.send_line("1").unwrap();
    it.exp_string("This disk holds: ext4 'family'").unwrap();
    it.exp_string("Write `wipe` to go on").unwrap();
    it.send_line("").unwrap();
    it.exp_string("Install on which disk").unwrap();
    it.send_line("1").unwrap();
    it.exp_string("Write `wipe` to go on").unwrap();
    it.send_line("wipe").unwrap();
    it.exp_string("etcd-1 is installed on photos.").unwrap();
    it.exp_string("home is healthy.").unwrap();
    it.exp_string("Wait for another machine? [y/N] ").unwrap();
    it.send_line("").unwrap();
    it.exp_string("put the text of home-4.cairn").unwrap();
    it.exp_eof().unwrap();

    let kept = std::fs::read_to_string(manager.folder.path().join("home-4.cairn")).unwrap();
    assert_eq!(kept, "SEALED");
    let requests = requests.lock().unwrap();
    let sent = |node: &str, disk: &str, wipe: bool| json!({"code": "123-456", "node": node, "role": null, "disk": disk, "wipe": wipe});
    assert_eq!(*requests, [sent("compute-1", "empty", false), sent("etcd-1", "photos", true)]);
}
