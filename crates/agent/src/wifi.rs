//! Wi-Fi, for a machine without a cable: set up in the initrd from what lies on the boot partition, looked after
//! in both lives. Without that file nothing wireless is started.
//!
//! [`supplicant`] is the configuration, [`report`] what its events mean to a person, [`radio`] what sysfs tells of
//! the adapters, [`drivers`] where an initrd without any of it takes it from. This file is the thread that acts.

pub mod drivers;
pub mod radio;
pub mod report;
pub mod supplicant;

use crate::boot::BootDisk;
use crate::console::say;
use crate::network::{self, Link};
use crate::{command, files};
use cairn_model::wifi::{FILE, Ssid, Wifi};
use cairn_workflow::log::chain;
use report::Report;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use supplicant::Supplicant;

/// Written in the initrd, read by `wpa_supplicant` in both lives; `/run` is memory.
const CONFIGURATION: &str = "/run/cairn/wpa_supplicant.conf";
/// The network's name, to speak of it.
const NAME: &str = "/run/cairn/wifi-name";
const POLL: Duration = Duration::from_secs(2);
/// An adapter on USB whose firmware is loaded first takes some ten seconds.
const ADAPTER_APPEARS: Duration = Duration::from_secs(60);

/// An address that has to be on the interface that is connected.
pub type ClusterAddress = (Ipv4Addr, u8);

/// Sets Wi-Fi up from the boot partition, if it is there, and looks after it until the process ends. A fault is
/// said and stops nothing else: perhaps there is a cable.
pub fn begin(disk: &BootDisk, address: Option<ClusterAddress>) {
    match settings(disk) {
        Ok(None) => {}
        Ok(Some(wifi)) => {
            let ssid = wifi.ssid.clone();
            std::thread::spawn(move || match drivers::borrow() {
                Ok(()) => look_after(&ssid, address),
                Err(error) => say(&format!("Wi-Fi: the drivers can't be reached: {}", chain(&error))),
            });
        }
        Err(text) => say(&format!("Wi-Fi: {text}")),
    }
}

fn settings(disk: &BootDisk) -> Result<Option<Wifi>, String> {
    let bytes = disk.read(FILE).map_err(|error| chain(&error))?.map(zeroize::Zeroizing::new);
    let Some(bytes) = bytes else { return Ok(None) };
    // the error may repeat what it stumbled over
    let damaged = |_| format!("`{FILE}` on the boot partition is damaged; prepare the medium again");
    let wifi: Wifi = serde_json::from_slice(&bytes).map_err(damaged)?;
    let write = |path: &str, content: &[u8]| files::write(Path::new(path), content);
    write(CONFIGURATION, supplicant::configuration(&wifi).as_bytes())
        .and_then(|()| write(NAME, wifi.ssid.as_str().as_bytes()))
        .map_err(|error| format!("it can't be configured: {error}"))?;
    Ok(Some(wifi))
}

/// Goes on in the running system with what the initrd wrote down.
pub fn go_on(address: ClusterAddress) {
    let Some(ssid) = std::fs::read_to_string(NAME).ok().and_then(|name| Ssid::try_from(name).ok()) else {
        return;
    };
    std::thread::spawn(move || look_after(&ssid, Some(address)));
}

/// Keeps one adapter connected, and the cluster's and the static address where they belong, for ever.
fn look_after(ssid: &Ssid, address: Option<ClusterAddress>) {
    let began = Instant::now();
    let (mut using, mut missed, mut link): (Option<Using>, bool, Link) = (None, false, network::current());
    loop {
        let adapters = radio::adapters(Path::new("/"));
        if using.as_ref().is_some_and(|using| !adapters.contains(&using.adapter)) {
            say("Wi-Fi: the adapter is gone");
            using = None;
        }
        if using.is_none() {
            using = adapters.into_iter().next().and_then(Using::start);
        }
        match &mut using {
            Some(using) => using.listen(ssid),
            None if !missed && began.elapsed() > ADAPTER_APPEARS => {
                missed = true;
                say("Wi-Fi is set up, but no adapter was found that this system has a driver for");
            }
            None => {}
        }
        let wireless = using.as_ref().is_some_and(|using| radio::carrier(Path::new("/"), &using.adapter));
        let wanted = network::place(link, radio::cable(Path::new("/")), wireless);
        if wanted != link {
            let moved = match address {
                Some((address, prefix)) => network::put_cluster_address(wanted, address, prefix),
                None => network::put_static_address(wanted),
            };
            match moved {
                Ok(()) => {
                    link = wanted;
                    if let Some((address, _)) = address {
                        say(&format!("the cluster address {address} is on {link} now"));
                    }
                }
                Err(error) => say(&format!("the addresses can't be moved to {wanted}: {error:#}")),
            }
        }
        if using.is_none() {
            std::thread::sleep(POLL);
        }
    }
}

/// The adapter that is used: the first, since two on one network would only be in each other's way.
struct Using {
    adapter: String,
    supplicant: Option<Supplicant>,
    report: Report,
}

impl Using {
    fn start(adapter: String) -> Option<Self> {
        let unit = format!("cairn-wifi@{adapter}.service");
        if let Err(error) = command::run("systemctl", &["start", "--no-block", &unit], b"") {
            say(&format!("Wi-Fi can't be started: {}", chain(&error)));
            return None;
        }
        say(&format!("Wi-Fi: connecting by {adapter}"));
        Some(Self { adapter, supplicant: None, report: Report::default() })
    }

    /// For as long as [`POLL`] at most.
    fn listen(&mut self, ssid: &Ssid) {
        if radio::switched_off(Path::new("/"), &self.adapter)
            && let Some(text) = self.report.switched_off()
        {
            say(text);
        }
        let until = Instant::now() + POLL;
        if self.supplicant.is_none() {
            self.supplicant = Supplicant::attach(&self.adapter).ok();
        }
        let Some(supplicant) = &self.supplicant else { return std::thread::sleep(POLL) };
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            match supplicant.next(left) {
                Ok(Some(line)) => {
                    if let Some(text) = self.report.hear(&line, ssid) {
                        say(&text);
                    }
                }
                Ok(None) => return,
                // it was restarted; systemd does that
                Err(_) => {
                    self.supplicant = None;
                    return std::thread::sleep(left);
                }
            }
        }
    }
}

/// What was written down, where it has to go with the node onto another disk.
///
/// # Errors
/// When the boot partition can't be read.
pub fn carried(disk: &BootDisk) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, crate::boot::BootError> {
    Ok(disk.read(FILE)?.map(zeroize::Zeroizing::new))
}

/// Where the initrd's root will be.
fn sysroot() -> PathBuf {
    PathBuf::from("/sysroot")
}
