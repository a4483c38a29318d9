//! The owner's whole way without a browser: `cairn setup` at a terminal, from a name to healthy machines, and the
//! command line from then on. Each of the three machines comes in another way: from the network, by a card that
//! becomes the node, and by a stick that installs onto a disk with somebody's photos on it. How she shuts them down and
//! starts them again is in `shutdown`.

use super::stranger::photos;
use crate::command::Answer;
use crate::firmware;
use crate::terminal::Terminal;
use crate::world::{World, path};
use anyhow::{Result, ensure};
use cairn_lab::{DiskBus, DiskSpec, MachineSpec, NetworkCard};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CARD: &str = "etcd-1";
const NETBOOTED: &str = "etcd-2";
const BY_STICK: &str = "etcd-3";
/// The serial number of the stick.
const STICK: &str = "stick";
const DISK: u64 = 8 << 30;
const MINUTE: Duration = Duration::from_secs(60);
const PREPARED: Duration = Duration::from_secs(180);
const ON: Duration = Duration::from_secs(480);

pub fn whole_way(world: &World) -> Result<()> {
    world.cairn_lab(&["up", "--bare", "--detach"])?;
    let folder = world.scratch.join("evening");
    std::fs::create_dir_all(&folder)?;
    let mut terminal = Terminal::open(world, &folder, &["setup"])?;
    let passphrase = begin(&mut terminal)?;
    switch_on(world)?;
    for _ in [NETBOOTED, BY_STICK] {
        decide(world, &mut terminal)?;
    }
    take_the_stick_out(world, &mut terminal)?;
    terminal.reads("home is healthy", ON)?;
    terminal.answers("Wait for another machine", "", MINUTE)?;
    let file = terminal.reads(r"put the text of (home-\d+\.cairn)", MINUTE)?;
    terminal.ends(MINUTE)?;
    knows_the_machines(world, &folder.join(file), &passphrase)?;
    look_around(world)
}

/// Makes a cluster from nothing but a name. Gives its passphrase.
fn begin(terminal: &mut Terminal<'_>) -> Result<String> {
    terminal.answers("Name of the cluster, such as home: ", "home", MINUTE)?;
    let passphrase = terminal.reads("shown this once:\\s+([a-z]+(?:-[a-z]+){6})", MINUTE)?;
    terminal.reads("-----END AGE ENCRYPTED FILE-----", MINUTE)?;
    terminal.answers("which is not shown: ", &passphrase, MINUTE)?;
    terminal.reads("The manager has the cluster 'home' open", MINUTE)?;
    terminal.reads("Each one that comes is shown here", MINUTE)?;
    Ok(passphrase)
}

fn switch_on(world: &World) -> Result<()> {
    let lab = world.lab()?;
    let on = |spec: &MachineSpec| -> Result<()> {
        lab.add_machine(spec)?;
        Ok(lab.machine(&spec.name)?.power_on()?)
    };
    let disk = DiskSpec::blank("netbooted-disk", DISK);
    on(&MachineSpec::netboot(NETBOOTED, 1024).with_disk(disk))?;
    // A stick has more room than its image.
    let stick = DiskSpec::copy_of(STICK, DISK, prepare(world, BY_STICK, "installer")?).on(DiskBus::Usb);
    let photos = DiskSpec::over("photos", DISK, photos(world)?);
    on(&MachineSpec::medium(BY_STICK, 1024, stick).with_disk(photos))?;
    let card = DiskSpec::copy_of("card", DISK, prepare(world, CARD, "sd")?);
    let mut small = MachineSpec::medium(CARD, 512, card);
    small.cpu = "max,aes=off".to_owned();
    // the one machine whose socket can blink, and the one that has Secure Boot on
    let trusting = firmware::trusting(world, &firmware::own_certificate(world)?)?;
    on(&small.with_card(NetworkCard::E1000e).with_secure_boot(trusting))
}

/// As the dialogue says: in another terminal.
fn prepare(world: &World, node: &str, kind: &str) -> Result<PathBuf> {
    let image = world.scratch.join(format!("{node}.img"));
    let command = ["node", "prepare", node, "--kind", kind, "--output", path(&image)?];
    well(world.cairn_within(PREPARED, &command)?)?;
    Ok(image)
}

/// What the dialogue asks about whichever of the two machines came first.
fn decide(world: &World, terminal: &mut Terminal<'_>) -> Result<()> {
    let question = r"(Is [0-9-]+ the code on its screen|Install it)\? \[y/N, b makes it blink\] ";
    let asked = terminal.answers(question, "b", ON)?;
    // Virtual cards have no light, and virtual machines none of their own.
    terminal.reads("no light that can be made to blink", MINUTE)?;
    let again = terminal.reads(question, MINUTE)?;
    ensure!(again == asked, "first it asked '{asked}', then '{again}'");
    match asked.split_whitespace().nth(1).filter(|_| asked.starts_with("Is ")) {
        Some(code) => by_code(world, terminal, code),
        None => by_stick(terminal),
    }
}

