//! A manager with a hundred nodes: those without a machine that `cairn lab up --simulated` makes, each at its own
//! cluster address and over real TLS. The manager is a process of its own, so its memory is its alone.

use crate::runner;
use crate::world::World;
use anyhow::{Context, Result, bail, ensure};
use cairn_manager::api::Status;
use cairn_model::phase::Phase;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

pub const COMMAND: &str = "hundred";
pub const NODES: u8 = 100;
const LOOKS: usize = 100;
/// Over so long the work of the manager at rest is averaged.
const REST: Duration = Duration::from_secs(30);
/// A hundred handshakes, and what follows from them.
const PATIENCE: Duration = Duration::from_secs(120);
const SAYS: &str = "something that was not so before";
/// sysconf(3), _SC_CLK_TCK: 100 on every Linux that Cairn runs on.
const TICKS: u64 = 100;

/// This measurement alone.
///
/// # Errors
/// As [`measure`].
pub fn run(nodes: u8) -> Result<ExitCode> {
    let world = World::new()?;
    runner::clear(&world)?;
    measure(&world, nodes)?;
    println!("{}", world.figures.borrow().table());
    Ok(ExitCode::SUCCESS)
}

/// Begins without a lab, and leaves none.
///
/// # Errors
/// When the manager does not come as far as it should.
pub fn measure(world: &World, nodes: u8) -> Result<()> {
    world.set_deadline(Duration::from_secs(300));
    let measured = on_a_lab(world, nodes);
    let down = runner::take_down(world);
    measured.and(down)
}

fn on_a_lab(world: &World, nodes: u8) -> Result<()> {
    let began = Instant::now();
    let count = nodes.to_string();
    world.cairn_lab(&["up", "--etcd", "0", "--compute", "0", "--simulated", &count, "--detach"])?;
    world.figures.borrow_mut().time(
        &format!("`lab up`, {nodes} nodes without machines"),
        began.elapsed(),
        "",
    );

    world.cairn_lab(&["manager", "stop"])?;
    world.cairn_lab(&["manager", "start"])?;
    let began = Instant::now();
    let manager = Manager::of(world)?;
    manager.until(|status| {
        status.nodes.iter().filter(|node| node.phase == Phase::Running).count() == usize::from(nodes)
    })?;
    let reached = began.elapsed();

    let mut looks = (0..LOOKS).map(|_| manager.look("/cluster")).collect::<Result<Vec<u64>>>()?;
    looks.sort_unstable();
    let middle = *looks.get(LOOKS / 2).context("no looks")?;
    let worst = *looks.last().context("no looks")?;

    let faults = world.state.join("manager/agents/faults");
    std::fs::create_dir(&faults)?;
    let began = Instant::now();
    let fault = faults.join(format!("compute-{}", nodes.div_ceil(2)));
    std::fs::write(&fault, SAYS)?;
    manager
        .until(|status| status.nodes.iter().flat_map(|node| &node.conditions).any(|it| it.message == SAYS))?;
    let changed = began.elapsed();
    std::fs::remove_file(fault)?;

    let before = manager.ticks()?;
    std::thread::sleep(REST);
    let worked = manager.ticks()?.saturating_sub(before);
    let permille = worked * 1000 / (TICKS * REST.as_secs());

    let mut figures = world.figures.borrow_mut();
    let milliseconds = |micros: u128| format!("{}.{} ms", micros / 1000, micros % 1000 / 100);
    figures.time(&format!("{nodes} nodes, from the manager's start to the last one known"), reached, "");
    figures.set(
        &format!("cluster page of {nodes} nodes, middle of {LOOKS} looks"),
        milliseconds(middle.into()),
        "100 ms",
    );
    figures.set(
        &format!("cluster page of {nodes} nodes, worst of {LOOKS} looks"),
        milliseconds(worst.into()),
        "100 ms",
    );
    figures.set(
        &format!("a change on one of {nodes} nodes, until it is shown"),
        milliseconds(changed.as_micros()),
        "",
    );
    figures.set(
        &format!("work of a manager with {nodes} nodes, of one core"),
        format!("{}.{} %", permille / 10, permille % 10),
        "",
    );
    figures.size(&format!("resident memory of a manager with {nodes} nodes"), manager.resident()?, "60 MB");
    Ok(())
}

/// The lab's, asked by curl, so that nothing of the asking is measured with it.
struct Manager {
    process: i32,
    page: String,
    /// A file with the token as a header, for curl.
    header: std::path::PathBuf,
}

impl Manager {
    fn of(world: &World) -> Result<Self> {
        let kept = world.state.join("manager");
        let process = world.lab()?.process("manager").context("the manager does not run")?.pid;
        let page = std::fs::read_to_string(kept.join("url"))?.trim().to_owned();
        let token = std::fs::read_to_string(kept.join("work/token"))?;
        let header = world.scratch.join("header");
        std::fs::write(&header, format!("Authorization: Bearer {}", token.trim()))?;
        Ok(Self { process, page, header })
    }

    fn curl(&self, path: &str, more: &[&str]) -> Result<Vec<u8>> {
        let header = format!("@{}", self.header.display());
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--header", &header]).args(more);
        let output = curl.arg(format!("{}{path}", self.page)).output().context("`curl` can't be run")?;
        ensure!(output.status.success(), "{path} was not had: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
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
        let end = Instant::now() + PATIENCE;
        while !so(&serde_json::from_slice(&self.curl("/api/v1/status", &[])?)?) {
            ensure!(Instant::now() < end, "the manager's status never said what it has to");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Time that it worked, by proc_pid_stat(5): fields 14 and 15.
    fn ticks(&self) -> Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process))?;
        let (_, fields) = stat.rsplit_once(") ").context("an unknown form of stat")?;
        let times = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
        Ok(times.collect::<Result<Vec<_>, _>>()?.iter().sum())
    }

    /// Bytes, by proc_pid_status(5).
    fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }
}
