//! What a person needs who reads that a scenario failed: the last words of everybody.

use crate::command::last_lines;
use crate::world::World;
use std::fs;

const CONSOLE_LINES: usize = 12;
const LOG_LINES: usize = 25;

/// The end of all consoles and of the manager's log, indented.
pub fn of(world: &World) -> String {
    let mut text = String::new();
    let mut add = |title: &str, bytes: &[u8], lines: usize| {
        text.push_str(&format!("  --- {title}\n"));
        for line in last_lines(bytes, lines).lines() {
            text.push_str(&format!("    {line}\n"));
        }
    };
    let mut machines: Vec<_> =
        fs::read_dir(world.state.join("machines")).into_iter().flatten().flatten().collect();
    machines.sort_by_key(fs::DirEntry::file_name);
    for machine in machines {
        let console = fs::read(machine.path().join("console.log")).unwrap_or_default();
        add(&format!("console of {}", machine.file_name().to_string_lossy()), &console, CONSOLE_LINES);
    }
    let log = fs::read(world.state.join("processes/manager.log")).unwrap_or_default();
    add("the manager", &log, LOG_LINES);
    text
}

fn folder(world: &World) -> std::path::PathBuf {
    world.state.with_file_name("scenarios-failed")
}

/// Removes what earlier runs kept.
pub fn forget(world: &World) {
    let _ = fs::remove_dir_all(folder(world));
}

/// Keeps the whole logs outside the lab, which goes on or away.
pub fn keep(world: &World, number: usize) -> Option<std::path::PathBuf> {
    let folder = folder(world).join(number.to_string());
    fs::create_dir_all(&folder).ok()?;
    for machine in fs::read_dir(world.state.join("machines")).into_iter().flatten().flatten() {
        let name = format!("{}.console", machine.file_name().to_string_lossy());
        let _ = fs::copy(machine.path().join("console.log"), folder.join(name));
    }
    let _ = fs::copy(world.state.join("processes/manager.log"), folder.join("manager.log"));
    Some(folder)
}
