//! A Docker daemon in the lab's network, so that a container with `--net=host` is in that one and not in the host's.

use crate::command::{self, Answer, Running};
use crate::world::{World, path};
use anyhow::{Context, Result, bail};
use cairn_lab::{Lab, ProcessSpec};
use std::process::Command;
use std::time::Duration;

const NAME: &str = "dockerd";
/// It stops its containers first.
const STOPS_WITHIN: Duration = Duration::from_secs(40);

/// A `/run` of its own hides a daemon of the host's, and its mounts end with it.
const START: &str = r#"mount -t tmpfs run /run && exec dockerd "$@""#;

pub struct Docker<'a> {
    world: &'a World,
    lab: Lab,
}

impl<'a> Docker<'a> {
    /// # Errors
    /// When there is none on this machine, or it does not start.
    pub fn start(world: &'a World) -> Result<Docker<'a>> {
        let lab = world.lab()?;
        let docker = Docker { world, lab };
        let folder = world.state.join("docker");
        std::fs::create_dir_all(&folder)?;
        // `ip netns exec` shows the network's own /sys, where no control groups are: back to where they are.
        let mounts = format!("--mount=/proc/{}/ns/mnt", std::process::id());
        let (data, socket) =
            (format!("--data-root={}", path(&folder)?), format!("--host={}", docker.socket()));
        let shell = ["nsenter", &mounts, "unshare", "--mount", "sh", "-c", START, NAME];
        // Networks are the lab's business.
        let networks = ["--bridge=none", "--iptables=false", "--ip6tables=false"];
        let places = ["--exec-root=/run/docker", "--pidfile=/run/docker.pid", &data, &socket];
        let command = [&shell[..], &networks, &places].concat();
        docker.lab.spawn(ProcessSpec::new(NAME, command))?;
        let log = docker.lab.process_log(NAME);
        let answer = world.until("the Docker daemon", Duration::from_secs(60), || {
            docker
                .demand(&["version"])
                .with_context(|| format!("see {} (docker.io: scripts/setup installs it)", log.display()))
        });
        match answer {
            Ok(_) => Ok(docker),
            Err(error) => docker.stop().and(Err(error)),
        }
    }

    fn socket(&self) -> String {
        format!("unix://{}", self.world.state.join("docker/socket").display())
    }

    /// `docker` with these arguments.
    pub fn run(&self, arguments: &[&str]) -> Result<Answer> {
        self.world.run(Command::new("docker").arg("--host").arg(self.socket()).args(arguments))
    }

    /// `docker` with these arguments, and a line typed, that goes on by itself.
    pub fn begin(&self, line: &str, arguments: &[&str]) -> Result<Running> {
        let typed = r#"exec docker --host "$0" "${@:2}" < <(printf '%s\n' "$1")"#;
        let mut command = Command::new("bash");
        command.args(["-c", typed, &self.socket(), line]).args(arguments);
        command::start(&mut command, &self.world.scratch)
    }

    /// `docker` that has to succeed.
    pub fn demand(&self, arguments: &[&str]) -> Result<String> {
        let answer = self.run(arguments)?;
        if !answer.is_ok() {
            bail!("`docker {}` failed with {}: {}", arguments.join(" "), answer.code, answer.words());
        }
        Ok(answer.text())
    }

    /// Takes it down with all that it has.
    ///
    /// # Errors
    /// When it does not end, or its files can't be removed.
    pub fn stop(self) -> Result<()> {
        self.lab.stop(NAME, STOPS_WITHIN)?;
        std::fs::remove_dir_all(self.world.state.join("docker")).context("Docker's files can't be removed")
    }
}
