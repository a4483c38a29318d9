//! An emulated Raspberry Pi 3 as the only member of an etcd, started from a card that the manager prepared.

use crate::command;
use crate::disk::{self, Raw};
use crate::runner::{self, Step};
use crate::scenarios::unlocking;
use crate::world::World;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_lab::raspberry_pi::ASKED;
use cairn_layout::boot::{Restart, Version};
use cairn_layout::install::Source;
use cairn_layout::{Esp, Firmware, SectorSize};
use cairn_uki::Sections;
use std::fs::File;
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub const COMMAND: &str = "raspberry-pi";
const NODE: &str = "etcd-1";
const FORMATION: Duration = Duration::from_secs(20 * 60);
const BOOT: Duration = Duration::from_secs(600);

/// Nobody can be asked to restart it with an argument: nothing is executed in this machine, and no version waits to be
/// tried. So two units come on the kernel's command line (systemd-debug-generator(8), kernel-command-line(7)), and do so
/// in the second life of the running system.
const TIMER: &str = "[Unit]
ConditionPathExists=!/etc/initrd-release
ConditionPathExists=/var/lib/cairn/clock
Before=cairn-agent.service
[Timer]
OnActiveSec=120
";
const SERVICE: &str = "[Service]
ExecStart=/usr/bin/systemctl reboot \"--reboot-argument=0 tryboot\"
";
/// A version of its own, of which no image is.
const BROKEN: &str = "9.9.9+broken";
/// `SET_REBOOT_FLAGS`, as QEMU's model of the firmware says that it does not know it.
const FLAG: &str = "bcm2835_property: unhandled tag 0x00038064";

/// # Errors
/// At the first failure, with the lab left for looking at.
pub fn run() -> Result<ExitCode> {
    let world = World::new()?;
    runner::clear(&world)?;
    world.set_deadline(FORMATION + BOOT * 2);
    let steps: [(&str, Step); 5] = [
        ("a Raspberry Pi becomes a healthy etcd, started from its card", &form),
        ("it comes back locked after a power cut and the manager unlocks it", &cut),
        ("a restart with `0 tryboot` asks the board's firmware for the other version, once", &try_other),
        ("a version that does not come up is tried once, and the good one starts again", &fall_back),
        ("nothing is left of the lab", &runner::take_down),
    ];
    runner::in_order(&world, &steps)
}

fn form(world: &World) -> Result<()> {
    let began = Instant::now();
    let mut command = world.lab_command(&["up", "--detach", "--etcd-machine", "raspberry-pi"]);
    command.args(["--etcd", "1", "--compute", "0", "--kernel-arguments", &later_restart()]);
    let answer = command::run(&mut command, &world.scratch, FORMATION)?;
    ensure!(answer.is_ok(), "`cairn lab up` failed with {}: {}", answer.code, answer.words());
    world.figures.borrow_mut().time("`lab up`, an etcd node on a Raspberry Pi 3", began.elapsed(), "");
    Ok(())
}

fn cut(world: &World) -> Result<()> {
    let began = Instant::now();
    let offset = world.power_cut(NODE)?;
    let took = unlocking::unlocked(world, NODE, offset, began)?;
    world.figures.borrow_mut().time("power-on to unlocked (Raspberry Pi 3)", took, "");
    world.running(NODE, BOOT)?;
    let used = world.node(NODE)?.memory_used;
    world.figures.borrow_mut().size("used memory of a Raspberry Pi 3 of 1 GB as the only member", used, "");
    Ok(())
}

fn later_restart() -> String {
    let unit = |name: &str, text: &str| {
        format!("systemd.set_credential_binary=systemd.extra-unit.{name}:{}", STANDARD.encode(text))
    };
    let units = [unit("later.timer", TIMER), unit("later.service", SERVICE)];
    format!("{} systemd.wants=later.timer", units.join(" "))
}

