//! The cluster's secrets: the sealed file that holds their one seed, and everything derived from it.
//!
//! It seals and opens the cluster file, derives keys and passwords, issues certificates and signs the
//! roster. It does not speak to anyone, knows no clock (time is an argument) and decides nothing about who
//! may join: its callers do.
//!
//! Start with [`file::ClusterFile`], which gives a [`Keyring`]; what a node needs of it is [`key`], [`join`]
//! and [`roster`].

#![forbid(unsafe_code)]

pub mod authority;
mod derive;
#[cfg(feature = "file")]
pub mod file;
pub mod join;
pub mod key;
pub mod keyring;
pub mod leaf;
pub mod recovery;
pub mod roster;
pub mod seed;

pub use authority::{Authority, IssueError, Issued};
pub use key::{KeyError, PrivateKey, SigningRequest, fingerprint_of};
pub use keyring::Keyring;
pub use leaf::{EtcdUser, Leaf};
pub use recovery::RecoveryKey;
pub use roster::{RosterError, SignedRoster};
pub use seed::{RandomError, RootSeed};
