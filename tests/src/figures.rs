//! What was measured, and the table of it.

use crate::command;
use anyhow::Result;
use cairn_lab::{Accel, Tools};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// In the order in which they were taken.
#[derive(Debug, Default)]
pub struct Figures {
    rows: Vec<(String, String, &'static str)>,
}

impl Figures {
    /// The newest value of a name stands.
    pub fn set(&mut self, name: &str, value: String, aim: &'static str) {
        match self.rows.iter_mut().find(|(known, ..)| known == name) {
            Some(row) => *row = (name.to_owned(), value, aim),
            None => self.rows.push((name.to_owned(), value, aim)),
        }
    }

    pub fn time(&mut self, name: &str, took: Duration, aim: &'static str) {
        self.set(name, format!("{:.0} s", took.as_secs_f64()), aim);
    }

    pub fn size(&mut self, name: &str, bytes: u64, aim: &'static str) {
        let tenths = bytes / 100_000;
        self.set(name, format!("{}.{} MB", tenths / 10, tenths % 10), aim);
    }

    pub fn table(&self) -> String {
        let mut text = "| what | measured | aim |\n|---|---|---|\n".to_owned();
        for (name, value, aim) in &self.rows {
            text.push_str(&format!("| {name} | {value} | {aim} |\n"));
        }
        text
    }

    /// Sizes of what is built.
    pub fn sizes(&mut self, cairn: &Path) {
        let size = |path: &Path| std::fs::metadata(path).map(|meta| meta.len()).ok();
        let image = Path::new(".state/image");
        let parts = [
            ("node image: UKI (`cairn.efi`)", image.join("cairn.efi"), "60 MB"),
            ("node image: root (`root.erofs`)", image.join("root.erofs"), "350 MB"),
            ("node image: verity tree (`root.verity`)", image.join("root.verity"), ""),
            ("`cairn` (static): the manager's container without the node image", cairn.to_owned(), "40 MB"),
        ];
        for (name, path, aim) in parts {
            if let Some(bytes) = size(&path) {
                self.size(name, bytes, aim);
            }
        }
        let target = cairn.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
        let agent =
            target.join(format!("static/{}-unknown-linux-gnu/small/cairn-agent", std::env::consts::ARCH));
        if let Some(bytes) = size(&agent) {
            self.size("`cairn-agent` (static)", bytes, "");
        }
        let container = size(Path::new(".state/container/cairn-manager.tar"));
        if let Some(bytes) = container {
            self.size("the manager's container, node image included", bytes, "");
        }
    }
}

/// The machine on which it was measured, in one line.
pub fn host(scratch: &Path) -> Result<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = field(&read("/proc/cpuinfo"), "model name");
    let memory: u64 =
        field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let tools = Tools::discover(&std::env::current_dir()?)?;
    let accel = match Accel::detect(&tools) {
        Accel::Kvm => "KVM",
        Accel::Tcg => "without hardware virtualisation (TCG)",
    };
    let answer = command::run(Command::new(tools.qemu).arg("--version"), scratch, Duration::from_secs(30))?;
    let qemu = answer.text().lines().next().unwrap_or_default().to_owned();
    Ok(format!(
        "{cores} cores of {cpu}, {} GiB, Linux {}, {qemu}, {accel}",
        memory / (1 << 20),
        kernel.trim()
    ))
}
