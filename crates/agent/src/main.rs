//! `cairn-agent`: see the library.

use anyhow::{Result, bail};
use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_target(false).with_ansi(false).without_time().init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cairn_agent::console::say(&format!("stopped: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("initrd"), None) => cairn_agent::initrd::run(),
        (Some("mount-root"), None) => cairn_agent::mount_root::run(),
        (Some("run"), None) => cairn_agent::running::run(),
        (Some("--version"), None) => {
            println!("cairn-agent {}", cairn_agent::version());
            Ok(())
        }
        _ => {
            bail!("usage: cairn-agent initrd|mount-root|run|--version (started by the node's systemd units)")
        }
    }
}