fn by_code(world: &World, terminal: &mut Terminal<'_>, code: &str) -> Result<()> {
    let console = world.lab()?.machine(NETBOOTED)?.console_since(0)?;
    let shown = String::from_utf8_lossy(&console).contains(&format!("code {code}"));
    ensure!(shown, "the console of {NETBOOTED} does not show the code {code}");
    terminal.types("y")?;
    terminal.answers(r"It becomes (?:\[[a-z0-9-]+\])?: ", NETBOOTED, MINUTE)?;
    terminal.answers(r"Install on which disk \[1\], or n for none\? ", "", MINUTE)?;
    terminal.reads(&format!("{NETBOOTED} is installed on "), MINUTE).map(drop)
}

/// It has shown its join key, so there is no code; but its disk is not blank.
fn by_stick(terminal: &mut Terminal<'_>) -> Result<()> {
    terminal.types("y")?;
    terminal.answers("Install on which disk, or n for none\\? ", "1", MINUTE)?;
    terminal.reads("This disk holds: [^.]*photos", MINUTE)?;
    terminal.answers("Write `wipe` to go on", "wipe", MINUTE)?;
    terminal.reads(&format!("{BY_STICK} is installed on "), MINUTE).map(drop)
}

/// The machine waits with its restart until then, and starts from its own disk afterwards.
fn take_the_stick_out(world: &World, terminal: &mut Terminal<'_>) -> Result<()> {
    terminal.reads("take the installer stick out", ON)?;
    let lab = world.lab()?;
    let machine = lab.machine(BY_STICK)?;
    let offset = machine.console_length();
    let so_far = machine.console_since(0)?;
    ensure!(!String::from_utf8_lossy(&so_far).contains("is locked"), "{BY_STICK} did not wait for the stick");
    machine.pull_disk(STICK)?;
    world.console(BY_STICK, offset, &format!("{BY_STICK} is unlocked and starts"), ON).map(drop)
}

/// The file that the dialogue left for the password manager.
fn knows_the_machines(world: &World, file: &Path, passphrase: &str) -> Result<()> {
    let written = world.scratch.join("evening-passphrase");
    let mut to = std::fs::File::options().create_new(true).write(true).mode(0o600).open(&written)?;
    writeln!(to, "{passphrase}")?;
    let show = ["file", "show", path(file)?, "--passphrase-file", path(&written)?, "--json"];
    let shown: serde_json::Value = serde_json::from_str(&well(world.cairn(&show)?)?)?;
    std::fs::remove_file(&written)?;
    let generation = shown.get("generation").and_then(serde_json::Value::as_u64);
    let newest = world.status()?.cluster.generation;
    ensure!(generation == Some(newest), "its generation is {generation:?}, the cluster's {newest}");
    Ok(())
}

fn look_around(world: &World) -> Result<()> {
    let says = |arguments: &[&str], words: &[&str]| -> Result<()> {
        let said = well(world.cairn(arguments)?)?;
        let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
        ensure!(missing.is_empty(), "`cairn {}` does not say {missing:?}: {said}", arguments.join(" "));
        Ok(())
    };
    let nodes = [CARD, NETBOOTED, BY_STICK];
    says(&["status"], &["home is healthy", "3 of 3 members healthy"])?;
    says(&["node", "list"], &nodes)?;
    says(&["node", "logs", BY_STICK, "--units"], &["cairn-etcd.service"])?;
    says(&["node", "logs", BY_STICK, "--unit", "cairn-etcd.service"], &["cairn-etcd.service: "])?;
    says(&["node", "blink", CARD, "--seconds", "2"], &["the network socket ", " blinks for 2 seconds"])?;
    refuses(world, &["kubeconfig"], &["this cluster has no compute node"])
}

fn refuses(world: &World, arguments: &[&str], words: &[&str]) -> Result<()> {
    let answer = world.cairn(arguments)?;
    let said = answer.words();
    ensure!(answer.code == 1, "`cairn {}` ended with {}: {said}", arguments.join(" "), answer.code);
    ensure!(words.iter().all(|word| said.contains(word)), "`cairn {}` says: {said}", arguments.join(" "));
    Ok(())
}

fn well(answer: Answer) -> Result<String> {
    ensure!(answer.is_ok(), "it failed with {}: {}", answer.code, answer.words());
    Ok(answer.text())
}
