//! A lab of nodes without machines: what `cairn lab` does with them, and that nothing of it stays. Needs root,
//! iproute2 and what `make setup` installs.

#![allow(clippy::unwrap_used)]

use cairn_manager::api::Status;
use cairn_model::phase::Phase;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Taken down whatever becomes of the test.
struct Lab(PathBuf);

impl Lab {
    fn run(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(["lab", "--state"]).arg(&self.0).args(words.split(' ')).stdin(Stdio::null());
        // where the tools are
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).output().unwrap()
    }

    fn demand(&self, words: &str) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "`cairn lab {words}` failed (this test needs root): {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// `cairn node`, which asks the lab's manager.
    fn node(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.arg("node").args(words.split(' ')).stdin(Stdio::null());
        let url = std::fs::read_to_string(self.0.join("manager/url")).unwrap();
        command.env("CAIRN_MANAGER", url.trim());
        command.env("CAIRN_TOKEN_FILE", self.0.join("manager/work/token")).output().unwrap()
    }

    /// Waits until the nodes are in these phases.
    fn until(&self, expected: [Phase; 3]) {
        until(|| {
            let status = self.run("status --json").stdout;
            let status: Status = serde_json::from_slice(&status).unwrap_or_default();
            let so = status.nodes.iter().map(|node| node.phase).eq(expected);
            if so { Ok(()) } else { Err(format!("never {expected:?}: {status:#?}")) }
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.run("down");
    }
}

fn until(look: impl Fn() -> Result<(), String>) {
    let end = Instant::now() + PATIENCE;
    while let Err(words) = look() {
        assert!(Instant::now() < end, "{words}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn nodes_without_machines_run_outlive_the_manager_and_go_off() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab(folder.path().join("lab"));
    lab.demand("up --etcd 0 --compute 0 --simulated 3 --detach");
    let network = cairn_lab::Lab::open(&lab.0).unwrap().namespace().clone();
    lab.until([Phase::Running; 3]);

    until(|| {
        let log = String::from_utf8(lab.node("logs compute-2 --unit cairn-agent.service").stdout).unwrap();
        let told = log.contains("keeps generation 2 of the cluster file") && !log.contains("kernel");
        if told { Ok(()) } else { Err(log) }
    });
    assert!(refusal(&lab.node("blink compute-2")).contains("it has no machine, and so no light"));

    lab.demand("manager kill");
    lab.demand("manager start");
    lab.until([Phase::Running; 3]);

    assert!(refusal(&lab.run("console compute-2")).contains("'compute-2' is simulated"));
    assert!(refusal(&lab.run("power compute-2 cut")).contains("'compute-2' is simulated"));
    assert!(refusal(&lab.run("checkpoint save kept")).contains("can't be saved"));
    lab.demand("power compute-2 off");
    lab.until([Phase::Running, Phase::Unreachable, Phase::Running]);

    lab.demand("down");
    assert!(!network.exists());
    assert_eq!(lab.0.read_dir().unwrap().count(), 0);
}

#[test]
fn more_nodes_than_there_are_addresses_are_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab(folder.path().join("lab"));
    let said = refusal(&lab.run("up --compute 200 --simulated 100 --detach"));
    assert!(said.contains("at most 245 nodes"), "{said}");
    assert!(refusal(&lab.run("up --bare --simulated 1")).contains("--bare"));
    assert!(!lab.0.exists());
}
