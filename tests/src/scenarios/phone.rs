//! The owner's phone: a browser that is warned, compares the certificate's fingerprint with the page's, and goes on.

use crate::apart::{self, ip};
use crate::browser::Browser;
use crate::command;
use crate::world::{World, path};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

pub const COMMAND: &str = "phone";
const HERE: &str = "http://127.0.0.1:4200";
const THERE: &str = "https://192.168.1.2:4243";
const PASSPHRASE: &str = "stone pile marks the long way back home";
const LIMIT: Duration = Duration::from_secs(240);

/// The phone shares the manager's network namespace: HTTPS, the warning and the addresses are real, the radio is not.
pub fn compares_and_goes_on(world: &World) -> Result<()> {
    let answer = command::run(apart::command()?.arg(COMMAND).arg(&world.cairn), &world.scratch, LIMIT)?;
    ensure!(answer.is_ok(), "{}", answer.words());
    Ok(())
}

/// Inside the namespaces.
///
/// # Errors
/// What was not as it should be.
pub fn run(cairn: &Path) -> Result<ExitCode> {
    let world = World::new()?;
    world.set_deadline(LIMIT);
    ip(&["link", "set", "lo", "up"])?;
    // a bridge, since one end of a pair of cards leads into a container and is never served
    ip(&["link", "add", "home", "type", "bridge"])?;
    ip(&["link", "add", "one", "master", "home", "type", "veth", "peer", "name", "other"])?;
    for name in ["one", "other", "home"] {
        ip(&["link", "set", name, "up"])?;
    }
    ip(&["addr", "add", "192.168.1.2/24", "dev", "home"])?;
    let mut manager = manager(&world, cairn)?;
    let outcome = walk(&world);
    let words = manager.kill()?;
    outcome.with_context(|| format!("the manager then said: {words}"))?;
    Ok(ExitCode::SUCCESS)
}

fn manager(world: &World, cairn: &Path) -> Result<command::Running> {
    let folder = world.scratch.join("phone");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let (file, pass) = (folder.join("home.cairn"), folder.join("passphrase"));
    std::fs::write(&pass, PASSPHRASE)?;
    let new = ["file", "new", "--name", "home", "--passphrase-file", path(&pass)?, path(&file)?];
    world.demand(Command::new(cairn).args(new))?;
    let mut command = Command::new(cairn);
    command.args(["manager", "--work"]).arg(folder.join("work")).arg("--file").arg(&file);
    command::start(command.arg("--passphrase-file").arg(&pass), &world.scratch)
}

fn walk(world: &World) -> Result<()> {
    let laptop = Browser::at(world, "laptop", HERE)?;
    world.until("the manager's page", Duration::from_secs(60), || laptop.goto("/login"))?;
    log_in(&laptop)?;
    laptop.goto("/phone")?;
    laptop.press("Open this page on a phone")?;
    let shown = laptop.text(".fingerprint")?;
    let shown: String = shown.split_whitespace().collect::<Vec<_>>().join(":");
    ensure!(laptop.text(".address")?.contains(THERE), "another address is shown");
    laptop.picture("on-your-phone")?;
    laptop.has_no_complaint()?;

    let phone = Browser::at(world, "phone", THERE)?;
    let warned = phone.is_warned()?;
    ensure!(warned == shown, "the warning's certificate is {warned}, the page says {shown}");
    phone.goes_on()?;
    phone.is_at("/login")?;
    phone.picture("phone-login")?;
    log_in(&phone)?;
    phone.goto("/phone")?;
    // what is switched at the manager's own machine is not offered from afar
    ensure!(phone.attributes("form[action='/phone/off']", "action")?.is_empty(), "a phone may switch it off");
    phone.goto("/")?;
    phone.picture("phone-overview")?;
    let cookie = phone.script("return document.cookie")?;
    ensure!(cookie == "", "the session is within reach of scripts: {cookie}");
    phone.has_no_complaint()?;

    laptop.press("Take the page off the network")?;
    laptop.reads("main", "Only this machine has the page", Duration::from_secs(30))?;
    ensure!(phone.goto("/cluster").is_err(), "the page is still on the network");
    Ok(())
}

fn log_in(browser: &Browser<'_>) -> Result<()> {
    browser.fill("#passphrase", PASSPHRASE)?;
    browser.press("Log in")?;
    browser.is_at("/")
}
