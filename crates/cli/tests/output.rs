//! What the command line prints, whoever reads it and whatever machines say.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Answer, Manager};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

/// A machine that would rather be two, one of them healthy, with a screen of its own.
const HOSTILE: &str = "PC\u{1b}[2J\u{9b}2J\n● etcd-1  running";

fn status() -> serde_json::Value {
    serde_json::json!({
        "cluster": { "name": "home", "generation": 1, "manager_address": null },
        "nodes": [],
        "machines": [{
            "id": "aa", "short_id": "a1b2", "phase": "discovered", "claims": null, "code": "123-456",
            "approved": false, "product": HOSTILE, "suggested": null, "refused": HOSTILE, "inventory": null,
        }],
        "etcd": { "members": [], "healthy": 0 },
        "network": { "mode": "none", "state": "off", "message": "", "address_error": null },
        "healthy": false,
        "unhealthy_because": [HOSTILE],
    })
}

fn manager() -> Manager {
    Manager::start(|question| match question.line.as_str() {
        "GET /api/v1/status" => Answer::json(&status()),
        "GET /api/v1/checks" => Answer::json(&serde_json::json!([])),
        _ => Answer::problem(409, HOSTILE),
    })
}

#[test]
fn an_output_that_nobody_reads_ends_the_command_quietly() {
    let manager = manager();
    for arguments in [&["status"][..], &["status", "--json"], &["node", "discover"], &["node", "list"]] {
        let mut child =
            manager.cairn(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(141), "{arguments:?}");
    }
}

#[test]
fn what_machines_say_can_neither_command_a_terminal_nor_pass_for_a_line_of_ours() {
    let manager = manager();
    for arguments in [&["status"][..], &["node", "discover"], &["node", "list"], &["network"]] {
        let output = manager.cairn(arguments).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("PC\u{fffd}[2J"), "{arguments:?}: {said}");
        assert!(!said.contains(['\u{1b}', '\u{9b}']), "{arguments:?}: {said}");
        assert!(!said.lines().any(|line| line.starts_with('●')), "{arguments:?}: {said}");
    }
}

#[test]
fn scripts_get_what_machines_say_just_as_it_is() {
    let output = manager().cairn(&["node", "list", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(['\u{1b}', '\u{9b}']));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["machines"][0]["product"], HOSTILE);
}

#[test]
fn a_log_that_is_followed_says_why_it_is_asked_for_again_and_each_reason_once() {
    let mut asked = 0;
    let manager = Manager::start(move |_| {
        asked += 1;
        let entry = format!(
            "id: s={asked}\nevent: entry\ndata: {{\"cursor\":\"s={asked}\",\"time_us\":0,\"unit\":null,\"identifier\":\"x\",\"priority\":null,\"message\":\"entry {asked}\",\"cut\":false}}\n\n"
        );
        match asked {
            2 | 3 => Answer::problem(409, "no cluster file is open"),
            _ => Answer { status: 200, kind: "text/event-stream", body: entry },
        }
    });
    let mut command = manager.cairn(&["node", "logs", "etcd-1", "--follow"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let entries: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).take(2).collect();
    child.kill().unwrap();
    let noted = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(entries[0].contains("entry 1") && entries[1].contains("entry 4"), "{entries:?}");
    assert!(noted.contains("cairn: the manager ended the connection; trying again"), "{noted}");
    assert_eq!(noted.matches("no cluster file is open; trying again").count(), 1, "{noted}");
}
