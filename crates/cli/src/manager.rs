//! `cairn manager`: from arguments to the manager's options.

use crate::exit;
use crate::out;
use crate::passphrase::PassphraseArguments;
use anyhow::{Context, Result};
use cairn_manager::{Lan, LanStatus, Listen, Netboot, Options, Wish, qr_for_terminal};
use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// The manager's working directory, unless told otherwise.
pub const WORK: &str = "cairn-work";

/// Arguments of `cairn manager`.
#[derive(Debug, clap::Args)]
pub struct ManagerArguments {
    /// The cluster file; it is read and never written. Without it the page asks for one
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArguments,
    /// Where the manager keeps its sealed working copy, its journal and the session token
    #[arg(long, value_name = "DIR", default_value = WORK)]
    work: PathBuf,
    /// Where on this machine's loopback the page is served
    #[arg(long, value_name = "ADDRESS", default_value_t = Listen::DEFAULT)]
    listen: SocketAddr,
    /// Serve the page on the network too, by HTTPS: on this machine's address there, or on the home network's
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, value_parser = one_address)]
    lan: Option<Option<IpAddr>>,
    /// The port for the network, also where the page switches it on
    #[arg(long, value_name = "PORT", default_value_t = Lan::DEFAULT_PORT)]
    lan_port: u16,
    /// The node image
    #[arg(long, value_name = "DIR", default_value = ".state/image")]
    image: PathBuf,
    /// Serve network boot on this interface; whether a router is there is looked up, and says how
    #[arg(long, value_name = "INTERFACE", group = "network_boot")]
    netboot: Option<String>,
    /// Serve network boot on this interface, as the only DHCP server of a cable of its own
    #[arg(long, value_name = "INTERFACE", group = "network_boot")]
    cable: Option<String>,
    /// Serve network boot on this interface, beside the router that hands out the addresses there
    #[arg(long, value_name = "INTERFACE", group = "network_boot")]
    home_network: Option<String>,
    /// The manager's address on a cable of its own; machines get addresses of the same /24
    #[arg(long, value_name = "ADDRESS", requires = "network_boot", conflicts_with = "home_network")]
    cable_address: Option<Ipv4Addr>,
    /// Give this interface the manager's address in the cluster's network
    #[arg(long = "interface", value_name = "INTERFACE")]
    interfaces: Vec<String>,
    /// Where machines fetch the system from when not from network boot's own server, such as http://192.168.1.5:4280
    #[arg(long, value_name = "URL")]
    image_url: Option<String>,
}

impl ManagerArguments {
    fn network_boot(&self) -> Option<Netboot> {
        let Self { netboot, cable, home_network, cable_address, .. } = self;
        let wishes = [(netboot, Wish::Fitting), (cable, Wish::OwnCable), (home_network, Wish::HomeNetwork)];
        let (interface, wish) = wishes.into_iter().find_map(|(name, wish)| Some((name.clone()?, wish)))?;
        Some(Netboot { interface, wish, cable_address: cable_address.unwrap_or(Netboot::CABLE_ADDRESS) })
    }
}

/// Runs until it is told to stop.
///
/// # Errors
/// What keeps it from starting.
pub fn run(arguments: ManagerArguments) -> Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(false).init();
    // Before there are other threads.
    let netboot = arguments.network_boot();
    cairn_manager::claim_rights(netboot.as_ref(), &arguments.interfaces)?;
    // Without a terminal the page asks for it, and without a cluster file too.
    let passphrase = match (arguments.passphrase.given()?, &arguments.file) {
        (None, Some(file)) if std::io::stdin().is_terminal() => Some(arguments.passphrase.get(file)?),
        (given, _) => given,
    };
    let lan = Lan::new(arguments.lan.is_some(), arguments.lan.flatten(), arguments.lan_port);
    let options = Options {
        cluster_file: arguments.file,
        passphrase,
        work_dir: arguments.work,
        listen: Listen::inherited_or(arguments.listen)?,
        image_dir: arguments.image,
        netboot,
        interfaces: arguments.interfaces,
        image_url: arguments.image_url,
        lan: Arc::clone(&lan),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = cairn_manager::run(options) => ended.map(|()| ExitCode::SUCCESS).context("the manager stopped"),
            told = told_to_stop() => told,
            never = show_on_terminal(&lan) => match never {},
        }
    });
    // Nothing that it does needs an end: all of it may be cut off at any moment.
    runtime.shutdown_background();
    ended
}

