//! What is left when the process that made a lab is killed, and who clears it.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cairn_lab::{DiskSpec, Lab, MachineSpec, ProcessSpec};

const OWNED: &str = "CAIRN_LAB_TEST_OWNED_DIRECTORY";

/// The owner's part, in a process of its own: makes a lab, says so, and would stay for ever.
fn own(dir: &Path) {
    let spec = MachineSpec::netboot("one", 128).with_disk(DiskSpec::blank("disk", 1 << 20));
    let lab = Lab::create(dir, common::tools(), &common::spec(vec![spec])).unwrap();
    lab.add_bridge("home").unwrap();
    lab.machine("one").unwrap().power_on().unwrap();
    lab.spawn(ProcessSpec::new("sleeper", ["sleep", "1000"])).unwrap();
    // Another one that hides: of no pidfile, and of another session.
    assert!(lab.command("setsid").args(["--fork", "sleep", "1000"]).status().unwrap().success());
    std::fs::write(dir.join("ready"), "").unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

/// Has a lab made by a process that is then killed.
fn crash(dir: &Path) {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_new_lab_clears_what_a_killed_one_left"])
        .env(OWNED, dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !dir.join("ready").exists() {
        assert!(
            Instant::now() < deadline && owner.try_wait().unwrap().is_none(),
            "the owner did not get there"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    std::fs::remove_file(dir.join("ready")).unwrap();
}

#[test]
fn a_new_lab_clears_what_a_killed_one_left() {
    if let Some(dir) = std::env::var_os(OWNED) {
        return own(Path::new(&dir));
    }
    let scratch = common::Scratch::new();
    crash(scratch.path());

    // It all goes on, for whoever opens it.
    let left = Lab::open(scratch.path()).unwrap();
    let machine = left.machine("one").unwrap().process().unwrap();
    let sleeper = left.process("sleeper").unwrap();
    assert!(machine.alive() && sleeper.alive());

    let lab = Lab::create(scratch.path(), common::tools(), &common::spec(Vec::new())).unwrap();
    assert!(!machine.alive() && !sleeper.alive());
    assert_eq!(lab.machines().unwrap().len(), 0);
    let inside = lab.command("ip").args(["-br", "link"]).output().unwrap();
    let inside = String::from_utf8_lossy(&inside.stdout).into_owned();
    assert!(!inside.contains("tap0") && !inside.contains("home"), "{inside}");
    lab.destroy().unwrap();

    // The name of the namespace is enough.
    crash(scratch.path());
    std::fs::remove_file(scratch.path().join("lab.json")).unwrap();
    let left = lab.namespace().name();
    assert!(common::namespaces().contains(left));
    Lab::clear(scratch.path()).unwrap();
    assert!(!common::namespaces().contains(left));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}
