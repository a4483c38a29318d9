//! The network namespace in which everything of a lab lives.
//!
//! Its name follows from the state directory alone, so that a lab can be cleared whose state is lost.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};

use crate::command::{CommandError, run};

const RUN_DIR: &str = "/run/netns";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// `dir` is the state directory's canonical path.
    pub fn of(dir: &Path) -> Namespace {
        let hash = Sha256::digest(dir.as_os_str().as_encoded_bytes());
        Namespace { name: format!("cairn-{}", hex::encode(hash).get(..8).unwrap_or_default()) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn exists(&self) -> bool {
        Path::new(RUN_DIR).join(&self.name).exists()
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    pub(crate) fn create(&self) -> Result<(), CommandError> {
        run(Command::new("ip").args(["netns", "add", &self.name]))?;
        self.ip(&["link", "set", "lo", "up"])?;
        let settings = [
            // The lab's networks are IPv4; without this every interface chatters router solicitations.
            "net.ipv6.conf.all.disable_ipv6=1",
            "net.ipv6.conf.default.disable_ipv6=1",
            // The manager's interface and the bridges share this namespace: without these a bridge answers for the
            // manager's address with its own, and what arrives there misses the sockets of the manager's interface.
            "net.ipv4.conf.all.arp_ignore=1",
            "net.ipv4.conf.all.arp_announce=2",
        ];
        for (setting, value) in settings.iter().filter_map(|line| line.split_once('=')) {
            let path = format!("/proc/sys/{}", setting.replace('.', "/"));
            run(self.command("sh").args(["-c", "[ ! -e \"$0\" ] || echo \"$1\" >\"$0\"", &path, value]))?;
        }
        Ok(())
    }

    /// `ip` on the interfaces inside.
    pub(crate) fn ip(&self, arguments: &[&str]) -> Result<String, CommandError> {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments))
    }

    /// The processes inside, but never the caller.
    pub(crate) fn pids(&self) -> Result<BTreeSet<i32>, CommandError> {
        let text = run(Command::new("ip").args(["netns", "pids", &self.name]))?;
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        Ok(text.split_whitespace().filter_map(|word| word.parse().ok()).filter(|pid| *pid != own).collect())
    }

    /// Kills every process inside and waits until none is left; returns those that would not go.
    pub(crate) fn kill_all(&self, patience: Duration) -> Result<BTreeSet<i32>, CommandError> {
        let deadline = Instant::now() + patience;
        loop {
            let pids = self.pids()?;
            if pids.is_empty() || Instant::now() >= deadline {
                return Ok(pids);
            }
            for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                // One that ended meanwhile is what was wanted; one that stays is found in the next round.
                let _ = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn delete(&self) -> Result<(), CommandError> {
        run(Command::new("ip").args(["netns", "delete", &self.name]))?;
        forget_empty_run_dir();
        Ok(())
    }
}

/// The first namespace on a host makes `ip` mount this directory on itself, and nothing ever unmounts it. With no
/// namespace left it can go; with one left the unmount is refused, which is as it should be.
fn forget_empty_run_dir() {
    let empty = fs::read_dir(RUN_DIR).is_ok_and(|mut entries| entries.next().is_none());
    if empty && run(Command::new("umount").arg(RUN_DIR)).is_ok() {
        let _ = fs::remove_dir(RUN_DIR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_state_directories_never_share_a_namespace() {
        let one = Namespace::of("/a/lab".as_ref());
        assert_eq!(one, Namespace::of("/a/lab".as_ref()));
        assert_ne!(one, Namespace::of("/b/lab".as_ref()));
        assert!(one.name().starts_with("cairn-") && one.name().len() == 14);
    }
}
