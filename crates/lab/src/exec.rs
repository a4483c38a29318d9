//! Running a command inside a machine, over a virtio-serial port that only the lab can reach.
//!
//! The other end is a small injected unit (`exec_guest.sh`); no image holds it. Each request carries an id of its
//! own, and lines with another id are remains of an earlier connection and are dropped.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use uuid::Uuid;

use crate::socket;
use crate::spec::InjectedUnit;

pub(crate) const PORT_NAME: &str = "cairn.lab.exec";
const UNIT: &str = "cairn-lab-exec.service";
const SCRIPT: &str = include_str!("exec_guest.sh");

#[derive(Debug, Error)]
pub enum ExecError {
    #[error("machine {machine} was made without a way in: nothing in it answers exec")]
    NotInjected { machine: String },
    #[error(
        "machine {machine} did not answer exec within {waited:?}: it may not have come up yet, see its console"
    )]
    NoAnswer { machine: String, waited: Duration },
    #[error("`{command}` on machine {machine} did not end within {waited:?}")]
    TooLong { machine: String, command: String, waited: Duration },
    #[error("the way into machine {machine} broke, perhaps by a power cut")]
    Broken { machine: String, source: io::Error },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// 124 when the time was up, 127 when there is no such program, as timeout(1) says.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
pub struct ExecLimits {
    /// How long to wait until the machine answers at all.
    pub answer: Duration,
    /// How long the command may run, in whole seconds.
    pub run: Duration,
}

impl Default for ExecLimits {
    fn default() -> ExecLimits {
        ExecLimits { answer: Duration::from_secs(30), run: Duration::from_secs(60) }
    }
}

pub(crate) fn guest_unit() -> InjectedUnit {
    // `$$` is systemd's way to write a dollar sign; base64 needs no other escape.
    let run = format!("eval \"$$(echo {} | base64 -d)\"", STANDARD.encode(SCRIPT));
    // It answers early in the boot, before /tmp is mounted: its files lie in /run.
    let text = format!(
        "[Unit]\nDescription=Lab access\nDefaultDependencies=no\nConflicts=shutdown.target\nBefore=shutdown.target\n\
         StartLimitIntervalSec=0\n\
         [Service]\nEnvironment=TMPDIR=/run\nStandardInput=null\nRestart=always\nRestartSec=1\n\
         ExecStart=/bin/bash -c '{run}' cairn-lab-exec /dev/virtio-ports/{PORT_NAME}\n"
    );
    InjectedUnit::new(UNIT, &text)
}

/// One request and the reading of its answer; no I/O.
struct Request {
    id: String,
    buffer: Vec<u8>,
    output: ExecOutput,
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Waiting,
    Ready,
    Ended,
}

impl Request {
    fn new(id: String) -> Request {
        Request {
            id,
            buffer: Vec::new(),
            output: ExecOutput { code: -1, stdout: Vec::new(), stderr: Vec::new() },
        }
    }

    /// The line break in front ends whatever half line an earlier connection left.
    fn hello(&self) -> String {
        format!("\nHELLO {}\n", self.id)
    }

    fn run(&self, argv: &[&str], limit: Duration) -> String {
        let words = argv.iter().flat_map(|word| word.bytes().chain([0])).collect::<Vec<u8>>();
        format!("RUN {} {} {}\n", self.id, limit.as_secs().max(1), STANDARD.encode(words))
    }

