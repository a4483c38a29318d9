//! A Raspberry Pi without a cable: by simulated radios, with an access point laid over its initrd.

use crate::command;
use crate::runner::{self, Step};
use crate::scenarios::unlocking;
use crate::world::{World, path};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

pub const COMMAND: &str = "wi-fi";
const NODE: &str = "etcd-1";
const SSID: &str = "home";
const KEY: &str = "open sesame";
const FORMATION: Duration = Duration::from_secs(20 * 60);
const BOOT: Duration = Duration::from_secs(600);
/// Of Debian's packages, once.
const BUILD: Duration = Duration::from_secs(300);

/// # Errors
/// At the first failure, with the lab left for looking at.
pub fn run() -> Result<ExitCode> {
    let world = World::new()?;
    runner::clear(&world)?;
    world.set_deadline(FORMATION + BOOT * 3);
    let steps: [(&str, Step); 4] = [
        ("a Raspberry Pi without a cable joins by WPA2, and becomes a healthy etcd", &form),
        ("after a power cut it is unlocked by WPA3", &unlock),
        (
            "an access point that refuses its key is named, and the next start with the right one works",
            &refuse,
        ),
        ("nothing is left of the lab", &runner::take_down),
    ];
    runner::in_order(&world, &steps)
}

/// What is laid over the initrd.
fn access_point(world: &World, key: &str, kind: &str) -> Result<PathBuf> {
    let out = world.scratch.join("access-point.cpio");
    let mut build = Command::new("tests/access-point/build");
    build.args([SSID, key, kind]).arg(&out);
    let answer = command::run(&mut build, &world.scratch, BUILD)?;
    ensure!(answer.is_ok(), "the access point can't be built: {}", answer.words());
    Ok(out)
}

fn form(world: &World) -> Result<()> {
    let began = Instant::now();
    let overlay = access_point(world, KEY, "wpa2")?;
    let key = world.scratch.join("wifi-key");
    std::fs::write(&key, KEY)?;
    let mut command = world.lab_command(&["up", "--detach", "--etcd-machine", "raspberry-pi"]);
    command.args(["--etcd", "1", "--compute", "0", "--initrd-overlay", path(&overlay)?]);
    command.args(["--wifi-ssid", SSID, "--wifi-country", "DE", "--wifi-key-file", path(&key)?]);
    let answer = command::run(&mut command, &world.scratch, FORMATION)?;
    ensure!(answer.is_ok(), "`cairn lab up` failed with {}: {}", answer.code, answer.words());
    is_wireless(world, 0)?;
    world.figures.borrow_mut().time("`lab up`, an etcd node by Wi-Fi", began.elapsed(), "");
    Ok(())
}

/// In both lives of one start.
fn is_wireless(world: &World, offset: u64) -> Result<()> {
    let connected = format!("Wi-Fi: connected to '{SSID}'");
    let initrd = world.console(NODE, offset, &connected, BOOT)?;
    world.console(NODE, initrd, &connected, BOOT)?;
    world.console(NODE, offset, "the cluster address .* is on Wi-Fi now", BOOT).map(drop)
}

fn unlock(world: &World) -> Result<()> {
    let offset = start_beside(world, KEY, "wpa3")?;
    let took = unlocking::unlocked(world, NODE, offset, Instant::now())?;
    world.figures.borrow_mut().time("power-on to unlocked by Wi-Fi (Raspberry Pi 3)", took, "");
    is_wireless(world, offset)?;
    world.running(NODE, BOOT)
}

/// Switches it off, and on again beside another access point.
fn start_beside(world: &World, key: &str, kind: &str) -> Result<u64> {
    let lab = world.lab()?;
    let machine = lab.machine(NODE)?;
    machine.cut()?;
    let initrd = machine.state()?.spec.raspberry_pi.context("no Raspberry Pi")?.initrd;
    let own = std::fs::read(initrd.with_extension(""))?;
    std::fs::write(&initrd, [own, std::fs::read(access_point(world, key, kind)?)?].concat())?;
    let offset = machine.console_length();
    machine.power_on()?;
    Ok(offset)
}

fn refuse(world: &World) -> Result<()> {
    for kind in ["wpa2", "wpa3"] {
        let offset = start_beside(world, "another key", kind)?;
        world.console(NODE, offset, &format!("Wi-Fi: '{SSID}' refuses the key"), BOOT)?;
    }
    let offset = start_beside(world, KEY, "wpa2")?;
    unlocking::unlocked(world, NODE, offset, Instant::now())?;
    world.running(NODE, BOOT)
}
