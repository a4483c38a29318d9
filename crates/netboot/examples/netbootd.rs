//! Serves the files of one folder on one interface, by hand and for the tests:
//!
//! ```text
//! netbootd INTERFACE ADDRESS FOLDER [--boot NAME] [--arm64 NAME] [--disk MAC]... [--once MAC=NAME]... [--home true]
//!     [--pool FIRST-LAST] [--reserve MAC=ADDRESS]... [--leases FILE] [--also INTERFACE=ADDRESS]
//!     [--wait SECONDS] [--every SECONDS] [--quiet true]
//! ```
//!
//! The network is ADDRESS/24; with `--home` it is one in which a router hands out the addresses, and so it is on the
//! second interface of `--also`. Prints one line of JSON for each event, with `--quiet` only the first, when it is ready,
//! and ends when its standard input does. Machines named by `--disk` boot from their disk, all others NAME, by way of
//! `undionly.kpxe` where they start as a BIOS does; those named by `--once` first start something else, once.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cairn_netboot::{
    Bios, BootAnswer, BootPolicy, Config, Files, HomeNetwork, Images, Mac, MachineRequest, Mode, OneShot,
    OwnCable, Reservation, Server, State, Story, Wishes,
};

struct Arguments {
    config: Config,
    also: Option<Config>,
    images: Images,
    disks: Vec<Mac>,
    quiet: bool,
    wishes: Arc<Wishes>,
}

// With a thread for each core, as in the manager.
#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let Arguments { config, also, images, disks, quiet, wishes } = arguments()?;
    let policy = move |machine: &MachineRequest| match disks.contains(&machine.mac) {
        true => BootAnswer::LocalDisk,
        false => BootAnswer::Discover(images.clone()),
    };
    let policy = OneShot::around(policy, Arc::clone(&wishes));
    let (policy, story): (Arc<dyn BootPolicy>, _) = (Arc::new(policy), Story::new());
    let server = Server::start(config, policy.clone(), story.clone()).await?;
    let second = match also {
        Some(config) => Some(Server::start(config, policy, story).await?),
        None => None,
    };
    let mut events = server.events();
    let mut state = server.state();
    say(&serde_json::json!({"what": "running"}))?;
    let (ended, mut end) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own, since the runtime would wait for one of its own when the program ends.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(ended);
    });
    loop {
        tokio::select! {
            Ok(event) = events.recv() => {
                wishes.see(&event);
                if !quiet {
                    say(&serde_json::to_value(event)?)?;
                }
            }
            stopped = state.wait_for(|state| *state != State::Running) => {
                let stopped = stopped?.clone();
                while let Ok(event) = events.try_recv() {
                    say(&serde_json::to_value(event)?)?;
                }
                bail!("{}", serde_json::to_string(&stopped)?);
            }
            _ = &mut end => break,
        }
    }
    server.stop().await;
    if let Some(second) = second {
        second.stop().await;
    }
    Ok(())
}

fn say(line: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn arguments() -> Result<Arguments> {
    let mut words = std::env::args().skip(1);
    let interface = words.next().context("INTERFACE is missing")?;
    let address: Ipv4Addr = words.next().context("ADDRESS is missing")?.parse()?;
    let folder = PathBuf::from(words.next().context("FOLDER is missing")?);
    let mut files = Files::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            files = files.with(name, entry.path());
        }
    }
    let mut cable = OwnCable::slash24(address);
    let mut config = Config::own_cable(interface, cable.clone(), files.clone());
    let (mut images, mut disks) = (Images::x64("cairn.efi"), Vec::new());
    let (mut home, mut also, mut quiet, wishes) = (false, None, false, Arc::new(Wishes::default()));
    let place = |address| HomeNetwork { address, prefix: 24 };
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--boot" => images.x64 = Some(value),
            "--arm64" => images.arm64 = Some(value),
            "--quiet" => quiet = value.parse()?,
            "--home" => home = value.parse()?,
            "--pool" => {
                let (first, last) = value.split_once('-').context("FIRST-LAST")?;
                (cable.first, cable.last) = (first.parse()?, last.parse()?);
            }
            "--reserve" => {
                let (mac, address) = value.split_once('=').context("MAC=ADDRESS")?;
                cable.reservations.push(Reservation { mac: mac.parse()?, address: address.parse()? });
            }
            "--leases" => cable.lease_file = Some(value.into()),
            "--also" => {
                let (interface, address) = value.split_once('=').context("INTERFACE=ADDRESS")?;
                also = Some(Config::home_network(interface, place(address.parse()?), files.clone()));
            }
            "--once" => {
                let (mac, name) = value.split_once('=').context("MAC=NAME")?;
                wishes.next(vec![mac.parse()?], name, Images::x64(name));
            }
            "--disk" => disks.push(value.parse()?),
            "--wait" => config.probe_wait = Duration::from_secs_f64(value.parse()?),
            "--every" => config.probe_every = Duration::from_secs_f64(value.parse()?),
            _ => bail!("{word} is not known"),
        }
    }
    if let Some(name) = &images.x64 {
        config.files = config.files.with_uki(name, folder.join(name));
        images.bios = Some(Bios { loader: "undionly.kpxe".into(), script: format!("{name}/boot.ipxe") });
    }
    config.mode = if home { Mode::HomeNetwork(place(address)) } else { Mode::OwnCable(cable) };
    Ok(Arguments { config, also, images, disks, quiet, wishes })
}
