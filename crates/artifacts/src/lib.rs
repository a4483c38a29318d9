//! What comes from outside the node image: pinned by version and checksum, fetched once, kept by content.
//!
//! Which files these are, from where and with which checksums is in `artifacts.toml` ([`pins`]). They lie
//! in a folder under the names of their checksums ([`store`]), come there from upstream ([`pull`]) or
//! from a folder that the owner carried over ([`import`]), and a pin's checksum comes from upstream's own
//! checksum file ([`lock`]). Nothing is believed but the checksum: not a server, not a file's name, not
//! what was kept from a download that broke off.
//!
//! It knows nothing of clusters and serves nothing. Without the feature `store` it is only [`fetch`]: how
//! a node gets a file whose checksum it was told.
//!
//! Start reading at [`fetch::fetch`], then [`pins`].

#![forbid(unsafe_code)]

pub mod client;
pub mod fetch;
mod part;
pub mod sum;

#[cfg(feature = "store")]
pub mod checksums;
#[cfg(feature = "store")]
pub mod import;
#[cfg(feature = "store")]
pub mod lock;
#[cfg(feature = "store")]
pub mod pins;
#[cfg(feature = "store")]
pub mod pull;
#[cfg(feature = "store")]
pub mod store;

pub use client::{Client, Patience};
pub use fetch::{FetchError, Told, Want, fetch};
pub use sum::Sum;

#[cfg(feature = "store")]
pub use pins::{Arch, Pin, Pins};
#[cfg(feature = "store")]
pub use store::Store;
