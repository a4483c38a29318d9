//! How this machine does, read from procfs and systemd.

use crate::{clock, command, memory};
use cairn_model::vitals::{Service, ServiceState, Space, Vitals};
use serde::Deserialize;
use std::path::Path;
use std::time::SystemTime;

/// A node where more failed has other worries than the rest of the list.
const MOST_SERVICES: usize = 32;
const LONGEST: usize = 255;

/// `services` are told whatever their state, others when they failed; without any, systemd is not asked.
/// `data` is where the data partition is mounted.
pub fn take(services: &[&str], data: Option<&Path>) -> Vitals {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Vitals {
        memory_total: memory::total(),
        memory_used: memory::used(),
        load_hundredths: load(&read("/proc/loadavg")),
        uptime_seconds: uptime(&read("/proc/uptime")),
        clock: now.as_secs(),
        clock_known: Some(clock::is_known()),
        data: data.and_then(space),
        data_written: data.and_then(written),
        etcd: None,
        services: units(services),
    }
}

/// proc_loadavg(5): `0.20 0.18 0.12 1/80 11206`.
fn load(text: &str) -> [u32; 3] {
    let mut words = text.split_whitespace().map(|word| hundredths(word).unwrap_or(0));
    [(); 3].map(|()| words.next().unwrap_or(0))
}

fn hundredths(word: &str) -> Option<u32> {
    let (whole, part) = word.split_once('.')?;
    let part = part.get(..2)?.parse::<u32>().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(part)
}

/// proc_uptime(5): seconds since the start, and seconds of idling.
fn uptime(text: &str) -> u64 {
    text.split(['.', ' ']).next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn space(path: &Path) -> Option<Space> {
    let found = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Space { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
}

/// The kernel's Documentation/block/stat.rst: the seventh number is that of sectors written, of 512 bytes always.
fn written(path: &Path) -> Option<u64> {
    let device = rustix::fs::stat(path).ok()?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let text = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    bytes_written(&text)
}

fn bytes_written(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(6)?.parse::<u64>().ok()?.checked_mul(512)
}

/// A line of `systemctl list-units --output=json`.
#[derive(Deserialize)]
struct Unit {
    unit: String,
    active: ServiceState,
    sub: String,
}

fn units(wanted: &[&str]) -> Vec<Service> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let arguments = ["list-units", "--all", "--type=service,mount,socket", "--output=json", "--no-pager"];
    // without systemd (in a test, say) there is nothing to tell
    let text = command::run("systemctl", &arguments, b"").unwrap_or_default();
    select(&text, wanted)
}

fn select(text: &str, wanted: &[&str]) -> Vec<Service> {
    let units: Vec<Unit> = serde_json::from_str(text).unwrap_or_default();
    let is_wanted = |unit: &Unit| wanted.contains(&unit.unit.as_str());
    let cut = |text: String| text.chars().take(LONGEST).collect();
    let mut found: Vec<Service> = units
        .into_iter()
        .filter(|unit| is_wanted(unit) || unit.active == ServiceState::Failed)
        .map(|Unit { unit, active, sub }| Service { unit: cut(unit), state: active, detail: cut(sub) })
        .collect();
    // systemd forgets what nobody started
    for unit in wanted {
        if !found.iter().any(|service| service.unit == *unit) {
            let detail = "not started".to_owned();
            found.push(Service { unit: (*unit).to_owned(), state: ServiceState::Inactive, detail });
        }
    }
    let place =
        |service: &Service| wanted.iter().position(|unit| *unit == service.unit).unwrap_or(usize::MAX);
    found.sort_by_key(|service| (place(service), service.unit.clone()));
    found.truncate(MOST_SERVICES);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_procfs_says_is_read() {
        assert_eq!(load("0.20 1.08 12.x 1/80 11206"), [20, 108, 0]);
        assert_eq!(load("3.45 0.00 10.99 2/9 1"), [345, 0, 1099]);
        assert_eq!(uptime("350735.47 234388.90\n"), 350_735);
        assert_eq!((load(""), uptime("junk")), ([0; 3], 0));
        let stat = "    1502      410   103486      904    29102     3051  1203456    91236        0    33000    92140";
        assert_eq!((bytes_written(stat), bytes_written("1 2")), (Some(1_203_456 * 512), None));
    }

    #[test]
    fn this_machine_has_vitals() {
        let vitals = take(&[], Some(Path::new("/")));
        assert!(vitals.memory_total > vitals.memory_used && vitals.clock > 1_600_000_000);
        assert!(vitals.uptime_seconds > 0 && vitals.data.is_some_and(|space| space.total > space.free));
        assert_eq!(take(&[], Some(Path::new("/no/such/place"))).data, None);
    }

    #[test]
    fn wanted_units_come_first_and_what_failed_is_never_left_out() {
        let text = r#"[
            {"unit":"a.mount","load":"loaded","active":"failed","sub":"failed","description":"A"},
            {"unit":"k3s.service","load":"loaded","active":"activating","sub":"auto-restart","description":"K"},
            {"unit":"systemd-udevd.service","load":"loaded","active":"active","sub":"running","description":"U"}]"#;
        let found = select(text, &["k3s.service", "cairn-etcd.service"]);
        let shown: Vec<String> =
            found.iter().map(|s| format!("{} {} {}", s.unit, s.state, s.detail)).collect();
        assert_eq!(
            shown,
            [
                "k3s.service starting auto-restart",
                "cairn-etcd.service inactive not started",
                "a.mount failed failed"
            ]
        );
    }

    proptest! {
        #[test]
        fn nothing_that_procfs_or_systemd_could_say_makes_this_panic(text in ".{0,200}") {
            load(&text);
            uptime(&text);
            bytes_written(&text);
            prop_assert!(select(&text, &[]).len() <= MOST_SERVICES);
        }
    }
}
