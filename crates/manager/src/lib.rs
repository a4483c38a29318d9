//! The manager: "node 0", the process that opens the cluster file and makes a cluster of machines.
//!
//! It hears machines announce themselves, dials them, lets the owner compare a short code and approve,
//! installs, unlocks and watches them, and shows all of it on a web page and an HTTP API. It is not
//! part of the cluster: a running cluster goes on without it, and everything that it knows can be made
//! again from the cluster file and from what the machines themselves say.
//!
//! It does no work on a node (the agent does) and keeps no secret but the cluster file's.
//!
//! Start reading at [`decide`], a pure function from what is known about one machine to the next thing
//! to do with it; `dial` carries out what it says, one task per machine. [`lineage`], [`approve`],
//! [`join`] and [`health`] are the other decisions. [`run`] puts it all together, [`api`] holds the
//! types of the HTTP API.

#![forbid(unsafe_code)]

pub mod api;
pub mod approve;
mod artifacts;
mod book;
mod check;
mod clock;
pub mod copies;
mod core;
pub mod decide;
pub mod description;
mod dial;
mod door;
mod enrol;
mod etcd;
mod feed;
mod follow;
mod front;
pub mod health;
mod image;
mod jobs;
pub mod join;
pub mod journal;
pub mod keep;
mod lan;
pub mod lineage;
mod media;
mod network;
mod next_boot;
mod open;
mod options;
mod order;
mod pace;
#[cfg(test)]
mod path_tests;
mod patience;
mod power;
mod qr;
mod question;
pub mod registry;
mod run;
mod seek;
mod session;
#[cfg(test)]
mod simulation;
mod site;
mod status;
mod suit;
mod token;
mod unlock;
mod web;
mod workdir;

pub use lan::{Lan, LanStatus};
pub use network::{RightsError, claim_rights};
pub use options::{Listen, ManagerError, Netboot, Options, Wish};
pub use qr::for_terminal as qr_for_terminal;
pub use run::run;
#[cfg(feature = "preview")]
pub use web::preview;
