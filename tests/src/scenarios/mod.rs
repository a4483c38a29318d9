//! The scenarios, in an order in which each finds what it needs without waiting.

mod container;
mod crash_install;
mod encryption;
pub mod etcd;
pub mod formation;
mod join_key;
mod moving;
mod owner;
pub mod phone;
mod secure_boot;
mod shutdown;
pub mod stranger;
mod teardown;
mod terminal;
mod uninjected;
pub mod unlocking;
mod waiting;

use crate::world::World;
use anyhow::Result;

/// On what a scenario begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing at all in the state directory.
    Empty,
    /// The lab's cluster, healthy.
    Healthy,
    /// Whatever is there.
    Nothing,
}

pub struct Scenario {
    /// The sentence that it proves.
    pub name: &'static str,
    pub needs: Needs,
    /// Until when it has to be through: for what hangs, about four times what it takes.
    pub seconds: u64,
    pub run: fn(&World) -> Result<()>,
    /// Too long for every change: it is run when its name is asked for, as `make soak` does.
    pub seldom: bool,
}

const fn on_healthy(name: &'static str, seconds: u64, run: fn(&World) -> Result<()>) -> Scenario {
    Scenario { name, needs: Needs::Healthy, seconds, run, seldom: false }
}

/// The first one makes the lab on which the others run.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "four machines with empty disks and clocks of 1970 become a healthy cluster",
        needs: Needs::Empty,
        seconds: 1200,
        run: formation::machines_become_a_cluster,
        seldom: false,
    },
    on_healthy(
        "a checkpoint of the cluster is saved, and restored it is healthy",
        480,
        formation::checkpoint,
    ),
    on_healthy("all three members of etcd are healthy and hold the same key", 180, etcd::members),
    on_healthy("etcd refuses who has no certificate or one of another CA", 120, etcd::strangers),
    on_healthy("a marker file is nowhere on the raw disk of an encrypted node", 180, encryption::marker),
    on_healthy(
        "the recovery key from the first day's cluster file opens a data partition, another key does not",
        240,
        encryption::recovery_key,
    ),
    on_healthy(
        "a machine without the lab's injection listens on no port but its own",
        240,
        uninjected::listens,
    ),
    on_healthy(
        "a node that was power-cut comes back locked and the manager unlocks it",
        480,
        unlocking::power_cut,
    ),
    on_healthy(
        "ten power cuts without a manager change nothing, the recovery key typed at the console unlocks, and the other members say what time it is",
        1200,
        waiting::ten_power_cuts,
    ),
    on_healthy(
        "with an old cluster file the cluster is shut down in the order of its roles and started again, at a terminal",
        600,
        shutdown::and_start,
    ),
    on_healthy("a machine that was not approved gets nothing", 480, stranger::gets_nothing),
    on_healthy(
        "a machine with Secure Boot on starts what its cluster has signed, and nothing when it trusts somebody else",
        600,
        secure_boot::decides,
    ),
    on_healthy(
        "a manager that is killed in the middle of an installation goes on with it when started again",
        840,
        crash_install::same_directory,
    ),
    Scenario {
        seldom: true,
        ..on_healthy(
            "a manager that lost its working directory in the middle of an installation brings it to an end",
            960,
            crash_install::empty_directory,
        )
    },
    on_healthy("a join key that was used is refused", 360, join_key::used),
    on_healthy(
        "the manager in its container, without root, finds a machine, installs it and unlocks it",
        900,
        container::brings_a_machine_up,
    ),
    on_healthy(
        "machines and manager move to a network with another router and are healthy there",
        600,
        moving::home,
    ),
    Scenario {
        name: "an owner goes her whole way in a browser: begin, keep, approve, watch, shut down, start",
        needs: Needs::Empty,
        seconds: 1500,
        run: owner::whole_way,
        seldom: false,
    },
    Scenario {
        name: "an owner at a terminal goes from nothing to a healthy cluster, with machines from the network, from a card and by an installer stick",
        needs: Needs::Empty,
        seconds: 1500,
        run: terminal::whole_way,
        seldom: false,
    },
    Scenario {
        name: "a phone is warned, shows the fingerprint that the page shows, and opens the page by HTTPS",
        needs: Needs::Nothing,
        seconds: 300,
        run: phone::compares_and_goes_on,
        seldom: false,
    },
    Scenario {
        name: "what a killed lab left is cleared by the next one and by `lab down`",
        needs: Needs::Nothing,
        seconds: 360,
        run: teardown::after_a_crash,
        seldom: false,
    },
];
