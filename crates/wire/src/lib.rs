//! What manager, agent and operator say to each other, and how they find and trust each other.
//!
//! A node announces itself ([`announce`], mDNS) and listens; the manager dials it ([`client`],
//! [`server`]) over TLS 1.3 with a certificate on both sides ([`tls`]). A machine that nobody knows yet
//! is known by the fingerprint of its key alone, and the short code of [`code`] lets the owner see that
//! nobody stands in between. The messages are in [`message`].
//!
//! This crate decides nothing about clusters: who is approved, what a node gets and when it is
//! unlocked is the business of its users.

#![forbid(unsafe_code)]

pub mod announce;
pub mod client;
pub mod code;
pub mod fingerprint;
mod frame;
pub mod message;
pub mod server;
pub mod tls;

pub use cairn_model::cluster::Fingerprint;

/// Where an agent listens.
pub const AGENT_PORT: u16 = 4210;
