//! Whether the host can run machines in hardware.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tools::Tools;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accel {
    Kvm,
    Tcg,
}

impl Accel {
    /// KVM only when it is proven: `/dev/kvm` can exist and open, and a guest still hang at its first instruction.
    pub fn detect(tools: &Tools) -> Accel {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let possible = Path::new("/dev/kvm").exists() && has_virtualisation(&cpu);
        if possible && trial_guest_runs(tools, "kvm") { Accel::Kvm } else { Accel::Tcg }
    }
}

fn has_virtualisation(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().filter(|line| line.starts_with("flags")).flat_map(str::split_whitespace);
    flags.into_iter().any(|flag| flag == "vmx" || flag == "svm")
}

/// Starts a machine with nothing but its firmware, which writes to its debug port as soon as it runs.
fn trial_guest_runs(tools: &Tools, accel: &str) -> bool {
    let mut command = Command::new(&tools.qemu);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", accel]);
    command.args([
        "-m",
        "64",
        "-chardev",
        "stdio,id=debug",
        "-device",
        "isa-debugcon,iobase=0x402,chardev=debug",
    ]);
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = spawned else { return false };
    let Some(mut output) = child.stdout.take() else { return false };
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut first = [0; 1];
        let spoke = std::io::Read::read_exact(&mut output, &mut first).is_ok();
        let _ = sender.send(spoke);
    });
    let spoke = receiver.recv_timeout(Duration::from_secs(5)).unwrap_or(false);
    let _ = child.kill();
    let _ = child.wait();
    spoke
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trial_guest_speaks_where_it_runs_and_not_where_it_can_not() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tools = Tools::discover(&root).unwrap();
        assert!(trial_guest_runs(&tools, "tcg"));
        assert!(!trial_guest_runs(&tools, "no-such-accelerator"));
    }

    #[test]
    fn a_cpu_without_the_flag_has_no_virtualisation_even_if_its_name_has() {
        assert!(has_virtualisation("processor: 0\nflags\t\t: fpu vmx sse\n"));
        assert!(has_virtualisation("flags : svm"));
        assert!(!has_virtualisation("model name : vmx svm\nflags : fpu sse svm_lock"));
        assert!(!has_virtualisation(""));
    }
}
