//! A read-only TFTP server over a fixed map of files.
//!
//! [`packet`] reads and writes packets, [`window`] decides what to send, [`server`] takes requests and
//! [`transfer`] carries one file, [`blocks`] reads it and [`burst`] sends it. The crate `async-tftp` was looked
//! at first: it brings a second async runtime, goes on for five minutes after a client's abort, has no bound on
//! transfers or on the memory of one (window times block size), and restarts nothing on a repeated request.

mod blocks;
mod burst;
pub mod packet;
pub(crate) mod server;
mod transfer;
pub mod window;
