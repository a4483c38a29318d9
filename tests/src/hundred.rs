//! A manager with a hundred nodes: agents without a machine, each at its own cluster address and over real TLS, in a
//! network namespace of their own. The manager is a process of its own, so its memory is its alone.

mod agent;

use self::agent::Agent;
use crate::figures::Figures;
use crate::world::World;
use anyhow::{Context, Result, bail, ensure};
use cairn_manager::api::Status;
use cairn_model::cluster::{Cluster, EditError};
use cairn_model::phase::{Condition, Phase};
use cairn_vault::PrivateKey;
use cairn_vault::file::{ClusterFile, Passphrase, disk};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use uuid::Uuid;

pub const COMMAND: &str = "hundred";
const NODES: u8 = 100;
const LOOKS: usize = 100;
const INTERFACE: &str = "cluster0";
const OTHER_END: &str = "cluster1";
const PAGE: &str = "http://127.0.0.1:4200";
/// Over so long the work of the manager at rest is averaged.
const REST: Duration = Duration::from_secs(30);
/// A hundred handshakes, and what follows from them.
const PATIENCE: Duration = Duration::from_secs(120);
const SAYS: &str = "something that was not so before";
/// sysconf(3), _SC_CLK_TCK: 100 on every Linux that Cairn runs on.
const TICKS: u64 = 100;

/// # Errors
/// When the manager does not come as far as it should.
pub fn measure(world: &World) -> Result<()> {
    let folder = world.state.join("hundred");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    // what the kernel tells below /sys is of the namespace that mounted it
    let script = r#"mount -t sysfs sysfs /sys && exec "$0" "$@""#;
    let mut inside = Command::new("unshare");
    inside.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script]);
    inside.arg(std::env::current_exe()?).arg(COMMAND).arg(&folder).arg(&world.cairn);
    let text = world.demand(&mut inside)?;
    let mut figures = world.figures.borrow_mut();
    for line in text.lines() {
        let (name, value) = line.split_once(": ").with_context(|| format!("no figure: {line}"))?;
        show(&mut figures, name, value.parse()?);
    }
    Ok(())
}

fn show(figures: &mut Figures, name: &str, value: u64) {
    let milliseconds = |micros: u64| format!("{}.{} ms", micros / 1000, micros % 1000 / 100);
    match name {
        "reached" => figures.time(
            "100 nodes, from the manager's start to the last one known",
            Duration::from_secs(value),
            "",
        ),
        "middle" => {
            figures.set("cluster page of 100 nodes, middle of 100 looks", milliseconds(value), "100 ms")
        }
        "worst" => {
            figures.set("cluster page of 100 nodes, worst of 100 looks", milliseconds(value), "100 ms")
        }
        "change" => figures.set("a change on one of 100 nodes, until it is shown", milliseconds(value), ""),
        "resident" => figures.size("resident memory of a manager with 100 nodes", value, "60 MB"),
        "work" => figures.set(
            "work of a manager with 100 nodes, of one core",
            format!("{}.{} %", value / 10, value % 10),
            "",
        ),
        _ => {}
    }
}

/// Inside the namespaces: prints a figure a line.
///
/// # Errors
/// When the manager does not come as far as it should.
pub fn run(folder: &Path, cairn: &Path) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (file, agents) = runtime.block_on(agents(folder))?;
    let manager = Manager::start(folder, cairn)?;
    let began = Instant::now();
    manager.until(|status| {
        status.nodes.iter().filter(|node| node.phase == Phase::Running).count() == agents.len()
    })?;
    println!("reached: {}", began.elapsed().as_secs());

    let mut looks = (0..LOOKS).map(|_| manager.look("/cluster")).collect::<Result<Vec<u64>>>()?;
    looks.sort_unstable();
    println!("middle: {}", looks.get(LOOKS / 2).context("no looks")?);
    println!("worst: {}", looks.last().context("no looks")?);

    let changed = agents.get(agents.len() / 2).context("no agents")?;
    let began = Instant::now();
    changed.say(Condition::waiting(SAYS));
    manager
        .until(|status| status.nodes.iter().flat_map(|node| &node.conditions).any(|it| it.message == SAYS))?;
    println!("change: {}", began.elapsed().as_micros());

    let before = manager.ticks()?;
    std::thread::sleep(REST);
    let worked = manager.ticks()?.saturating_sub(before);
    println!("work: {}", worked * 1000 / (TICKS * REST.as_secs()));
    println!("resident: {}", manager.resident()?);
    ensure!(file.cluster().nodes.len() == agents.len(), "an agent is missing");
    Ok(ExitCode::SUCCESS)
}