fn try_other(world: &World) -> Result<()> {
    world.console(NODE, 0, "reboot: Restarting system with command '0 tryboot'", BOOT)?;
    let times = asked(world)?;
    ensure!(times == 1, "the firmware was asked {times} times");
    Ok(())
}

/// How often the firmware was told since the machine was started to take the other version once.
fn asked(world: &World) -> Result<usize> {
    let path = world.lab()?.machine(NODE)?.dir().join(ASKED);
    let asked =
        std::fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))?;
    Ok(asked.lines().filter(|line| *line == FLAG).count())
}

/// The last life ended with the flag set, so this one is the other version's: its kernel finds no initrd, and panics.
/// What panics restarts after ten seconds; nobody told the firmware anything, so the next life is that of the good one.
fn fall_back(world: &World) -> Result<()> {
    let lab = world.lab()?;
    let machine = lab.machine(NODE)?;
    machine.cut()?;
    let card = disk::copy(world, NODE)?;
    offer_broken(&card)?;
    card.put_back(world, NODE)?;

    firmware(world, &card, "tryboot.txt")?;
    let offset = machine.console_length();
    machine.power_on()?;
    let offset =
        world.console(NODE, offset, "Kernel panic - not syncing: VFS: Unable to mount root fs", BOOT)?;
    world.console(NODE, offset, r"Rebooting in 10 seconds\.\.", BOOT)?;
    ensure!(asked(world)? == 0, "a version that panics asked the firmware for itself");

    machine.cut()?;
    let card = disk::copy(world, NODE)?;
    firmware(world, &card, "config.txt")?;
    let began = Instant::now();
    let offset = machine.console_length();
    machine.power_on()?;
    unlocking::unlocked(world, NODE, offset, began)?;
    world.running(NODE, BOOT)?;
    machine.cut()?;
    let offered = disk::boot_file(world, &disk::copy(world, NODE)?, "tryboot.txt")?;
    let counted = format!("#version=cairn_{}+2-1", BROKEN.replace('+', "-"));
    ensure!(offered.starts_with(&counted), "the attempt was not counted: {offered}");
    Ok(())
}

/// Another version of the same image, but for its initrd: as an update writes it, up to the restart.
fn offer_broken(card: &Raw) -> Result<()> {
    let mut uki = std::fs::read(".state/image/arm64/cairn.efi")?;
    let size = u64::try_from(uki.len())?;
    let initrd = Sections::read(&uki, size)?.initrd.context("no initrd in the image")?;
    let (start, end) = (usize::try_from(initrd.start)?, usize::try_from(initrd.end)?);
    uki.get_mut(start..end).context("the initrd lies outside")?.fill(0);
    let mut file = File::options().read(true).write(true).open(&card.path)?;
    let mut boot = Esp::open(&mut file, SectorSize::B512)?;
    let firmware = Firmware::of(&mut boot)?;
    let uki = Source { reader: &mut uki.as_slice(), len: size };
    let version = Version { name: BROKEN, uki, device_trees: &[] };
    let entry = firmware.write_version(&mut boot, version, &mut |_| {})?;
    let restart = firmware.try_once(&mut boot, &entry)?;
    ensure!(restart == Restart::Argument("0 tryboot"), "it is to be restarted with {restart:?}");
    Ok(())
}

/// The part of the board's firmware: takes what this file names from the card. Device tree and command line are the same
/// in both versions.
fn firmware(world: &World, card: &Raw, file: &str) -> Result<()> {
    let config = disk::boot_file(world, card, file)?;
    let folder = config.lines().find_map(|line| line.strip_prefix("os_prefix=")).context("no os_prefix")?;
    let board = world.lab()?.machine(NODE)?.state()?.spec.raspberry_pi.context("no Raspberry Pi")?;
    disk::copy_boot_file(world, card, &format!("{folder}linux"), &board.kernel)?;
    disk::copy_boot_file(world, card, &format!("{folder}initrd"), &board.initrd)
}
