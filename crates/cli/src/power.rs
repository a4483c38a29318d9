//! `cairn shutdown` and `cairn start`: the whole cluster, step by step.

use crate::client::{Client, Connection};
use crate::exit;
use anyhow::{Context, Result, bail};
use cairn_manager::api::{JobStatus, PowerResponse, Status};
use cairn_workflow::RowState;
use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct ShutdownArguments {
    #[command(flatten)]
    connection: Connection,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// Return as soon as it has begun
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, clap::Args)]
pub struct StartArguments {
    #[command(flatten)]
    connection: Connection,
    /// Return as soon as it has begun
    #[arg(long)]
    detach: bool,
}

/// # Errors
/// When the manager refuses, or nobody confirms.
pub fn shut_down(arguments: &ShutdownArguments) -> Result<ExitCode> {
    let client = arguments.connection.open()?;
    let status: Status = client.get("status")?;
    let question = format!("Shut down all nodes of `{}`?", status.cluster.name);
    confirm(&question, arguments.yes)?;
    begin(&client, "shutdown", arguments.detach)
}

/// # Errors
/// When the manager refuses.
pub fn start(arguments: &StartArguments) -> Result<ExitCode> {
    begin(&arguments.connection.open()?, "start", arguments.detach)
}

/// Asks on the terminal.
///
/// # Errors
/// When the answer is no, or there is nobody to ask.
pub fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask for your consent; say --yes");
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was done"),
    }
}

fn begin(client: &Client, verb: &str, detach: bool) -> Result<ExitCode> {
    let mut answer = client.post(verb, &serde_json::json!({}))?;
    let begun: PowerResponse =
        answer.body_mut().read_json().context("the manager's answer was not understood")?;
    if detach {
        println!("begun: {} steps; `cairn status` shows how far it is", begun.plan.steps.len());
        return Ok(ExitCode::SUCCESS);
    }
    let mut told = BTreeMap::new();
    loop {
        let status: Status = client.get("status")?;
        if let Some(job) = status.power.filter(|job| job.job == begun.plan.job) {
            tell(&job, &mut told);
            if job.rows.iter().any(|row| row.state == RowState::Failed) {
                return Ok(exit::not_well());
            }
            if job.rows.iter().all(|row| row.state == RowState::Done) {
                return Ok(ExitCode::SUCCESS);
            }
        }
        std::thread::sleep(AGAIN);
    }
}

/// One line for each step whose state is new.
fn tell(job: &JobStatus, told: &mut BTreeMap<String, RowState>) {
    for row in &job.rows {
        if told.insert(row.id.clone(), row.state) == Some(row.state) {
            continue;
        }
        match (row.state, &row.note) {
            (RowState::Waiting | RowState::Running, _) => {}
            (RowState::Done, _) => println!("✓ {}", row.title),
            (RowState::Failed, note) => {
                println!("✗ {}: {}", row.title, note.as_deref().unwrap_or("it failed"));
            }
        }
    }
}
