//! The manager as an owner starts it in a container: without root, and with no capability but its three.

use super::stranger::{self, DISK, approve, current_code, discovered};
use crate::command::Running;
use crate::devices::{GROUP, Serial, Stick};
use crate::docker::Docker;
use crate::world::{World, path};
use anyhow::{Context, Result, ensure};
use cairn_lab::{DiskSpec, MANAGER_INTERFACE, ProcessSpec};
use cairn_manager::api::MediumStatus;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;
use std::time::Duration;

const ARCHIVE: &str = ".state/container/cairn-manager.tar";
const IMAGE: &str = "cairn-manager";
const MACHINE: &str = "contained";
const NODE: &str = "compute-4";
/// What the stick and the serial adapter are in the container.
const STICK: &str = "sdz";
const DISK_ID: &str = "sdz@7";
const ADAPTER: &str = "ttyUSB0";
/// NET_BIND_SERVICE, NET_ADMIN and NET_RAW in the numbers of capabilities(7).
const CAPABILITIES: u64 = 1 << 10 | 1 << 12 | 1 << 13;
/// Its user, as `os/container` has it.
const OWNER: &str = "65532:65532";
/// As the README has it.
const RUN: [&str; 6] = [
    "--read-only",
    "--net=host",
    "--cap-drop=ALL",
    "--cap-add=NET_ADMIN",
    "--cap-add=NET_RAW",
    "--cap-add=NET_BIND_SERVICE",
];
/// The usual health check every 10 s would only make the test longer.
const OFTEN: &str = "--health-interval=1s";
/// Carries the page from the host into the lab's network, where the container listens.
const PAGE: &str = "page";
const FORWARDER: &str = "/lib/systemd/systemd-socket-proxyd";

pub fn brings_a_machine_up(world: &World) -> Result<()> {
    let docker = Docker::start(world)?;
    let mut result = starts(world, &docker).and_then(|()| in_its_place(world, &docker));
    if result.is_err()
        && let Ok(log) = docker.run(&["logs", "--tail", "15", "cairn"])
    {
        result = result.context(format!("the container's last words: {}", log.words()));
    }
    // Whatever became of it, the lab gets its manager back.
    let stopped = docker.stop();
    let lab = world.lab()?;
    lab.stop(PAGE, Duration::from_secs(5))?;
    if lab.process("manager").is_none() {
        world.cairn_lab(&["manager", "start"])?;
    }
    result.and(stopped)?;
    world.running(NODE, Duration::from_secs(120))
}

/// Says what it lacks, and starts on a volume that nobody prepared.
fn starts(world: &World, docker: &Docker<'_>) -> Result<()> {
    docker.demand(&["load", "--input", ARCHIVE]).context("`make image` makes it")?;
    let wish = ["--cable", MANAGER_INTERFACE];
    let answer =
        docker.run(&[&["run", "--rm", "--net=host", "--cap-drop=ALL", IMAGE], &wish[..]].concat())?;
    let words = answer.words();
    ensure!(answer.code == 1, "without capabilities it ended with {}: {words}", answer.code);
    for missing in ["NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE"] {
        ensure!(words.contains(&format!("--cap-add={missing}")), "it does not ask for {missing}: {words}");
    }
    let more = ["--detach", "--name=new", "--volume=new:/state", OFTEN, IMAGE];
    docker.demand(&[&["run"], &RUN[..], &more].concat())?;
    healthy(world, docker, "new")?;
    docker.demand(&["rm", "--force", "new"]).map(drop)
}

fn healthy(world: &World, docker: &Docker<'_>, container: &str) -> Result<()> {
    world.until("the container to be healthy", Duration::from_secs(60), || {
        let health = docker.demand(&["inspect", "--format", "{{.State.Health.Status}}", container])?;
        ensure!(health == "healthy", "it is {health}");
        Ok(())
    })
}

