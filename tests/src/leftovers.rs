//! What a lab must not leave behind: processes, namespaces, mounts, loop devices.

use cairn_lab::Namespace;
use std::fs;
use std::path::Path;

/// Everything on this host that still belongs to a lab in `state`, in words.
pub fn of(state: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let namespace = Namespace::of(state);
    if namespace.exists() {
        found.push(format!("the network namespace {}", namespace.name()));
    }
    let name = state.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    found.extend(
        mounts.lines().filter(|line| line.contains(&*name)).map(|line| format!("the mount `{line}`")),
    );
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let backing = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if backing.contains(&*name) {
            found.push(format!("the loop device {}", entry.file_name().to_string_lossy()));
        }
    }
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid.parse::<u32>().is_ok_and(|pid| pid != std::process::id()) && uses(&entry.path(), state) {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(format!("process {pid} ({})", String::from_utf8_lossy(&command).replace('\0', " ")));
        }
    }
    found
}

/// Whether a process names the directory on its command line or works in it.
fn uses(process: &Path, state: &Path) -> bool {
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    let named = String::from_utf8_lossy(&command).split('\0').any(|word| Path::new(word).starts_with(state));
    named || fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(state))
}
