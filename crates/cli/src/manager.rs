//! `cairn manager`: from arguments to the manager's options.

use crate::exit;
use crate::passphrase::PassphraseArguments;
use anyhow::{Context, Result};
use cairn_manager::{Cable, Listen, Options};
use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// The manager's working directory, unless told otherwise.
pub const WORK: &str = "cairn-work";

/// Arguments of `cairn manager`.
#[derive(Debug, clap::Args)]
pub struct ManagerArguments {
    /// The cluster file; it is read and never written. Without it the page asks for one
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArguments,
    /// Where the manager keeps its sealed working copy, its journal and the session token
    #[arg(long, value_name = "DIR", default_value = WORK)]
    work: PathBuf,
    /// Where on this machine's loopback the page is served
    #[arg(long, value_name = "ADDRESS", default_value_t = Listen::DEFAULT)]
    listen: SocketAddr,
    /// The node image
    #[arg(long, value_name = "DIR", default_value = ".state/image")]
    image: PathBuf,
    /// Serve network boot on this interface, as the only DHCP server of a cable of its own
    #[arg(long, value_name = "INTERFACE")]
    cable: Option<String>,
    /// The manager's address on the cable; machines get addresses of the same /24
    #[arg(long, value_name = "ADDRESS", requires = "cable")]
    cable_address: Option<Ipv4Addr>,
    /// Give this interface the manager's address in the cluster's network
    #[arg(long = "interface", value_name = "INTERFACE")]
    interfaces: Vec<String>,
    /// Where machines fetch the system from when not over the cable, such as http://192.168.1.5:4280
    #[arg(long, value_name = "URL")]
    image_url: Option<String>,
}

/// Runs until it is told to stop.
///
/// # Errors
/// What keeps it from starting.
pub fn run(arguments: ManagerArguments) -> Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(false).init();
    // Before there are other threads.
    cairn_manager::claim_rights(arguments.cable.as_deref(), &arguments.interfaces)?;
    // Without a terminal the page asks for it, and without a cluster file too.
    let passphrase = match (arguments.passphrase.given()?, &arguments.file) {
        (None, Some(file)) if std::io::stdin().is_terminal() => Some(arguments.passphrase.get(file)?),
        (given, _) => given,
    };
    let cable = arguments.cable.map(|interface| {
        let usual = Cable::new(interface);
        Cable { address: arguments.cable_address.unwrap_or(usual.address), ..usual }
    });
    let options = Options {
        cluster_file: arguments.file,
        passphrase,
        work_dir: arguments.work,
        listen: Listen::inherited_or(arguments.listen)?,
        image_dir: arguments.image,
        cable,
        interfaces: arguments.interfaces,
        image_url: arguments.image_url,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = cairn_manager::run(options) => ended.map(|()| ExitCode::SUCCESS).context("the manager stopped"),
            told = told_to_stop() => told,
        }
    });
    // Nothing that it does needs an end: all of it may be cut off at any moment.
    runtime.shutdown_background();
    ended
}

/// In a container the manager is process 1, which no signal ends that it does not wait for.
async fn told_to_stop() -> Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if ignores_interrupts(&status) {
        terminate.recv().await;
        return Ok(ExitCode::SUCCESS);
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => ExitCode::SUCCESS,
        _ = interrupt.recv() => exit::interrupted(),
    })
}

/// A shell begins so what it runs in its background: Ctrl-C is for what runs in front. By proc_pid_status(5).
fn ignores_interrupts(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 0b10 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_is_left_to_what_runs_in_front() {
        let status =
            |mask: &str| format!("SigBlk:\t0000000000000000\nSigIgn:\t{mask}\nSigCgt:\t0000000000000002\n");
        assert!(ignores_interrupts(&status("0000000000000006")));
        assert!(!ignores_interrupts(&status("0000000000001004")));
        assert!(!ignores_interrupts(""));
    }
}
