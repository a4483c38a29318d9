//! `cairn setup`: the first evening as one dialogue, from a name to a healthy cluster.
//!
//! It keeps nothing of its own. Where it goes on is told from what is there: the cluster file in this folder,
//! the manager, and what the manager says of the machines. So it may be left at any question and run again.

mod keep;
mod machine;

use crate::client::{Client, Connection};
use crate::progress::Board;
use crate::{consent, private, say};
use anyhow::{Result, bail};
use cairn_manager::api::{OpenRequest, OpenState, Status};
use cairn_model::secret::Secret;
use cairn_vault::file::{MOST_BYTES, Sealed};
use keep::Kept;
use machine::Step;
use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const AGAIN: Duration = Duration::from_secs(1);

/// Arguments of `cairn setup`.
#[derive(Debug, clap::Args)]
pub struct SetupArguments {
    /// The cluster file to go on with, or where to put the new one; NAME.cairn when left out
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// # Errors
/// When there is nobody to ask, or what is in the way of the next step.
pub fn run(arguments: &SetupArguments) -> Result<ExitCode> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "`cairn setup` asks questions, and standard input is no terminal; in a script use `cairn file new`, `cairn manager` and `cairn node approve`"
        );
    }
    say!("Ctrl-C leaves at any time; `cairn setup` goes on from there.\n")?;
    open(arguments)?;
    let client = arguments.connection.open()?;
    bring_up(&client)?;
    what_next(&client, &arguments.connection)?;
    Ok(ExitCode::SUCCESS)
}

/// Until the manager has a cluster file open.
fn open(arguments: &SetupArguments) -> Result<()> {
    let SetupArguments { file, connection } = arguments;
    let manager = connection.open_if_known();
    let (mut kept, mut told) = (None::<Kept>, false);
    loop {
        match manager.get::<OpenState>("open") {
            Ok(OpenState { open: true, cluster, .. }) => return go_on(cluster.as_deref(), kept.as_ref()),
            Ok(OpenState { cluster: Some(name), .. }) if kept.is_none() => {
                let passphrase = keep::typed(&format!("Passphrase of the cluster {name}: "))?;
                let request = OpenRequest { file: None, passphrase };
                if let Err(error) = manager.post("open", &request) {
                    say!("{error:#}")?;
                }
            }
            Ok(_) => {
                let kept = Kept::get_or_ask(&mut kept, file.as_deref())?;
                let passphrase = Secret::new(kept.passphrase.to_secret().expose().to_owned());
                let request = OpenRequest { file: Some(kept.sealed.as_str().to_owned()), passphrase };
                manager.post("open", &request)?;
            }
            Err(_) if kept.is_none() => drop(Kept::get_or_ask(&mut kept, file.as_deref())?),
            Err(reason) => {
                if !told {
                    let kept = Kept::get_or_ask(&mut kept, file.as_deref())?;
                    how_to_start(&kept.path, &reason)?;
                    told = true;
                }
                std::thread::sleep(AGAIN);
            }
        }
    }
}

fn go_on(open: Option<&str>, kept: Option<&Kept>) -> Result<()> {
    let open = open.unwrap_or_default();
    match kept.map(|kept| kept.sealed.cluster().as_str()) {
        Some(name) if name != open => bail!(
            "this manager has the cluster '{open}' open, and not '{name}'; stop it and start one in another folder, or name another with --manager"
        ),
        _ => say!("The manager has the cluster '{open}' open.\n"),
    }
}

fn how_to_start(file: &Path, reason: &anyhow::Error) -> Result<()> {
    let file = file.display();
    say!("\nNo manager yet: {reason:#}")?;
    say!(
        "Start it in another terminal, in this folder and as root. With a cable or switch of the machines' own,"
    )?;
    say!("that no router is plugged into (`ip link` lists the interfaces):\n")?;
    say!("    cairn manager --file {file} --cable IFACE --interface IFACE\n")?;
    say!(
        "In a home network, beside the router; without --home-network machines start from prepared media there:\n"
    )?;
    say!("    cairn manager --file {file} --home-network IFACE --interface IFACE\n")?;
    say!("Waiting for it.")
}

/// Until all that was found and approved is healthy, and the owner has no more machines.
fn bring_up(client: &Client) -> Result<()> {
    let (mut board, mut left, mut shown) = (Board::new(), BTreeSet::new(), BTreeSet::new());
    let (mut missing, mut waits_for_more) = (String::new(), false);
    hint(&client.get("status")?)?;
    loop {
        let status: Status = client.get("status")?;
        board.show(&status)?;
        for other in machine::only_told(&status) {
            if shown.insert((other.id.clone(), other.unfit.clone(), other.refused.clone())) {
                board.pause(|| machine::show(other))?;
            }
        }
        match machine::next(&status, &left) {
            Step::Ask(machine) => {
                waits_for_more = false;
                if !board.pause(|| machine::decide(client, machine, &status))? {
                    left.insert(machine.id.clone());
                }
            }
            Step::Healthy if !waits_for_more => {
                board.end();
                say!("\n{} is healthy.", status.cluster.name)?;
                if consent::ask("Wait for another machine?")? != Some(true) {
                    return Ok(());
                }
                (board, waits_for_more) = (Board::new(), true);
            }
            Step::Healthy | Step::Wait => {
                let reasons = status.unhealthy_because.join("; ");
                if reasons != missing && !reasons.is_empty() {
                    board.say(&format!("not yet: {reasons}"))?;
                }
                missing = reasons;
                std::thread::sleep(AGAIN);
            }
        }
    }
}

fn hint(status: &Status) -> Result<()> {
    if !status.network.message.is_empty() {
        say!("{}", status.network.message)?;
    }
    let free = status.nodes.iter().find(|node| !node.enrolled).map_or("etcd-1", |node| node.name.as_str());
    say!("Switch machines on that start from the network. For others, in another terminal:\n")?;
    say!("    cairn node prepare {free} --output {free}.img\n")?;
    say!("Each one that comes is shown here. Waiting.")
}

fn what_next(client: &Client, connection: &Connection) -> Result<()> {
    let status: Status = client.get("status")?;
    say!("\nWhat comes next:")?;
    if status.cluster.stored != Some(status.cluster.generation) {
        let path = PathBuf::from(format!("{}-{}.cairn", status.cluster.name, status.cluster.generation));
        if !path.exists() {
            private::create(&path, |file| {
                std::io::copy(&mut client.read("cluster-file")?.take(u64::try_from(MOST_BYTES)?), file)?;
                Ok(())
            })?;
        }
        say!(
            "  The cluster file knows your machines now. Store it again: put the text of {}",
            path.display()
        )?;
        say!("  in the place of the entry's notes, then delete the file. The passphrase stays.")?;
        let advice = Sealed::parse(&std::fs::read_to_string(&path)?)?.room().advice();
        if let Some(advice) = advice {
            say!("  {advice}")?;
        }
    }
    say!("  Put the disk first in the boot order of machines that started from the network.")?;
    say!("  The page: {}   How it is: cairn status   Kubernetes: cairn kubeconfig", connection.url())?;
    say!("  For another machine, switch it on and run `cairn setup` again.")
}