/// Every address of this machine would be more than the owner meant, and none that a request is addressed to.
fn one_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| "not an IP address".to_owned())?;
    if address.is_unspecified() {
        return Err("name one address, or none for those of the home network".to_owned());
    }
    Ok(address)
}

/// The log says the same in words; a phone's camera reads a picture.
async fn show_on_terminal(lan: &Lan) -> Infallible {
    let (mut status, mut shown) = (lan.follow(), None);
    if std::io::stdout().is_terminal() {
        // what came before this was seen by nobody
        status.mark_changed();
        while status.changed().await.is_ok() {
            let now = status.borrow_and_update().clone();
            let first = now.pages.first().cloned();
            if let Some(words) = for_phones(&now).filter(|_| shown != first) {
                // nobody reads, and the page goes on
                let _ = out::bytes(words.as_bytes());
            }
            shown = first;
        }
    }
    std::future::pending().await
}

fn for_phones(status: &LanStatus) -> Option<String> {
    let (page, fingerprint) = (status.pages.first()?, status.fingerprint.as_ref()?);
    let half = fingerprint.len().div_ceil(2);
    let (one, two) = fingerprint.split_at_checked(half)?;
    Some(format!(
        "{}The page for your phone: {page}\nIt will warn you. Go on only if it shows this SHA-256 fingerprint:\n  {one}\n  {two}\n",
        qr_for_terminal(page)?
    ))
}

/// In a container the manager is process 1, which no signal ends that it does not wait for.
async fn told_to_stop() -> Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if ignores_interrupts(&status) {
        terminate.recv().await;
        return Ok(ExitCode::SUCCESS);
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => ExitCode::SUCCESS,
        _ = interrupt.recv() => exit::interrupted(),
    })
}

/// A shell begins so what it runs in its background: Ctrl-C is for what runs in front. By proc_pid_status(5).
fn ignores_interrupts(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 0b10 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        manager: ManagerArguments,
    }

    #[test]
    fn network_boot_is_served_in_one_way() {
        use clap::Parser as _;
        let parse = |words: &str| Line::try_parse_from(words.split(' ')).map(|it| it.manager.network_boot());
        let wish = |words| parse(words).unwrap().map(|it| (it.interface, it.wish));
        assert_eq!(wish("x --netboot e"), Some(("e".to_owned(), Wish::Fitting)));
        assert_eq!(wish("x --cable e"), Some(("e".to_owned(), Wish::OwnCable)));
        assert_eq!(wish("x --home-network e"), Some(("e".to_owned(), Wish::HomeNetwork)));
        assert_eq!(wish("x --interface e"), None);
        let given = parse("x --netboot e --cable-address 10.1.1.1").unwrap().unwrap();
        assert_eq!(given.cable_address, Ipv4Addr::new(10, 1, 1, 1));
        for wrong in [
            "--cable e --home-network e",
            "--netboot e --cable f",
            "--cable-address 10.1.1.1",
            "--home-network e --cable-address 10.1.1.1",
        ] {
            assert!(parse(&format!("x {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_terminal_shows_address_and_fingerprint_once_there_are_both() {
        let fingerprint = vec!["AB"; 32].join(":");
        let mut status = LanStatus { on: true, ..LanStatus::default() };
        assert_eq!(for_phones(&status), None);
        status.pages.push("https://192.168.1.5:4243".into());
        status.fingerprint = Some(fingerprint.clone());
        let words = for_phones(&status).unwrap();
        assert!(words.contains("phone: https://192.168.1.5:4243\n") && words.contains('\u{2588}'), "{words}");
        assert_eq!(words.matches("AB").count(), 32);
    }

    #[test]
    fn the_network_is_one_address_or_the_home_networks() {
        assert!(one_address("192.168.1.5").is_ok() && one_address("fd00::1").is_ok());
        for text in ["0.0.0.0", "::", "laptop", ""] {
            assert!(one_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_interrupt_is_left_to_what_runs_in_front() {
        let status =
            |mask: &str| format!("SigBlk:\t0000000000000000\nSigIgn:\t{mask}\nSigCgt:\t0000000000000002\n");
        assert!(ignores_interrupts(&status("0000000000000006")));
        assert!(!ignores_interrupts(&status("0000000000001004")));
        assert!(!ignores_interrupts(""));
    }
}
