//! The end-to-end scenarios: the lab, driven as an owner drives it, by the `cairn` program and by cutting power.
//!
//! `cairn-scenarios test [FILTER]` runs them one after another on one lab in `.state/scenarios`, `bench` measures,
//! `hundred` only a manager with many nodes, `arm64` brings up a cluster with arm64 machines, `raspberry-pi` an etcd on a
//! Raspberry Pi, `wi-fi` one without a cable, `soak` repeats. It is run from the project's root, where `.state/tools` and
//! `.state/image` are; the `cairn` program is found beside this one, or named by `CAIRN_BIN`. `--keep` takes over a
//! healthy lab that an earlier run left and leaves its own.
//!
//! Start reading at [`scenarios::ALL`], the list; [`runner`] says in which order and on which lab they run, and
//! [`world`] is what a scenario has at hand.

mod apart;
mod arm64;
mod bench;
mod browser;
mod cards;
mod command;
mod devices;
mod disk;
mod docker;
mod evidence;
mod figures;
mod firmware;
mod hundred;
mod leftovers;
mod load;
mod raspberry_pi;
mod runner;
mod scan;
mod scenarios;
mod soak;
mod terminal;
mod up;
mod wireless;
mod world;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "usage: cairn-scenarios test [FILTER] [--keep] | bench | hundred [NODES] | arm64 [SECONDS] | raspberry-pi | wi-fi | soak [TIMES]";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cairn-scenarios: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let keep = words.iter().any(|word| word == "--keep");
    words.retain(|word| word != "--keep");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => runner::test("", keep),
        ["test", filter] => runner::test(filter, keep),
        ["bench"] => bench::run(),
        ["soak"] => soak::run(20),
        ["soak", times] => soak::run(times.parse()?),
        ["arm64"] => arm64::run(arm64::LOAD_SECONDS),
        ["arm64", seconds] => arm64::run(seconds.parse()?),
        [raspberry_pi::COMMAND] => raspberry_pi::run(),
        [wireless::COMMAND] => wireless::run(),
        [hundred::COMMAND] => hundred::run(hundred::NODES),
        [hundred::COMMAND, nodes] => hundred::run(nodes.parse()?),
        // Calls itself inside the lab's network.
        [scenarios::phone::COMMAND, cairn] => scenarios::phone::run(cairn.as_ref()),
        [load::COMMAND, folder, seconds, endpoints @ ..] => {
            load::run(folder.as_ref(), seconds.parse()?, endpoints)
        }
        [scan::COMMAND, address] => scan::run(address.parse()?),
        _ => bail!(USAGE),
    }
}
