//! The programs of the host that a lab needs, and whether they are there.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::command;
use crate::spec::Architecture;

/// Older ones crash a current kernel under TCG: 7.2 did in 7 runs of 8.
const OLDEST_QEMU: u32 = 10;

#[derive(Debug, Error)]
pub enum ToolsError {
    #[error("no {what} found; looked at: {looked}. `scripts/setup` installs it")]
    Missing { what: &'static str, looked: String },
    #[error("{} is version {found}, and the lab needs {OLDEST_QEMU} or newer. `scripts/setup` installs one", path.display())]
    TooOld { path: PathBuf, found: u32 },
    #[error("{} does not run: a library that it needs may be missing. `scripts/setup` installs them", path.display())]
    DoesNotRun { path: PathBuf, source: command::CommandError },
}

/// Where the tools are. Kept in the lab's state, so that every process uses the same ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    pub qemu: PathBuf,
    pub qemu_img: PathBuf,
    pub ovmf_code: PathBuf,
    /// With Secure Boot in it.
    pub ovmf_code_secure_boot: PathBuf,
    pub ovmf_vars: PathBuf,
    pub qemu_arm64: PathBuf,
    pub aavmf_code: PathBuf,
    pub aavmf_vars: PathBuf,
}

impl Tools {
    /// The program that plays a machine of this architecture.
    pub fn emulator(&self, architecture: Architecture) -> &Path {
        match architecture {
            Architecture::X86_64 => &self.qemu,
            Architecture::Arm64 => &self.qemu_arm64,
        }
    }

    /// Its firmware's variables at its first power-on.
    pub fn variables(&self, architecture: Architecture) -> &Path {
        match architecture {
            Architecture::X86_64 => &self.ovmf_vars,
            Architecture::Arm64 => &self.aavmf_vars,
        }
    }

    /// Looks where `scripts/setup` puts them, in the project's `.state/tools/qemu`, then in the system.
    pub fn discover(project_root: &Path) -> Result<Tools, ToolsError> {
        let root = std::path::absolute(project_root).unwrap_or_else(|_| project_root.to_owned());
        let own = Tools::at(&root.join(".state/tools/qemu"));
        let system = |file: &str| Path::new("/usr/share/OVMF").join(file);
        let arm64 = |file: &str| Path::new("/usr/share/AAVMF").join(file);
        let qemu = first("QEMU (qemu-system-x86_64)", own.qemu, in_path("qemu-system-x86_64"))?;
        let found = version(&qemu)?;
        if found < OLDEST_QEMU {
            return Err(ToolsError::TooOld { path: qemu, found });
        }
        Ok(Tools {
            qemu,
            qemu_img: first("qemu-img", own.qemu_img, in_path("qemu-img"))?,
            ovmf_code: first("UEFI firmware", own.ovmf_code, vec![system("OVMF_CODE_4M.fd")])?,
            ovmf_code_secure_boot: first(
                "UEFI firmware with Secure Boot",
                own.ovmf_code_secure_boot,
                vec![system("OVMF_CODE_4M.secboot.fd")],
            )?,
            ovmf_vars: first("UEFI variable store", own.ovmf_vars, vec![system("OVMF_VARS_4M.fd")])?,
            qemu_arm64: first("QEMU (qemu-system-aarch64)", own.qemu_arm64, in_path("qemu-system-aarch64"))?,
            aavmf_code: first(
                "arm64 UEFI firmware",
                own.aavmf_code,
                vec![arm64("AAVMF_CODE.no-secboot.fd")],
            )?,
            aavmf_vars: first("arm64 UEFI variable store", own.aavmf_vars, vec![arm64("AAVMF_VARS.fd")])?,
        })
    }

    pub(crate) fn at(folder: &Path) -> Tools {
        Tools {
            qemu: folder.join("qemu-system-x86_64"),
            qemu_img: folder.join("qemu-img"),
            ovmf_code: folder.join("OVMF_CODE.fd"),
            ovmf_code_secure_boot: folder.join("OVMF_CODE.secboot.fd"),
            ovmf_vars: folder.join("OVMF_VARS.fd"),
            qemu_arm64: folder.join("qemu-system-aarch64"),
            aavmf_code: folder.join("AAVMF_CODE.fd"),
            aavmf_vars: folder.join("AAVMF_VARS.fd"),
        }
    }
}

/// What is missing on this host for a lab, in words; empty when nothing is.
pub fn preflight(project_root: &Path) -> Vec<String> {
    let mut missing = Vec::new();
    if let Err(error) = Tools::discover(project_root) {
        missing.push(error.to_string());
    }
    let programs = [
        ("ip", "iproute2"),
        ("dnsmasq", "dnsmasq-base"),
        ("setsid", "util-linux"),
        ("sh", "dash"),
        ("umount", "mount"),
        ("cp", "coreutils"),
    ];
    for (program, package) in programs {
        if in_path(program).iter().all(|path| !path.exists()) {
            missing.push(format!("the program {program} is not installed (Debian's package {package})"));
        }
    }
    if !rustix::process::geteuid().is_root() {
        missing.push("a lab makes network namespaces, which only root may do: run it as root".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        missing.push("there is no /dev/net/tun: load the kernel module tun".to_owned());
    }
    missing
}

fn in_path(program: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    dirs.map(|dir| dir.join(program)).collect()
}

fn first(what: &'static str, own: PathBuf, others: Vec<PathBuf>) -> Result<PathBuf, ToolsError> {
    let candidates: Vec<PathBuf> = std::iter::once(own).chain(others).collect();
    candidates.iter().find(|path| path.is_file()).cloned().ok_or_else(|| ToolsError::Missing {
        what,
        looked: candidates.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

fn version(qemu: &Path) -> Result<u32, ToolsError> {
    let text = command::run(Command::new(qemu).arg("--version"))
        .map_err(|source| ToolsError::DoesNotRun { path: qemu.to_owned(), source })?;
    Ok(major(&text))
}

fn major(text: &str) -> u32 {
    let number = text.split("version ").nth(1).unwrap_or_default();
    number.split('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_qemu_prints() {
        assert_eq!(major("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright"), 10);
        assert_eq!(major("QEMU emulator version 7.2.15"), 7);
        assert_eq!(major("something else"), 0);
    }

    #[test]
    fn a_missing_tool_says_where_it_was_looked_for() {
        let error = first("QEMU", "/no/such/file".into(), Vec::new()).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"));
    }
}
