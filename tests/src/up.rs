//! `cairn lab up`, watched: when each machine reached which phase.

use crate::command::{self, last_lines};
use crate::world::World;
use anyhow::{Result, bail};
use cairn_lab::MachineSpec;
use cairn_manager::api::Status;
use cairn_model::phase::Phase;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime};

const POLL: Duration = Duration::from_secs(1);

/// When a machine was first seen in a phase.
#[derive(Default)]
pub struct Timeline {
    seen: BTreeMap<(String, Phase), SystemTime>,
    switched_on: BTreeMap<String, SystemTime>,
    took: Duration,
}

impl Timeline {
    fn look(&mut self, world: &World, status: &Status) {
        let now = SystemTime::now();
        let mut saw = |name: &str, phase| {
            self.seen.entry((name.to_owned(), phase)).or_insert(now);
        };
        status.nodes.iter().for_each(|node| saw(&node.name, node.phase));
        for machine in &status.machines {
            let interfaces = machine.inventory.iter().flat_map(|inventory| &inventory.interfaces);
            for name in ["compute-1", "compute-2", "compute-3"] {
                if interfaces.clone().any(|it| it.mac == MachineSpec::netboot(name, 1).mac()) {
                    saw(name, machine.phase);
                }
            }
        }
        for entry in std::fs::read_dir(world.state.join("machines")).into_iter().flatten().flatten() {
            if let Ok(at) = std::fs::metadata(entry.path().join("pid")).and_then(|meta| meta.modified()) {
                self.switched_on.insert(entry.file_name().to_string_lossy().into_owned(), at);
            }
        }
    }

    fn at(&self, node: &str, phases: &[Phase]) -> Option<SystemTime> {
        phases.iter().filter_map(|phase| self.seen.get(&(node.to_owned(), *phase))).min().copied()
    }

    /// Fills in what `lab up` tells by itself.
    pub fn figures(&self, world: &World) {
        let mut figures = world.figures.borrow_mut();
        figures.time("`lab up`, 3 etcd nodes and a compute node", self.took, "8 min");
        let mut between = |name: &str, from: Option<SystemTime>, to: Option<SystemTime>| {
            if let Some(took) = from.zip(to).and_then(|(from, to)| to.duration_since(from).ok()) {
                figures.time(name, took, "");
            }
        };
        let on = |node: &str| self.switched_on.get(node).copied();
        let installed = [Phase::Restarting, Phase::Locked, Phase::Starting, Phase::Running];
        between(
            "power-on to discovered (netboot, four machines at once)",
            on("compute-1"),
            self.at("compute-1", &[Phase::Discovered]),
        );
        for node in ["compute-1", "etcd-1"] {
            let approved = self.at(node, &[Phase::Installing]);
            between(&format!("approval to installed ({node})"), approved, self.at(node, &installed));
        }
        between(
            "power-on to running, installation included (etcd-1)",
            on("etcd-1"),
            self.at("etcd-1", &[Phase::Running]),
        );
    }
}

/// Of etcd-3, on its medium.
pub const STATIC_ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 30, 77, 250);

/// The lab of the scenarios, up to healthy.
///
/// # Errors
/// With the last words of `cairn lab up`.
pub fn up(world: &World, limit: Duration) -> Result<Timeline> {
    let arguments = ["up", "--detach", "--clock", "1970-01-01", "--uninjected", "etcd-3", "--etcd", "3"];
    let mut command = world.lab_command(&arguments);
    command.args(["--address", &format!("etcd-3={STATIC_ADDRESS}/24")]);
    command.args(["--compute", "1", "--spare-compute", "3"]);
    let began = Instant::now();
    let mut running = command::start(&mut command, &world.scratch)?;
    let mut timeline = Timeline::default();
    loop {
        if let Some(answer) = running.ended()? {
            let _ = std::fs::write(world.scratch.join("lab-up.log"), answer.words());
            timeline.took = began.elapsed();
            if answer.is_ok() {
                return Ok(timeline);
            }
            let words = [answer.stdout, answer.stderr].concat();
            bail!("`cairn lab up` failed with {}: {}", answer.code, last_lines(&words, 15));
        }
        if began.elapsed() > limit {
            bail!("`cairn lab up` took more than {} s; its last words: {}", limit.as_secs(), running.kill()?);
        }
        if world.state.join("manager/work/token").exists()
            && let Ok(status) = world.status()
        {
            timeline.look(world, &status);
        }
        std::thread::sleep(POLL);
    }
}
