//! What a scenario has at hand: the `cairn` program, the lab's machines, and waiting for something to become true.

use crate::command::{self, Answer};
use crate::figures::Figures;
use anyhow::{Context, Result, bail};
use cairn_lab::Lab;
use cairn_manager::api::{NodeStatus, Status};
use cairn_model::phase::Phase;
use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(500);
/// No answer of `cairn` takes longer, but for those that wait for machines.
const PROMPT: Duration = Duration::from_secs(90);

pub struct World {
    pub state: PathBuf,
    /// Files of the scenarios themselves.
    pub scratch: PathBuf,
    pub cairn: PathBuf,
    pub figures: RefCell<Figures>,
    deadline: Cell<Instant>,
}

impl World {
    /// # Errors
    /// When the directories can't be made.
    pub fn new() -> Result<World> {
        let state = std::path::absolute(".state/scenarios")?;
        let scratch = state.join("scratch");
        std::fs::create_dir_all(&scratch)?;
        let cairn = match std::env::var_os("CAIRN_BIN") {
            Some(path) => std::path::absolute(path)?,
            None => std::env::current_exe()?.with_file_name("cairn"),
        };
        if !cairn.exists() {
            bail!("there is no {}: `make build` makes it, or CAIRN_BIN names another", cairn.display());
        }
        let deadline = Cell::new(Instant::now());
        Ok(World { state, scratch, cairn, figures: RefCell::default(), deadline })
    }

    /// Nothing waits beyond this time from now on.
    pub fn set_deadline(&self, from_now: Duration) {
        self.deadline.set(Instant::now() + from_now);
    }

    fn left(&self, wish: Duration) -> Duration {
        wish.min(self.deadline.get().saturating_duration_since(Instant::now())).max(Duration::from_secs(1))
    }

    pub fn lab(&self) -> Result<Lab> {
        Ok(Lab::open(&self.state)?)
    }

    /// Any program, for at most 90 seconds.
    pub fn run(&self, command: &mut Command) -> Result<Answer> {
        command::run(command, &self.scratch, self.left(PROMPT))
    }

    /// Any program that has to succeed; gives what it printed.
    pub fn demand(&self, command: &mut Command) -> Result<String> {
        let answer = self.run(command)?;
        if !answer.is_ok() {
            bail!("{:?} failed with {}: {}", command.get_program(), answer.code, answer.words());
        }
        Ok(answer.text())
    }

    /// `cairn`, which finds the lab's manager.
    pub fn cairn(&self, arguments: &[&str]) -> Result<Answer> {
        self.cairn_within(PROMPT, arguments)
    }

    pub fn cairn_within(&self, limit: Duration, arguments: &[&str]) -> Result<Answer> {
        let mut command = Command::new(&self.cairn);
        command::run(command.envs(self.manager()).args(arguments), &self.scratch, self.left(limit))
    }

    /// The environment in which `cairn` finds the lab's manager, once it was started.
    pub fn manager(&self) -> Vec<(&'static str, OsString)> {
        let kept = self.state.join("manager");
        let Ok(url) = std::fs::read_to_string(kept.join("url")) else { return Vec::new() };
        vec![("CAIRN_MANAGER", url.trim().into()), ("CAIRN_TOKEN_FILE", kept.join("work/token").into())]
    }

    pub fn lab_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cairn);
        command.args(["lab", "--state"]).arg(&self.state).args(arguments);
        command
    }

    /// `cairn lab` that has to succeed.
    pub fn cairn_lab(&self, arguments: &[&str]) -> Result<String> {
        self.cairn_lab_within(PROMPT, arguments)
    }

    pub fn cairn_lab_within(&self, limit: Duration, arguments: &[&str]) -> Result<String> {
        let answer = command::run(&mut self.lab_command(arguments), &self.scratch, self.left(limit))?;
        if !answer.is_ok() {
            bail!("`cairn lab {}` failed with {}: {}", arguments.join(" "), answer.code, answer.words());
        }
        Ok(answer.text())
    }

    /// A command inside a machine that has to succeed.
    pub fn exec(&self, node: &str, command: &[&str]) -> Result<String> {
        self.cairn_lab(&[&["exec", node, "--"], command].concat())
    }

    pub fn status(&self) -> Result<Status> {
        let answer = self.run(&mut self.lab_command(&["status", "--json"]))?;
        serde_json::from_slice(&answer.stdout).with_context(|| format!("no status: {}", answer.words()))
    }

    /// Asks again and again until there is an answer.
    pub fn until<T>(&self, what: &str, patience: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let patience = self.left(patience);
        loop {
            let last = match ask() {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if began.elapsed() >= patience {
                return Err(last.context(format!("waited {} s for {what}", patience.as_secs())));
            }
            std::thread::sleep(POLL);
        }
    }

    pub fn healthy(&self, patience: Duration) -> Result<Status> {
        self.until("a healthy cluster", patience, || {
            let status = self.status()?;
            if status.healthy { Ok(status) } else { bail!("{}", status.unhealthy_because.join("; ")) }
        })
    }

    pub fn node(&self, name: &str) -> Result<NodeStatus> {
        let status = self.status()?;
        let found = status.nodes.into_iter().find(|node| node.name == name);
        found.with_context(|| format!("the status knows no node {name}"))
    }

    /// Waits until the node runs, and the cluster with it is healthy.
    pub fn running(&self, name: &str, patience: Duration) -> Result<()> {
        self.until(&format!("{name} to run in a healthy cluster"), patience, || {
            let status = self.status()?;
            let node = status.nodes.iter().find(|node| node.name == name);
            match node.map(|node| node.phase) {
                Some(Phase::Running) if status.healthy => Ok(()),
                phase => bail!("its phase is {phase:?}; {}", status.unhealthy_because.join("; ")),
            }
        })
    }

    /// Waits for what the console says after `offset`; gives the place behind it.
    pub fn console(&self, machine: &str, offset: u64, pattern: &str, patience: Duration) -> Result<u64> {
        let lab = self.lab()?;
        Ok(lab.machine(machine)?.wait_for_console(offset, pattern, self.left(patience))?.end)
    }

    /// Pulls a machine's plug and puts it in again; gives the place on its console from where the new life is told.
    pub fn power_cut(&self, machine: &str) -> Result<u64> {
        let lab = self.lab()?;
        let machine = lab.machine(machine)?;
        machine.cut()?;
        let offset = machine.console_length();
        machine.power_on()?;
        Ok(offset)
    }

    /// The manager is killed, and goes on with nothing but the owner's cluster file of the first day.
    pub fn lose_working_directory(&self) -> Result<()> {
        self.cairn_lab(&["manager", "kill"])?;
        std::fs::remove_dir_all(self.state.join("manager/work"))
            .context("the working directory can't be removed")?;
        self.cairn_lab(&["manager", "start"]).map(drop)
    }

    pub fn cluster_file(&self) -> PathBuf {
        self.state.join("manager/cluster.cairn")
    }

    pub fn passphrase(&self) -> PathBuf {
        self.state.join("manager/passphrase")
    }
}

pub fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the project's path is not UTF-8")
}
