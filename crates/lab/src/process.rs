//! Programs that run in the lab beside its machines: QEMU itself, a manager, a DHCP server.
//!
//! Each is a session of its own and nobody's child, so that it survives the process that started it and any other
//! process can find it: its pidfile holds its number and the moment of its start, which together never come again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;

use crate::command::CommandError;
use crate::namespace::Namespace;

/// The first descriptor that sd_listen_fds(3) looks at.
const LISTEN_FD: i32 = 3;

/// Writes the pidfile and becomes the program. systemd's convention wants the number of the process that listens,
/// which only that process knows.
const WRAPPER: &str = r#"start=$(cut -d' ' -f22 /proc/$$/stat)
echo "$$ $start" >"$0.new" && mv "$0.new" "$0" || exit 1
if [ -n "$LISTEN_FDS" ]; then LISTEN_PID=$$; export LISTEN_PID; fi
exec "$@""#;

#[derive(Debug, Error)]
pub enum ProcessError {
    #[error("cannot start {name}")]
    Start { name: String, source: CommandError },
    #[error("cannot hand {name} its listening socket")]
    Socket { name: String, source: io::Error },
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{name} did not start; see {}", log.display())]
    NotStarted { name: String, log: PathBuf },
    #[error("{name} runs already in this lab: stop it first")]
    Running { name: String },
    #[error("{name} (process {pid}) is still there after SIGKILL")]
    Immortal { name: String, pid: i32 },
}

/// A program to be run inside the lab.
#[derive(Debug)]
pub struct ProcessSpec {
    pub name: String,
    pub command: Vec<OsString>,
    pub environment: Vec<(OsString, OsString)>,
    pub directory: Option<PathBuf>,
    /// Made on the host before the program enters the namespace, and so reachable from the host. The program gets
    /// it as descriptor 3 with `LISTEN_FDS=1` and `LISTEN_PID`, see sd_listen_fds(3).
    pub listener: Option<TcpListener>,
}

impl ProcessSpec {
    pub fn new(name: &str, command: impl IntoIterator<Item = impl Into<OsString>>) -> ProcessSpec {
        ProcessSpec {
            name: name.to_owned(),
            command: command.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            directory: None,
            listener: None,
        }
    }

    pub fn with_listener(mut self, listener: TcpListener) -> ProcessSpec {
        self.listener = Some(listener);
        self
    }

    pub fn with_environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> ProcessSpec {
        self.environment.push((name.into(), value.into()));
        self
    }
}

/// A process that can't be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub pid: i32,
    /// In clock ticks since the host's start, field 22 of `/proc/PID/stat`.
    pub start: u64,
}

impl Identity {
    pub(crate) fn read(pidfile: &Path) -> Option<Identity> {
        let text = fs::read_to_string(pidfile).ok()?;
        let (pid, start) = text.trim().split_once(' ')?;
        Some(Identity { pid: pid.parse().ok()?, start: start.parse().ok()? })
    }

    /// A process that ended and was not yet collected counts as gone; not so one of which only the first thread
    /// ended, for the others still hold its locks and sockets.
    pub fn alive(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        parse_stat(&stat).is_some_and(|(state, start)| {
            start == self.start && state != 'X' && (state != 'Z' || self.threads() > 1)
        })
    }

    fn threads(self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid)).map_or(0, Iterator::count)
    }

    pub(crate) fn signal(self, signal: Signal) {
        if let (true, Some(pid)) = (self.alive(), Pid::from_raw(self.pid)) {
            // It may have ended since; whether it is gone is asked afterwards.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Whether it is gone before the time is up.
    pub fn wait_gone(self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.alive() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// State and start time. The second field is the program's name in brackets and may itself hold blanks and brackets.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Where a running program keeps its traces.
pub(crate) struct Place {
    pub name: String,
    pub pidfile: PathBuf,
    pub log: PathBuf,
}

impl Place {
    pub(crate) fn running(&self) -> Option<Identity> {
        Identity::read(&self.pidfile).filter(|identity| identity.alive())
    }

    pub(crate) fn start(&self, namespace: &Namespace, spec: ProcessSpec) -> Result<Identity, ProcessError> {
        if self.running().is_some() {
            return Err(ProcessError::Running { name: self.name.clone() });
        }
        let file = |action, path: &Path| {
            let path = path.to_owned();
            move |source| ProcessError::File { action, path, source }
        };
        match fs::remove_file(&self.pidfile) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(file("remove", &self.pidfile)(source));
            }
            _ => {}
        }
        let log =
            File::options().create(true).append(true).open(&self.log).map_err(file("open", &self.log))?;
        let errors = log.try_clone().map_err(file("open", &self.log))?;

        let mut command = Command::new("setsid");
        command.args(["--fork", "sh", "-c", WRAPPER]).arg(&self.pidfile);
        command.args(["ip", "netns", "exec", namespace.name()]).args(&spec.command);
        command.env_remove("LISTEN_FDS").env_remove("LISTEN_PID").envs(spec.environment);
        if let Some(directory) = &spec.directory {
            command.current_dir(directory);
        }
        if let Some(listener) = spec.listener {
            let mapping = FdMapping { parent_fd: OwnedFd::from(listener), child_fd: LISTEN_FD };
            command.fd_mappings(vec![mapping]).map_err(|error| ProcessError::Socket {
                name: self.name.clone(),
                source: io::Error::other(error),
            })?;
            command.env("LISTEN_FDS", "1");
        }
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let status = command.status().map_err(|source| ProcessError::Start {
            name: self.name.clone(),
            source: CommandError::NotStarted { program: "setsid".to_owned(), source },
        })?;
        if !status.success() {
            return Err(ProcessError::NotStarted { name: self.name.clone(), log: self.log.clone() });
        }
        self.await_pidfile()
    }

    fn await_pidfile(&self) -> Result<Identity, ProcessError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(identity) = Identity::read(&self.pidfile) {
                return Ok(identity);
            }
            if Instant::now() >= deadline {
                return Err(ProcessError::NotStarted { name: self.name.clone(), log: self.log.clone() });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to end, and makes it when it does not; does nothing when it does not run.
    pub(crate) fn stop(&self, grace: Duration) -> Result<(), ProcessError> {
        let Some(identity) = self.running() else { return Ok(()) };
        if !grace.is_zero() {
            identity.signal(Signal::TERM);
            if identity.wait_gone(grace) {
                return Ok(());
            }
        }
        identity.signal(Signal::KILL);
        if identity.wait_gone(Duration::from_secs(10)) {
            return Ok(());
        }
        Err(ProcessError::Immortal { name: self.name.clone(), pid: identity.pid })
    }
}

/// The end of a log, for an error's text.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_program_whose_name_looks_like_fields_is_still_read_right() {
        let rest = "S 1 2 2 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 200";
        assert_eq!(parse_stat(&format!("12 (a) b (c) {rest}")), Some(('S', 4711)));
        assert_eq!(parse_stat("12 (a"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn we_are_alive_and_another_start_time_is_somebody_else() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let (_, start) = parse_stat(&stat).unwrap();
        assert!(Identity { pid, start }.alive());
        assert!(!Identity { pid, start: start + 1 }.alive());
    }

    proptest! {
        #[test]
        fn no_stat_line_whatever_makes_it_fail(line in ".*") {
            let _ = parse_stat(&line);
        }
    }
}
