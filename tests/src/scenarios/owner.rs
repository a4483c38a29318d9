//! The owner's whole way, in a browser: from nothing but the page to a cluster that was shut down and started again.

use crate::browser::Browser;
use crate::world::{World, path};
use anyhow::{Context, Result, bail, ensure};
use cairn_lab::{DiskSpec, MachineSpec};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Started from the network, and approved on the page.
const NETBOOTED: [&str; 2] = ["etcd-2", "etcd-3"];
/// Started from the card that the page made.
const CARD: &str = "etcd-1";
const DISK: u64 = 8 << 30;
const WELL: &str = "All is well.";
const ON: Duration = Duration::from_secs(480);
const OFF: Duration = Duration::from_secs(240);

pub fn whole_way(world: &World) -> Result<()> {
    world.cairn_lab(&["up", "--bare", "--detach"])?;
    let browser = Browser::open(world, "owner")?;
    let passphrase = begin(&browser)?;
    log_out_and_in(&browser, &passphrase)?;
    let card = card(world, &browser)?;
    switch_on(world, card)?;
    approve(world, &browser)?;
    watch(world, &browser, &passphrase)?;
    every_page(&browser)?;
    down_and_up(world, &browser)?;
    browser.has_no_complaint()
}

/// Makes a cluster from nothing but a name, and keeps its one entry. Gives the passphrase.
fn begin(browser: &Browser<'_>) -> Result<String> {
    browser.goto("/")?;
    browser.is_at("/start")?;
    browser.picture("start")?;
    browser.fill("#name", "home")?;
    browser.press("Make the cluster")?;
    browser.is_at("/keep")?;
    let (passphrase, note) = (browser.text("#password")?, browser.text("#note")?);
    browser.picture("keep")?;
    browser.has_no_complaint()?;
    let stored = |passphrase: &str| {
        browser.fill("#back-passphrase", passphrase)?;
        browser.paste("#back-file", &note)?;
        browser.press("I have stored it")
    };
    stored("not what was shown")?;
    browser.reads("main [role=alert]", "passphrase", Duration::from_secs(30))?;
    stored(&passphrase)?;
    browser.is_at("/")?;
    browser.goto("/keep")?;
    let page = browser.script("return document.body.innerText")?;
    ensure!(!page.as_str().unwrap_or_default().contains(&passphrase), "the stored passphrase is shown again");
    Ok(passphrase)
}

fn log_out_and_in(browser: &Browser<'_>, passphrase: &str) -> Result<()> {
    browser.goto("/")?;
    browser.press("Log out")?;
    browser.is_at("/login")?;
    browser.picture("login")?;
    log_in(browser, "a wrong one")?;
    browser.reads("main [role=alert]", "not the cluster's passphrase", Duration::from_secs(30))?;
    log_in(browser, passphrase)?;
    browser.is_at("/")
}

fn log_in(browser: &Browser<'_>, passphrase: &str) -> Result<()> {
    browser.fill("#passphrase", passphrase)?;
    browser.press("Log in")
}

/// Downloads a card for the first etcd node and unpacks it as a program that writes cards does.
fn card(world: &World, browser: &Browser<'_>) -> Result<PathBuf> {
    browser.goto("/media")?;
    browser.choose("#medium-node", CARD)?;
    browser.press("Prepare and download")?;
    let download = world.until("the download of the card", Duration::from_secs(180), || {
        let mut files = std::fs::read_dir(browser.downloads())?.flatten().map(|entry| entry.path());
        let done = files.find(|file| file.extension().is_some_and(|it| it == "gz"));
        done.context("it is not there yet")
    })?;
    let image = world.scratch.join("card.img");
    let unpack =
        "gzip -dc \"$1\" | dd of=\"$2\" bs=1M conv=sparse iflag=fullblock status=none && sha256sum < \"$2\"";
    let sum =
        world.demand(Command::new("bash").args(["-ec", unpack, "-", path(&download)?, path(&image)?]))?;
    std::fs::remove_file(download)?;
    browser.goto("/media")?;
    let shown = browser.text("details[id^=sum-] code")?;
    let sum = sum.split_whitespace().next().unwrap_or_default().to_owned();
    ensure!(shown.contains(&sum), "the card's checksum is {sum}, and the page says {shown}");
    browser.picture("media")?;
    Ok(image)
}

