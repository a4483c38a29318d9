//! A program in a network namespace, what it says, and what it takes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::run;

/// Longest wait for anything that is expected.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that runs until its input is closed or it is dropped.
pub struct Daemon {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Daemon {
    pub(super) fn start(namespace: &str, words: &[impl AsRef<std::ffi::OsStr>]) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = channel();
        let out: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in out {
            let send = send.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = send.send(line);
                }
            });
        }
        let input = child.stdin.take();
        Self { child, input, lines }
    }

    /// Waits for a line that contains `text`, and gives it back; `None` if the program ends before.
    pub fn until(&self, text: &str) -> Option<String> {
        self.within(PATIENCE, text)
    }

    /// The same within another time.
    pub fn within(&self, patience: Duration, text: &str) -> Option<String> {
        let end = Instant::now() + patience;
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return Some(line),
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("{text:?} did not come after {seen:#?}"),
            }
        }
    }

    /// Waits for a line with each of two texts, in either order: one may go to standard output and one to standard
    /// error. Gives back the first text's line.
    pub fn until_both(&self, first: &str, second: &str) -> Option<String> {
        let mut found = [None, None];
        while found.iter().any(Option::is_none) {
            let line = self.lines.recv_timeout(PATIENCE).ok()?;
            for (text, found) in [first, second].into_iter().zip(&mut found) {
                if found.is_none() && line.contains(text) {
                    *found = Some(line.clone());
                }
            }
        }
        found.into_iter().next().flatten()
    }

    /// Closes its input and waits for its end.
    pub fn stop(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }

    /// Everything that it says until it ends by itself.
    pub fn wait_to_end(mut self) -> (bool, String) {
        let said: Vec<String> = self.lines.iter().collect();
        (self.child.wait().unwrap().success(), said.join("\n"))
    }

    pub fn memory_kib(&self) -> u64 {
        // `ip netns exec` replaces itself by the program.
        status(self.child.id(), "VmHWM:").unwrap()
    }

    /// The same with that of the processes that it started itself.
    pub fn memory_of_all_kib(&self) -> u64 {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let children = numbers.filter(|id| status(*id, "PPid:") == Some(self.child.id().into()));
        self.memory_kib() + children.filter_map(|id| status(id, "VmHWM:")).sum::<u64>()
    }

    /// How many files and sockets it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Ends a program that others wrote, as its supervisor would.
    pub fn terminate(mut self) {
        run("kill", &["-TERM", &self.child.id().to_string()]);
        self.child.wait().unwrap();
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number of what the kernel tells of a process.
fn status(process: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}