/// A cluster file with a hundred enrolled nodes, and these nodes.
async fn agents(folder: &Path) -> Result<(ClusterFile, Vec<std::sync::Arc<Agent>>)> {
    let keys = (0..NODES).map(|_| Ok((PrivateKey::generate()?, PrivateKey::generate()?)));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let enrol = |mut cluster: Cluster| -> Result<Cluster, EditError> {
        let names: Vec<_> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
        for (name, (boot, key)) in names.iter().zip(&keys) {
            cluster = cluster.with_enrolled(name, boot.fingerprint())?;
            cluster = cluster.with_node_key(name, key.fingerprint())?;
            cluster = cluster.with_volume(name, Uuid::new_v4())?;
        }
        Ok(cluster)
    };
    let file = ClusterFile::new("hundred".parse()?, 0, NODES, 0)?.next(enrol)?;
    let passphrase = "a hundred nodes without machines";
    std::fs::write(folder.join("passphrase"), passphrase)?;
    disk::create(&folder.join("hundred.cairn"), &file.seal(&Passphrase::new(passphrase)?)?)?;
    ip(&["link", "set", "lo", "up"])?;
    // a pair, since not every kernel has dummy interfaces
    ip(&["link", "add", INTERFACE, "type", "veth", "peer", "name", OTHER_END])?;
    ip(&["link", "set", INTERFACE, "up"])?;
    ip(&["link", "set", OTHER_END, "up"])?;
    let mut agents = Vec::new();
    for (place, (node, (boot, key))) in file.cluster().nodes.iter().zip(&keys).enumerate() {
        let address =
            format!("{}/{}", file.cluster().address_of(node), file.cluster().network.prefix_length());
        ip(&["addr", "add", &address, "dev", INTERFACE])?;
        agents.push(Agent::start(&file, place, boot, key).await?);
    }
    Ok((file, agents))
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output().context("`ip` can't be run")?;
    ensure!(
        output.status.success(),
        "`ip {}` failed: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

struct Manager {
    process: Child,
    /// A file with the token as a header, for curl.
    header: std::path::PathBuf,
}

impl Manager {
    fn start(folder: &Path, cairn: &Path) -> Result<Self> {
        let log = File::create(folder.join("manager.log"))?;
        let mut command = Command::new(cairn);
        command.args(["manager", "--interface", INTERFACE, "--work"]).arg(folder.join("work"));
        command.arg("--file").arg(folder.join("hundred.cairn"));
        command.arg("--passphrase-file").arg(folder.join("passphrase"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.spawn().context("the manager can't be started")?;
        let manager = Self { process, header: folder.join("header") };
        let token = folder.join("work/token");
        wait("the manager's token", || Ok(token.exists()))?;
        std::fs::write(
            &manager.header,
            format!("Authorization: Bearer {}", std::fs::read_to_string(token)?.trim()),
        )?;
        wait("the manager's page", || Ok(manager.get("/healthz").is_ok()))?;
        Ok(manager)
    }

    fn curl(&self, path: &str, more: &[&str]) -> Result<Vec<u8>> {
        let header = format!("@{}", self.header.display());
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--header", &header]).args(more);
        let output = curl.arg(format!("{PAGE}{path}")).output().context("`curl` can't be run")?;
        ensure!(output.status.success(), "{path} was not had: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.curl(path, &[])
    }

    /// Microseconds until all of a page was there, as curl measures it.
    fn look(&self, path: &str) -> Result<u64> {
        let said =
            self.curl(path, &["--output", "/dev/null", "--write-out", "%{http_code} %{time_total}"])?;
        let said = String::from_utf8(said)?;
        let Some(("200", seconds)) = said.split_once(' ') else { bail!("{path} was answered {said}") };
        Ok((seconds.parse::<f64>()? * 1e6) as u64)
    }

    fn until(&self, so: impl Fn(&Status) -> bool) -> Result<()> {
        wait("what the manager's status has to say", || {
            Ok(so(&serde_json::from_slice(&self.get("/api/v1/status")?)?))
        })
    }

    /// Time that it worked, by proc_pid_stat(5): fields 14 and 15.
    fn ticks(&self) -> Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let (_, fields) = stat.rsplit_once(") ").context("an unknown form of stat")?;
        let times = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
        Ok(times.collect::<Result<Vec<_>, _>>()?.iter().sum())
    }

    /// Bytes, by proc_pid_status(5).
    fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !so()? {
        ensure!(Instant::now() < end, "waited {} s for {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
