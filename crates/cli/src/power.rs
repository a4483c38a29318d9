//! `cairn shutdown` and `cairn start`: the whole cluster, step by step.

use crate::client::{Client, Connection};
use crate::{consent, say};
use anyhow::{Result, bail};
use cairn_manager::api::{JobStatus, PowerResponse, Status};
use cairn_workflow::RowState;
use std::collections::BTreeMap;
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
    consent::confirm(&question, arguments.yes)?;
    begin(&client, "shutdown", arguments.detach)
}

/// # Errors
/// When the manager refuses.
pub fn start(arguments: &StartArguments) -> Result<ExitCode> {
    begin(&arguments.connection.open()?, "start", arguments.detach)
}

fn begin(client: &Client, verb: &str, detach: bool) -> Result<ExitCode> {
    let begun: PowerResponse = client.post(verb, &serde_json::json!({}))?.for_eyes()?;
    if detach {
        say!("begun: {} steps; `cairn status` shows how far it is", begun.plan.steps.len())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut told = BTreeMap::new();
    loop {
        let status: Status = client.get("status")?;
        let Some(job) = status.power else {
            bail!("the manager was restarted meanwhile and does not know how far it was; ask again");
        };
        if is_through(&job, &begun.plan.job, &mut told)? {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(AGAIN);
    }
}

fn is_through(job: &JobStatus, asked: &str, told: &mut BTreeMap<String, RowState>) -> Result<bool> {
    if job.job != asked {
        bail!("the cluster was told to {} meanwhile", job.job);
    }
    tell(job, told)?;
    if let Some(failed) = job.rows.iter().find(|row| row.state == RowState::Failed) {
        bail!("{}: {}", failed.title, failed.note.as_deref().unwrap_or("it failed"));
    }
    Ok(job.rows.iter().all(|row| row.state == RowState::Done))
}

/// One line for each step whose state is new.
fn tell(job: &JobStatus, told: &mut BTreeMap<String, RowState>) -> Result<()> {
    for row in &job.rows {
        if told.insert(row.id.clone(), row.state) == Some(row.state) {
            continue;
        }
        match row.state {
            // standard error says why it failed
            RowState::Waiting | RowState::Running | RowState::Failed => {}
            RowState::Done => say!("✓ {}", row.title)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_workflow::Row;

    fn job(states: &[RowState]) -> JobStatus {
        let row = |(number, state): (usize, &RowState)| Row {
            id: number.to_string(),
            title: format!("Power off n{number}"),
            state: *state,
            progress: None,
            note: (*state == RowState::Failed).then(|| "it is still on".to_owned()),
        };
        let rows = states.iter().enumerate().map(row).collect();
        JobStatus { job: "shut down".into(), rows, seconds_left: None }
    }

    #[test]
    fn a_failed_step_or_another_job_in_its_place_is_an_error_in_words() {
        use RowState::{Done, Failed, Running};
        let ask = |job: &JobStatus, asked: &str| {
            is_through(job, asked, &mut BTreeMap::new()).map_err(|error| error.to_string())
        };
        assert_eq!(ask(&job(&[Done, Running]), "shut down"), Ok(false));
        assert_eq!(ask(&job(&[Done, Done]), "shut down"), Ok(true));
        let failed = ask(&job(&[Done, Failed]), "shut down");
        assert_eq!(failed, Err("Power off n1: it is still on".to_owned()));
        let other = ask(&job(&[Done]), "start");
        assert_eq!(other, Err("the cluster was told to shut down meanwhile".to_owned()));
    }
}
