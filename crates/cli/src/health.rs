//! `cairn health`: the health check of the manager's container, which has no other program to ask with.

use crate::client::{Connection, answers};
use anyhow::Result;

/// Arguments of `cairn health`.
#[derive(Debug, clap::Args)]
pub struct HealthArguments {
    #[command(flatten)]
    connection: Connection,
}

/// # Errors
/// When the manager does not answer, or not well.
pub fn run(arguments: &HealthArguments) -> Result<()> {
    answers(arguments.connection.url())
}
