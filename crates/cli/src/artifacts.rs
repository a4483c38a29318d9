//! `cairn artifacts`: what comes from outside the node image, fetched, carried over, listed and locked.

use crate::manager::WORK;
use crate::progress::follow;
use crate::{exit, note, out, say};
use anyhow::{Context, Result, bail};
use cairn_artifacts::client::{Client, Patience};
use cairn_artifacts::pull::{self, Item, Listed};
use cairn_artifacts::store::State;
use cairn_artifacts::{Arch, FetchError, Pin, Pins, Store, import, lock};
use cairn_workflow::EventLog;
use cairn_workflow::log::chain;
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum ArtifactsCommand {
    /// Fetch what is missing; goes on where an earlier run ended
    Pull {
        #[command(flatten)]
        choice: Choice,
    },
    /// What is wanted, and what of it is there
    List {
        #[command(flatten)]
        choice: Choice,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take files that were carried over: found by their checksums, whatever they are called
    Import {
        folder: PathBuf,
        #[command(flatten)]
        choice: Choice,
    },
    /// Write upstream's checksums into artifacts.toml
    Lock {
        #[command(flatten)]
        place: Place,
    },
}

/// Where artifacts and their pins are.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// Where they are kept: `artifacts` in the manager's working directory
    #[arg(long, value_name = "DIR", default_value_os_t = Path::new(WORK).join("artifacts"))]
    store: PathBuf,
    /// The pins; else `artifacts.toml` in the store, else those that this program was built with
    #[arg(long, value_name = "FILE")]
    pins: Option<PathBuf>,
}

/// Which artifacts.
#[derive(Clone, Debug, clap::Args)]
pub struct Choice {
    /// Only those of this name, such as k3s
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Only those for this architecture: amd64 or arm64
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    #[command(flatten)]
    place: Place,
}

impl Place {
    fn open(&self) -> Result<(Store, Pins)> {
        let store = Store::open(&self.store)?;
        let pins = match &self.pins {
            Some(path) => Pins::load(path)?,
            None => store.pins()?,
        };
        Ok((store, pins))
    }
}

impl Choice {
    /// The store and the chosen pins.
    fn open(&self) -> Result<(Store, Vec<Pin>)> {
        let (store, Pins { source, mut pins }) = self.place.open()?;
        for name in &self.names {
            if !pins.iter().any(|pin| pin.name == *name) {
                bail!("{source} names no '{name}'");
            }
        }
        pins.retain(|pin| {
            (self.names.is_empty() || self.names.contains(&pin.name))
                && self.arch.is_none_or(|arch| arch == pin.arch)
        });
        Ok((store, pins))
    }
}

/// # Errors
/// What is in the way. Files that are merely missing are no error but an exit code of their own.
pub fn run(command: ArtifactsCommand) -> Result<ExitCode> {
    match command {
        ArtifactsCommand::Pull { choice } => pull(&choice),
        ArtifactsCommand::List { choice, json } => list(&choice, json),
        ArtifactsCommand::Import { folder, choice } => take(&choice, &folder),
        ArtifactsCommand::Lock { place } => lock_pins(&place),
    }
}

fn pull(choice: &Choice) -> Result<ExitCode> {
    let (store, pins) = choice.open()?;
    let client = Client::internet(Patience::default());
    let (log, items) = (EventLog::new(), pull::look(&store, &pins)?);
    let pulled = follow(&log, || {
        pull::pull(&store, &client, &items, &mut |what| {
            log.emit(what);
        })
    });
    let items = pull::look(&store, &pins)?;
    match pulled {
        Err(error) if error.is_offline() => {
            note!("cairn: there is no network here, or none that leads there: {}", chain(&error));
            tell_missing(&items);
            Ok(exit::not_well())
        }
        Err(error) => {
            tell_missing(&items);
            Err(failed(error))
        }
        Ok(()) => outcome(&items),
    }
}

fn failed(error: FetchError) -> anyhow::Error {
    anyhow::Error::new(error).context("not all artifacts could be fetched")
}

