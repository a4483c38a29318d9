//! The agent: what a node has to do, from the initrd to the running system.
//!
//! One static binary with three lives, each started by a systemd unit of the node image:
//!
//! - `cairn-agent initrd` ([`initrd`]): announces the machine, lets itself be enrolled, installs, and
//!   waits for the key of the data partition;
//! - `cairn-agent mount-root` ([`mount_root`]): puts the opened volume below the read-only root;
//! - `cairn-agent run` ([`running`]): configures and starts etcd or k3s and reports the node's state.
//!
//! It never decides about the cluster: the manager asks, and the agent answers (see `cairn-wire`). It
//! has to stay small, because it lives on machines of 512 MB beside etcd.

#![forbid(unsafe_code)]

pub mod blink;
pub mod boot;
pub mod clock;
pub mod command;
pub mod console;
pub mod files;
pub mod initrd;
pub mod inventory;
pub mod journal;
pub mod keys;
pub mod latency;
pub mod memory;
pub mod mount_root;
pub mod network;
pub mod running;
pub mod state;
pub mod vitals;
pub mod volume;
pub mod wifi;

/// Until the answer that ended this life has reached the manager: systemd stops the agent within moments.
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

/// Version of the node image, written by its build.
pub const VERSION_FILE: &str = "/etc/cairn-version";

/// The version of the running image; that of the program where no image is around it.
pub fn version() -> String {
    std::fs::read_to_string(VERSION_FILE)
        .map(|text| text.trim().to_owned())
        .unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned())
}