fn in_its_place(world: &World, docker: &Docker<'_>) -> Result<()> {
    world.cairn_lab(&["manager", "stop"])?;
    let url = std::fs::read_to_string(world.state.join("manager/url"))?;
    let page: SocketAddr = url.trim().trim_start_matches("http://").parse()?;
    let (address, manager) = (page.to_string(), format!("CAIRN_MANAGER={}", url.trim()));
    let (stick, mut serial) = (Stick::plug(world, STICK, DISK)?, Serial::plug()?);
    let devices = devices(&stick, &serial)?;
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    let more = ["--name=cairn", "--volume=cairn:/state", OFTEN, "--env", &manager];
    let wishes = ["--listen", &address, "--cable", MANAGER_INTERFACE, "--interface", MANAGER_INTERFACE];
    docker.demand(&[&["create"], &RUN[..], &more, &devices, &[IMAGE], &wishes].concat())?;
    // It goes on with what the lab's manager knew.
    let work = world.state.join("manager/work");
    world.demand(Command::new("chown").args(["--recursive", OWNER]).arg(&work))?;
    docker.demand(&["cp", &format!("{}/.", path(&work)?), "cairn:/state"])?;
    docker.demand(&["start", "cairn"])?;
    healthy(world, docker, "cairn")?;
    has_only_its_capabilities(docker)?;

    let listener = TcpListener::bind(page)?;
    world.lab()?.spawn(ProcessSpec::new(PAGE, [FORWARDER, &address]).with_listener(listener))?;
    open(world, url.trim())?;
    world.healthy(Duration::from_secs(120)).context("the nodes that there are")?;
    let inside = docker.run(&["exec", "cairn", "cairn", "status"])?;
    ensure!(inside.is_ok(), "`cairn status` in the container: {}", inside.words());

    talks(world, docker, &mut serial)?;
    let disks = docker.demand(&["exec", "cairn", "cairn", "node", "disks"])?;
    let offered = disks.lines().any(|line| line.starts_with(DISK_ID) && line.ends_with("offered"));
    ensure!(offered, "the stick is not offered: {disks}");
    let prepare = ["exec", "cairn", "cairn", "node", "prepare", NODE, "--disk", DISK_ID];
    let written = docker.begin("", &prepare)?;

    stranger::start(world, MACHINE, DiskSpec::blank("contained", DISK))?;
    is_written(world, docker, written, &stick)?;
    let machine = discovered(world, MACHINE, Duration::from_secs(180))?;
    let answer = approve(world, &machine, &current_code(world, &machine)?, &["--as", NODE])?;
    ensure!(answer.is_ok(), "the approval was refused: {}", answer.words());
    world.running(NODE, Duration::from_secs(300))?;

    docker.demand(&["stop", "cairn"])?;
    let code = docker.demand(&["inspect", "--format", "{{.State.ExitCode}}", "cairn"])?;
    ensure!(code == "0", "told to stop, it ended with {code}");
    // And the lab's manager with what this one knows.
    docker.demand(&["cp", "cairn:/state/.", path(&work)?]).map(drop)
}

/// As the README has it, but for what sysfs would say of the stick by itself, and for a pseudo-terminal, whose node is
/// good only where it is.
fn devices(stick: &Stick, serial: &Serial) -> Result<[String; 4]> {
    Ok([
        format!("--device={}:/dev/{STICK}", path(&stick.node)?),
        format!("--group-add={GROUP}"),
        format!("--volume={}:/sys/block:ro", path(&stick.sys)?),
        format!("--volume={}:/dev/{ADAPTER}", path(serial.device())?),
    ])
}

/// A node's console, both ways.
fn talks(world: &World, docker: &Docker<'_>, serial: &mut Serial) -> Result<()> {
    let list = docker.demand(&["exec", "cairn", "cairn", "node", "console"])?;
    ensure!(list.contains(&format!("\u{25cf} {ADAPTER}")), "the serial adapter can't be opened: {list}");
    let console = ["exec", "--interactive", "cairn", "cairn", "node", "console", ADAPTER];
    let mut reader = docker.begin("the recovery key", &console)?;
    serial.says("etcd-1 is locked\r\n")?;
    let talked = serial.hears(world, "the recovery key\r").and_then(|()| {
        world.until("the words of the console", Duration::from_secs(30), || {
            let [said, _] = reader.printed()?;
            let said = String::from_utf8_lossy(&said).into_owned();
            ensure!(said.contains("etcd-1 is locked"), "it says '{said}'");
            Ok(())
        })
    });
    let last = reader.kill()?;
    talked.context(last)
}

/// The manager has read it back; its checksum is also that of what the kernel has on the disk.
fn is_written(world: &World, docker: &Docker<'_>, mut writer: Running, stick: &Stick) -> Result<()> {
    let answer = world.until("the medium to be written", Duration::from_secs(240), || {
        writer.ended()?.with_context(|| format!("so far: {:?}", writer.printed()))
    })?;
    ensure!(answer.words().contains("written and read back"), "no medium was written: {}", answer.words());
    let media = docker.demand(&["exec", "cairn", "cairn", "node", "media", "--json"])?;
    let media: Vec<MediumStatus> = serde_json::from_str(&media)?;
    let medium = media.iter().find(|medium| medium.node.as_str() == NODE).context("it is not listed")?;
    let sum = stick.sum(world)?;
    ensure!(sum == medium.sha256, "on the stick is {sum}, and not {}", medium.sha256);
    Ok(())
}

/// The kernel's word, not Docker's.
fn has_only_its_capabilities(docker: &Docker<'_>) -> Result<()> {
    let pid = docker.demand(&["inspect", "--format", "{{.State.Pid}}", "cairn"])?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    ensure!(!line("Uid:").split_whitespace().any(|uid| uid == "0"), "it runs as root: {}", line("Uid:"));
    for set in ["CapEff:", "CapBnd:"] {
        let held = u64::from_str_radix(line(set), 16)?;
        ensure!(held == CAPABILITIES, "{set} {held:#x}, and not {CAPABILITIES:#x}");
    }
    Ok(())
}

/// Gives the manager the passphrase of the cluster file that it has, as the page does.
fn open(world: &World, url: &str) -> Result<()> {
    let passphrase = std::fs::read_to_string(world.passphrase())?;
    let body = serde_json::json!({ "passphrase": passphrase.trim() }).to_string();
    let request = world.scratch.join("open.json");
    let written =
        std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&request)?;
    std::io::Write::write_all(&mut &written, body.as_bytes())?;
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--header",
        "Content-Type: application/json",
    ]);
    command.arg("--data").arg(format!("@{}", path(&request)?)).arg(format!("{url}/api/v1/open"));
    let answer = world.demand(&mut command);
    std::fs::remove_file(&request)?;
    answer.map(drop)
}