fn list(choice: &Choice, json: bool) -> Result<ExitCode> {
    let (store, pins) = choice.open()?;
    let items = pull::look(&store, &pins)?;
    let listed: Vec<Listed> = items.iter().map(Item::listed).collect();
    if json {
        out::json(&listed)?;
    } else {
        for item in &listed {
            let Listed { name, version, arch, state, size, sha256: _, url: _ } = item;
            say!("{name:12} {version:16} {arch:6} {:>8}  {}", bytes(*size), words(state))?;
        }
    }
    Ok(code(&items))
}

fn take(choice: &Choice, folder: &Path) -> Result<ExitCode> {
    let (store, pins) = choice.open()?;
    let items = pull::look(&store, &pins)?;
    let wanted: Vec<Pin> = items.into_iter().filter(|item| !item.is_there()).map(|item| item.pin).collect();
    let taken = import::import(&store, &wanted, folder).context("not all files could be taken")?;
    for import::Taken { path, pins } in &taken {
        let names: Vec<String> = pins.iter().map(Pin::to_string).collect();
        say!("{} is {}", path.display(), names.join(" and "))?;
    }
    if taken.is_empty() {
        say!("{} has nothing that is missing", folder.display())?;
    }
    outcome(&pull::look(&store, &pins)?)
}

fn lock_pins(place: &Place) -> Result<ExitCode> {
    let store = Store::open(&place.store)?;
    let path = place.pins.clone().unwrap_or_else(|| store.pins_path());
    let client = Client::https_only(Patience::default());
    let locked = lock::lock_file(&client, &path).context("nothing was locked")?;
    for pin in &locked.new {
        say!("{pin} is locked")?;
    }
    say!("{}: {} locked now, {} before", path.display(), locked.new.len(), locked.same.len())?;
    for pin in &locked.without {
        note!(
            "cairn: {pin} stays unlocked: upstream publishes no checksum file for it, and to hash what a download brings would prove nothing; write its sha256 into {} by hand",
            path.display()
        );
    }
    Ok(if locked.without.is_empty() { ExitCode::SUCCESS } else { exit::not_well() })
}

fn outcome(items: &[Item]) -> Result<ExitCode> {
    if items.iter().all(Item::is_there) {
        say!("all {} artifacts are there", items.len())?;
    } else {
        tell_missing(items);
    }
    Ok(code(items))
}

fn code(items: &[Item]) -> ExitCode {
    if items.iter().all(Item::is_there) { ExitCode::SUCCESS } else { exit::not_well() }
}

/// What an owner has to carry over, and what nobody can before it is locked.
fn tell_missing(items: &[Item]) {
    let (open, missing): (Vec<&Item>, Vec<&Item>) =
        items.iter().filter(|item| !item.is_there()).partition(|item| item.state == State::NotLocked);
    if !missing.is_empty() {
        note!("missing; fetch them elsewhere and take them with `cairn artifacts import FOLDER`:");
        for Item { pin, .. } in missing {
            note!("  {pin}, {}: {}", bytes(pin.size), pin.url);
        }
    }
    if !open.is_empty() {
        note!(
            "not locked, so their checksums are not known; `cairn artifacts lock` takes them from upstream:"
        );
        for Item { pin, .. } in open {
            note!("  {pin}, {}: {}", bytes(pin.size), pin.url);
        }
    }
}

fn words(state: &State) -> String {
    match state {
        State::There { .. } => "there".to_owned(),
        State::Missing { partial: 0 } => "missing".to_owned(),
        State::Missing { partial } => format!("missing, {} of it are here", bytes(Some(*partial))),
        State::Damaged => "damaged; pull it again".to_owned(),
        State::NotLocked => "not locked".to_owned(),
    }
}

fn bytes(size: Option<u64>) -> String {
    match size {
        None => "size unknown".to_owned(),
        Some(size) if size < 1_000_000 => format!("{} kB", size.div_ceil(1000)),
        Some(size) => format!("{} MB", size / 1_000_000),
    }
}