    /// Takes what came in and says how far it got; bytes after the end of this answer are dropped.
    fn take(&mut self, bytes: &[u8]) -> Progress {
        self.buffer.extend_from_slice(bytes);
        let mut progress = Progress::Waiting;
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let rest = self.buffer.split_off(end.saturating_add(1));
            let line = std::mem::replace(&mut self.buffer, rest);
            match self.line(&String::from_utf8_lossy(&line)) {
                Progress::Ended => return Progress::Ended,
                Progress::Ready => progress = Progress::Ready,
                Progress::Waiting => {}
            }
        }
        progress
    }

    fn line(&mut self, line: &str) -> Progress {
        let mut words = line.split_whitespace();
        let (verb, id, value) = (words.next(), words.next(), words.next());
        if id != Some(self.id.as_str()) {
            return Progress::Waiting;
        }
        let decoded = || value.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        match verb {
            Some("READY") => return Progress::Ready,
            Some("OUT") => self.output.stdout.extend(decoded()),
            Some("ERR") => self.output.stderr.extend(decoded()),
            Some("END") => {
                self.output.code = value.and_then(|code| code.parse().ok()).unwrap_or(-1);
                return Progress::Ended;
            }
            _ => {}
        }
        Progress::Waiting
    }
}

pub(crate) fn exec(
    machine: &str,
    dir: &Path,
    socket_name: &str,
    argv: &[&str],
    limits: ExecLimits,
) -> Result<ExecOutput, ExecError> {
    let broken = |source| ExecError::Broken { machine: machine.to_owned(), source };
    let mut stream = socket::connect(dir, socket_name).map_err(broken)?;
    let mut request = Request::new(Uuid::new_v4().simple().to_string());

    let deadline = Instant::now() + limits.answer;
    // What is sent before the port is opened inside gets lost, hence again and again.
    loop {
        stream.write_all(request.hello().as_bytes()).map_err(broken)?;
        let next = (Instant::now() + Duration::from_secs(1)).min(deadline);
        match read_until(&mut stream, &mut request, next).map_err(broken)? {
            Progress::Ready => break,
            _ if Instant::now() >= deadline => {
                return Err(ExecError::NoAnswer { machine: machine.to_owned(), waited: limits.answer });
            }
            _ => {}
        }
    }
    stream.write_all(request.run(argv, limits.run).as_bytes()).map_err(broken)?;
    // Beyond the command's own time: killing it, and encoding what it printed on a slow machine.
    let deadline = Instant::now() + limits.run + Duration::from_secs(30);
    loop {
        match read_until(&mut stream, &mut request, deadline).map_err(broken)? {
            Progress::Ended => return Ok(request.output),
            // An answer to a second greeting.
            Progress::Ready => {}
            Progress::Waiting => {
                let command = argv.join(" ");
                return Err(ExecError::TooLong { machine: machine.to_owned(), command, waited: limits.run });
            }
        }
    }
}

