//! The vocabulary of Cairn: clusters, nodes, machines, phases.
//!
//! No I/O, no clock, no async: everything here can be built, compared and serialised in a unit test.
//! Start with [`cluster`], which is what the cluster file holds; [`inventory`] is what a machine is
//! made of, [`phase`] where it stands, [`log`] what it wrote down, and [`text`] what makes its words fit
//! to be shown.

#![forbid(unsafe_code)]

pub mod address;
pub mod cluster;
pub mod etcd;
pub mod inventory;
pub mod log;
pub mod node_config;
pub mod phase;
pub mod secret;
pub mod static_address;
pub mod text;
pub mod vitals;
pub mod wifi;
