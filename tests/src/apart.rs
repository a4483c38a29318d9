//! This program once more, in a network of its own.

use anyhow::Result;
use std::process::Command;

/// Calls this program with these words inside new namespaces: nothing of the host's network is there, and what it
/// leaves running ends with it.
///
/// # Errors
/// When this program can't find itself.
pub fn command() -> Result<Command> {
    // what the kernel tells below /sys is of the namespace that mounted it
    let script = r#"mount -t sysfs sysfs /sys && exec "$0" "$@""#;
    let mut inside = Command::new("unshare");
    inside.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script]);
    inside.arg(std::env::current_exe()?);
    Ok(inside)
}

/// `ip` with these words.
///
/// # Errors
/// What it said.
pub fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output()?;
    anyhow::ensure!(
        output.status.success(),
        "`ip {}` failed: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