/// `Waiting` when the time is up.
fn read_until(stream: &mut UnixStream, request: &mut Request, deadline: Instant) -> io::Result<Progress> {
    let mut chunk = [0; 16384];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Progress::Waiting);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => match request.take(chunk.get(..count).unwrap_or_default()) {
                Progress::Waiting => {}
                progress => return Ok(progress),
            },
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(id: &str, out: &[u8], err: &[u8], code: i32) -> Vec<u8> {
        let (out, err) = (STANDARD.encode(out), STANDARD.encode(err));
        format!("OUT {id} {out}\nERR {id} {err}\nEND {id} {code}\n").into_bytes()
    }

    #[test]
    fn the_answer_to_somebody_else_is_not_mine() {
        let mut request = Request::new("mine".into());
        assert_eq!(request.take(&answer("other", b"x", b"y", 0)), Progress::Waiting);
        assert_eq!(request.output.stdout, b"");
    }

    struct Guest(std::process::Child);

    impl Drop for Guest {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// The guest's script on a terminal in the place of a virtio port, and QEMU's socket played by two threads.
    fn guest(dir: &Path) -> Guest {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&outer).unwrap();
        unlockpt(&outer).unwrap();
        let inner = ptsname(&outer, Vec::new()).unwrap().into_string().unwrap();
        let handle = std::fs::File::options().read(true).write(true).open(&inner).unwrap();
        let mut raw = rustix::termios::tcgetattr(&handle).unwrap();
        raw.make_raw();
        rustix::termios::tcsetattr(&handle, rustix::termios::OptionalActions::Now, &raw).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(dir.join("exec.sock")).unwrap();
        let (mut from_guest, mut to_guest) =
            (std::fs::File::from(outer.try_clone().unwrap()), std::fs::File::from(outer));
        let connected = std::sync::Arc::new(std::sync::Mutex::new(None::<UnixStream>));
        let at_other_end = connected.clone();
        std::thread::spawn(move || {
            let _stays_open = handle;
            let mut chunk = [0; 1000];
            while let Ok(count) = from_guest.read(&mut chunk) {
                // What nobody takes is lost.
                if let Some(stream) = at_other_end.lock().unwrap().as_mut() {
                    let _ = stream.write_all(&chunk[..count]);
                }
            }
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                *connected.lock().unwrap() = Some(stream.try_clone().unwrap());
                let _ = io::copy(&mut stream, &mut to_guest);
            }
        });
        let mut command = std::process::Command::new("bash");
        command.args(["-c", SCRIPT, "guest", &inner]).env("TMPDIR", dir).stdout(std::process::Stdio::null());
        Guest(command.stderr(std::process::Stdio::null()).spawn().unwrap())
    }

    #[test]
    fn what_a_command_printed_arrives_byte_by_byte_also_after_somebody_broke_off() {
        let dir = tempfile::tempdir().unwrap();
        let _guest = guest(dir.path());
        let run = |argv: &[&str], seconds| {
            let limits = ExecLimits { answer: Duration::from_secs(20), run: Duration::from_secs(seconds) };
            exec("a", dir.path(), "exec.sock", argv, limits).unwrap()
        };
        let all = run(&["sh", "-c", "printf '\\000\\377a b\\n'; echo oops >&2; exit 7"], 20);
        assert_eq!(all, ExecOutput { code: 7, stdout: b"\0\xffa b\n".to_vec(), stderr: b"oops\n".to_vec() });
        let odd = "it's \"$HOME\"\n *";
        assert_eq!(run(&["printf", "%s", odd], 20).stdout, odd.as_bytes());
        assert_eq!(run(&["head", "-c", "300000", "/dev/zero"], 20).stdout, vec![0; 300_000]);

        // Broken off in the middle of a line, and in the middle of an answer.
        socket::connect(dir.path(), "exec.sock").unwrap().write_all(b"RUN x 5 ZWNo").unwrap();
        let rude = Request::new("rude".into());
        let request = rude.run(&["seq", "100000"], Duration::from_secs(5));
        socket::connect(dir.path(), "exec.sock").unwrap().write_all(request.as_bytes()).unwrap();
        assert_eq!(run(&["echo", "still here"], 20).stdout, b"still here\n");

        assert_eq!(run(&["sleep", "100"], 1).code, 124);
        assert_eq!(run(&["no-such-program"], 20).code, 127);
    }

    proptest! {
        #[test]
        fn an_answer_arrives_whole_however_it_is_cut_and_whatever_half_line_stands_before_it(
            out in proptest::collection::vec(any::<u8>(), 0..300),
            err in proptest::collection::vec(any::<u8>(), 0..300),
            code in 0..256_i32,
            before in "[ -~]{0,40}",
            cut in 1..50_usize,
        ) {
            let mut request = Request::new("mine".into());
            let mut bytes = format!("{before}\n").into_bytes();
            bytes.extend(answer("mine", &out, &err, code));
            let mut last = Progress::Waiting;
            for chunk in bytes.chunks(cut) {
                last = request.take(chunk);
            }
            prop_assert_eq!(last, Progress::Ended);
            prop_assert_eq!(request.output, ExecOutput { code, stdout: out, stderr: err });
        }

        #[test]
        fn no_bytes_whatever_make_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            Request::new("mine".into()).take(&bytes);
        }
    }
}
