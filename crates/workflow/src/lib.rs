//! Plans, steps and events: how every long job of Cairn is described, reported and shown.
//!
//! A job is a [`Plan`] (an ordered list of steps that is complete before the first one runs) and an
//! execution that reports numbered [`Event`]s into an [`EventLog`]. The web page, the command line's
//! progress bars, the API and the tests all read the same events; [`rows`] turns them into what a
//! person sees.
//!
//! This crate runs nothing by itself and does no I/O. Start with [`plan`], then [`log`].

#![forbid(unsafe_code)]

pub mod event;
pub mod log;
pub mod plan;
pub mod rows;

pub use event::{Event, What};
pub use log::EventLog;
pub use plan::{Plan, Step};
pub use rows::{Row, RowState, rows};
