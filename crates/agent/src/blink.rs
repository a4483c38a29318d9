//! Lets a person find this machine in the pile: its network socket blinks, or its activity light.

use crate::inventory;
use cairn_wire::message::Response;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Anyone may ask a machine that belongs to nobody, so not for long.
pub const LONGEST: u32 = 60;
/// A card that can't refuses at once.
const REFUSES_WITHIN: Duration = Duration::from_millis(700);
const HALF_PERIOD: Duration = Duration::from_millis(250);
const LEDS: &str = "/sys/class/leds";
/// Lights that Linux names on small boards: of a Raspberry Pi, and by the functions of the kernel's
/// Documentation/leds/leds-class.rst. Not the keyboard's.
const BOARD_LIGHTS: [&str; 2] = ["ACT", "led0"];
const FUNCTIONS: [&str; 5] = ["indicator", "status", "activity", "disk-activity", "power"];

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlinkError {
    #[error("it blinks already")]
    Already,
    #[error(
        "this machine has no light that can be made to blink: {0}, and there is no light of its own; its screen tells its code or its name"
    )]
    NoLight(String),
}

/// When the light that blinks now goes out.
#[derive(Debug, Default)]
pub struct Blink {
    until: Mutex<Option<Instant>>,
}

impl Blink {
    pub fn answer(&self, seconds: u32) -> Response {
        match self.start(&inventory::cards(), seconds) {
            Ok(light) => Response::Blinking { light },
            Err(error) => Response::Refused { reason: error.to_string() },
        }
    }

    /// Begins, and says what blinks. Takes at most a second for each network card; the rest of the time runs
    /// beside the agent.
    ///
    /// # Errors
    /// When it blinks already, or nothing can.
    pub fn start(&self, interfaces: &[String], seconds: u32) -> Result<String, BlinkError> {
        let seconds = seconds.clamp(1, LONGEST);
        {
            let mut until = self.until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let now = Instant::now();
            if until.is_some_and(|until| now < until) {
                return Err(BlinkError::Already);
            }
            *until = Some(now + Duration::from_secs(u64::from(seconds)));
        }
        let started = begin(interfaces, seconds);
        if started.is_err() {
            *self.until.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        }
        started
    }
}

fn begin(interfaces: &[String], seconds: u32) -> Result<String, BlinkError> {
    let mut refused = Vec::new();
    for interface in interfaces {
        match identify(interface, seconds) {
            Ok(mut child) => {
                thread::spawn(move || child.wait());
                return Ok(format!("the network socket {interface}"));
            }
            Err(words) => refused.push(words),
        }
    }
    if let Some(light) = own_light(Path::new(LEDS)) {
        let name = light.file_name().unwrap_or_default().to_string_lossy().into_owned();
        thread::spawn(move || flash(&light, Duration::from_secs(u64::from(seconds))));
        return Ok(format!("the light {name}"));
    }
    let none = || "it has no network card".to_owned();
    Err(BlinkError::NoLight(if refused.is_empty() { none() } else { refused.join(", ") }))
}

/// ethtool(8): blinks until its time is over, or refuses at once.
fn identify(interface: &str, seconds: u32) -> Result<Child, String> {
    let mut child = Command::new("ethtool")
        .args(["--identify", interface, &seconds.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("`ethtool` can't be started ({error})"))?;
    let began = Instant::now();
    while began.elapsed() < REFUSES_WITHIN {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Ok(Some(status)) if status.success() => break,
            Ok(Some(_)) | Err(_) => return Err(format!("the card {interface} can't")),
        }
    }
    Ok(child)
}

fn own_light(leds: &Path) -> Option<PathBuf> {
    let mut lights: Vec<PathBuf> = std::fs::read_dir(leds).ok()?.flatten().map(|led| led.path()).collect();
    lights.sort();
    lights.into_iter().find(|light| {
        let name = light.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let function = name.rsplit(':').next().unwrap_or_default();
        BOARD_LIGHTS.contains(&name.as_str()) || (name.contains(':') && FUNCTIONS.contains(&function))
    })
}

/// By hand rather than by the kernel's `timer`, which is a module that may not be there.
fn flash(light: &Path, time: Duration) {
    let write = |file: &str, text: &str| std::fs::write(light.join(file), text);
    let triggers = std::fs::read_to_string(light.join("trigger")).unwrap_or_default();
    let before = active_trigger(&triggers).unwrap_or("none").to_owned();
    let began = Instant::now();
    let _ = write("trigger", "none");
    'blinking: while began.elapsed() < time {
        for brightness in ["255", "0"] {
            if write("brightness", brightness).is_err() {
                break 'blinking;
            }
            thread::sleep(HALF_PERIOD);
        }
    }
    // whatever went wrong, the light is not left without its own work
    let _ = write("trigger", &before);
}

/// The file lists all triggers, the active one in brackets.
fn active_trigger(text: &str) -> Option<&str> {
    text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leds(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        folder
    }

    #[test]
    fn a_boards_own_light_is_taken_and_a_keyboards_is_not() {
        let chosen = |names: &[&str]| {
            let folder = leds(names);
            own_light(folder.path()).map(|light| light.file_name().unwrap().to_string_lossy().into_owned())
        };
        assert_eq!(chosen(&["input3::capslock", "mmc0::", "ACT"]).as_deref(), Some("ACT"));
        assert_eq!(chosen(&["orangepi:green:status"]).as_deref(), Some("orangepi:green:status"));
        assert_eq!(chosen(&["input3::numlock", "phy0-led", "mmc0::"]), None);
        assert_eq!(own_light(Path::new("/no/such/folder")), None);
    }

    #[test]
    fn a_light_does_afterwards_what_it_did_before() {
        let folder = leds(&["ACT"]);
        let light = folder.path().join("ACT");
        std::fs::write(light.join("trigger"), "none timer [mmc0] default-on\n").unwrap();
        flash(&light, Duration::from_millis(1));
        assert_eq!(std::fs::read_to_string(light.join("trigger")).unwrap(), "mmc0");
        assert_eq!(std::fs::read_to_string(light.join("brightness")).unwrap(), "0");
        assert_eq!(active_trigger("none mmc0"), None);
    }

    #[test]
    fn a_light_that_fails_does_what_it_did_before_too() {
        let folder = leds(&["ACT"]);
        let light = folder.path().join("ACT");
        std::fs::write(light.join("trigger"), "none [mmc0]\n").unwrap();
        std::fs::create_dir(light.join("brightness")).unwrap();
        flash(&light, Duration::from_secs(3600));
        assert_eq!(std::fs::read_to_string(light.join("trigger")).unwrap(), "mmc0");
    }

    #[test]
    fn a_machine_without_any_light_says_so_and_may_be_asked_again() {
        let blink = Blink::default();
        let error = blink.start(&["no-such-card".into()], 5);
        // whoever runs this on a board with a light sees it blink
        if let Err(error) = error {
            assert!(error.to_string().contains("no light"), "{error}");
            assert!(matches!(blink.start(&[], 5), Err(BlinkError::NoLight(_)) | Ok(_)));
        } else {
            assert_eq!(blink.start(&[], 5), Err(BlinkError::Already));
        }
    }
}
