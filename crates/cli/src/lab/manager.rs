//! The lab's manager: the real one, inside the lab's network, with its page on the host's loopback.

use super::paths::Paths;
use crate::client::answers;
use anyhow::{Context, Result, bail};
use cairn_lab::{Lab, MANAGER_INTERFACE, ProcessSpec};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

const NAME: &str = "manager";
const USUAL_PORT: u16 = 4200;
/// Opening two sealed files takes seconds.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// Starts the manager and waits until it answers.
///
/// # Errors
/// When it ends at once, with where its log is.
pub fn start(lab: &Lab, paths: &Paths) -> Result<()> {
    let listener = listen(paths)?;
    let url = format!("http://{}", listener.local_addr()?);
    std::fs::write(paths.url(), format!("{url}\n")).context("the page's address can't be written down")?;
    let program = std::env::current_exe().context("this program can't find itself")?;
    let image = std::path::absolute(".state/image")?;
    let words = |text: &str| std::ffi::OsString::from(text);
    let mut command = vec![
        program.into_os_string(),
        words("manager"),
        words("--work"),
        paths.work().into_os_string(),
        words("--image"),
        image.into_os_string(),
        words("--cable"),
        words(MANAGER_INTERFACE),
        words("--interface"),
        words(MANAGER_INTERFACE),
    ];
    // without one the owner begins on the page
    if paths.cluster_file().exists() {
        command.extend([words("--file"), paths.cluster_file().into_os_string()]);
        command.extend([words("--passphrase-file"), paths.passphrase().into_os_string()]);
    }
    let process = lab.spawn(ProcessSpec::new(NAME, command).with_listener(listener))?;
    let deadline = Instant::now() + STARTS_WITHIN;
    while answers(&url).is_err() {
        if !process.alive() || Instant::now() >= deadline {
            bail!("the manager did not start; its last words: {}", last_words(lab, NAME));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// The end of what a process of the lab printed.
pub fn last_words(lab: &Lab, process: &str) -> String {
    let log = std::fs::read_to_string(lab.process_log(process)).unwrap_or_default();
    let last: Vec<&str> = log.lines().rev().take(5).collect();
    last.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

/// The port that the page had before, else the usual one, else any.
fn listen(paths: &Paths) -> Result<TcpListener> {
    let before = std::fs::read_to_string(paths.url()).ok();
    let before = before.and_then(|url| url.trim().rsplit(':').next()?.parse().ok());
    for port in before.into_iter().chain([USUAL_PORT, 0]) {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener);
        }
    }
    bail!("no port of the loopback interface can be listened on")
}

/// # Errors
/// When it can't be ended.
pub fn stop(lab: &Lab) -> Result<()> {
    Ok(lab.stop(NAME, STOPS_WITHIN)?)
}

/// # Errors
/// When it can't be ended.
pub fn kill(lab: &Lab) -> Result<()> {
    Ok(lab.stop(NAME, Duration::ZERO)?)
}