fn switch_on(world: &World, card: PathBuf) -> Result<()> {
    let lab = world.lab()?;
    let mut small = MachineSpec::medium(CARD, 512, DiskSpec::copy_of("card", DISK, card));
    small.cpu = "max,aes=off".to_owned();
    lab.add_machine(&small)?;
    for name in NETBOOTED {
        let disk = DiskSpec::blank(&format!("{name}-disk"), DISK);
        lab.add_machine(&MachineSpec::netboot(name, 1024).with_disk(disk))?;
    }
    for machine in lab.machines()? {
        machine.power_on()?;
    }
    Ok(())
}

/// Compares each code with the consoles, ticks what is the same, and approves both machines at once.
fn approve(world: &World, browser: &Browser<'_>) -> Result<()> {
    browser.goto("/discover")?;
    let codes = world.until("two machines to show their codes", Duration::from_secs(240), || {
        let codes = browser.attributes("#approve input[name^='code.']", "value")?;
        ensure!(codes.len() == NETBOOTED.len(), "there are {}", codes.len());
        Ok(codes)
    })?;
    browser.picture("discover")?;
    for (code, node) in codes.iter().zip(NETBOOTED) {
        ensure!(is_on_a_console(world, code)?, "no console shows the code {code}");
        let machine = browser.attributes(&format!("#approve input[value='{code}']"), "name")?;
        let machine =
            machine.first().and_then(|name| name.strip_prefix("code.")).context("no machine's code")?;
        browser.choose(&format!("select[name='node.{machine}']"), node)?;
        browser.click(&format!("input[name=machine][value='{machine}']"))?;
    }
    browser.press("Approve the ticked machines")?;
    browser.is_at("/discover")
}

fn is_on_a_console(world: &World, code: &str) -> Result<bool> {
    let lab = world.lab()?;
    for name in NETBOOTED {
        let console = lab.machine(name)?.console_since(0)?;
        if String::from_utf8_lossy(&console).contains(&format!("code {code}")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Two browsers follow the same work; one of them is reloaded in the middle, none at the end.
fn watch(world: &World, browser: &Browser<'_>, passphrase: &str) -> Result<()> {
    browser.goto("/")?;
    browser.reads("[id^=busy-job-]", "Write the partition table", Duration::from_secs(180))?;
    browser.reload()?;
    let other = Browser::open(world, "other")?;
    other.goto("/")?;
    other.is_at("/login")?;
    log_in(&other, passphrase)?;
    for follower in [browser, &other] {
        follower.reads("[id^=busy-job-] summary", "steps", Duration::from_secs(30))?;
    }
    browser.picture("installing")?;
    for follower in [browser, &other] {
        follower.reads("h1", WELL, ON)?;
    }
    other.has_no_complaint()
}

fn every_page(browser: &Browser<'_>) -> Result<()> {
    let pages = [
        ("/", "overview"),
        ("/cluster", "cluster"),
        ("/nodes/etcd-1", "node"),
        ("/network", "network"),
        ("/discover", "discover-empty"),
        ("/media", "media-later"),
        ("/keep", "keep-later"),
    ];
    for (path, name) in pages {
        browser.goto(path)?;
        browser.reads("main h1", "", Duration::from_secs(30))?;
        let wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        ensure!(browser.script(wide)? == false, "{path} is wider than its window");
        browser.picture(name)?;
        browser.has_no_complaint()?;
    }
    Ok(())
}

fn down_and_up(world: &World, browser: &Browser<'_>) -> Result<()> {
    browser.goto("/")?;
    confirm(browser, "shut-down")?;
    world.until("all machines to be off", OFF, || {
        for machine in world.lab()?.machines()? {
            if machine.is_on() {
                bail!("{} is on", machine.name());
            }
        }
        Ok(())
    })?;
    browser.reads("h1", "The cluster is shut down.", Duration::from_secs(60))?;
    browser.reads("#power-job summary", "3 of 3 steps", Duration::from_secs(60))?;
    browser.picture("shut-down")?;
    for machine in world.lab()?.machines()? {
        machine.power_on()?;
    }
    confirm(browser, "start")?;
    browser.reads("h1", WELL, ON)?;
    let status = world.healthy(Duration::from_secs(30))?;
    ensure!(status.nodes.iter().all(|node| node.unlocked), "a node is locked: {:?}", status.nodes);
    Ok(())
}

/// Unfolds the action's question and says yes.
fn confirm(browser: &Browser<'_>, action: &str) -> Result<()> {
    browser.click(&format!("#do-{action} > summary"))?;
    browser.click(&format!("#do-{action} form button"))?;
    browser.is_at("/")
}
