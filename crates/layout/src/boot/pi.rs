//! The firmware of a Raspberry Pi up to the third, which the Zero 2 W counts as: it reads a FAT partition, and starts no
//! EFI program.
//!
//! [`choice`] is the state and every decision about it, without I/O; here it is carried out.

pub mod choice;
mod parts;

pub use self::choice::ChoiceError;
use self::choice::{Card, Choice, SECTOR, Step, folder};
use self::parts::{Part, unpack};
use super::{BootError, Restart, Version};
use crate::boot_entry::BootEntry;
use crate::device::Device;
use crate::esp::Esp;
use crate::install::Source;
use crate::plan::Slot;

pub const CONFIG: &str = "config.txt";
const TRYBOOT: &str = "tryboot.txt";
/// The boot ROM looks for this one and starts nothing without it.
const FIRST: &str = "bootcode.bin";
/// Firmware that a card can't do without, beside the first.
const NEEDED: [&str; 2] = ["start.elf", "fixup.dat"];
/// Of the boards with this SoC; the firmware takes its own by its upstream name. `os/build` puts them into the image.
const DEVICE_TREES: [&str; 4] = [
    "bcm2837-rpi-zero-2-w.dtb",
    "bcm2837-rpi-3-a-plus.dtb",
    "bcm2837-rpi-3-b.dtb",
    "bcm2837-rpi-3-b-plus.dtb",
];
/// The consoles of this board: its screen, and the serial port on the header, which upstream's device trees call the
/// second. (The first one, `ttyAMA0`, is wired to Bluetooth.)
const CONSOLES: &str = "console=tty1 console=ttyS1,115200";
/// On the kernel's command line: this system was started from a card of this kind, as this version.
pub const STARTED_AS: &str = "cairn.pi=";
/// Tells the firmware to take `tryboot.txt` once. The first word is the partition, 0 for the usual one.
const TRYBOOT_ARGUMENT: &str = "0 tryboot";

pub(super) fn card(esp: &mut Esp<'_, impl Device>) -> Result<Card, BootError> {
    let mut read = |name| {
        let bytes = esp.read(name)?.ok_or(BootError::Config(name))?;
        Choice::parse(&bytes).ok_or(BootError::Config(name))
    };
    Ok(Card { config: read(CONFIG)?, tryboot: read(TRYBOOT)? })
}

/// The first version of an empty boot partition, with the firmware. What the boot ROM looks for comes last.
pub(super) fn install(
    esp: &mut Esp<'_, impl Device>,
    files: &[(String, Vec<u8>)],
    version: Version<'_>,
    step: &mut dyn FnMut(u64),
) -> Result<(), BootError> {
    let entry = BootEntry::fresh(version.name)?.good();
    let (device_trees, firmware): (Vec<_>, Vec<_>) =
        files.iter().cloned().partition(|(name, _)| is_device_tree(name));
    let named = |wanted: &'static str| {
        let found = files.iter().find(|(name, _)| name == wanted);
        found.map(|(_, bytes)| bytes).ok_or(BootError::NoFile(wanted))
    };
    let first = named(FIRST)?;
    NEEDED.into_iter().chain(DEVICE_TREES).try_for_each(|name| named(name).map(drop))?;
    for (name, bytes) in firmware.iter().filter(|(name, _)| name != FIRST) {
        esp.write(name, bytes)?;
    }
    // Both now: later on a power cut must not come in between.
    for slot in Slot::BOTH {
        esp.make_folder(folder(slot).trim_end_matches('/'))?;
    }
    let choice = Choice::good(Slot::A, &entry);
    fill(esp, &choice, &device_trees, version.uki, step)?;
    esp.write(TRYBOOT, &choice.encode())?;
    esp.write(CONFIG, &choice.encode())?;
    Ok(esp.write(FIRST, first)?)
}

fn is_device_tree(name: &str) -> bool {
    name.strip_suffix(".dtb").is_some()
}

pub(super) fn write_version(
    esp: &mut Esp<'_, impl Device>,
    version: Version<'_>,
    step: &mut dyn FnMut(u64),
) -> Result<BootEntry, BootError> {
    let entry = BootEntry::fresh(version.name)?;
    let card = card(esp)?;
    let steps = card.add(&entry)?;
    let kept;
    let device_trees = if version.device_trees.is_empty() {
        kept = device_trees(esp, card.config.slot)?;
        kept.as_slice()
    } else {
        version.device_trees
    };
    let mut uki = Some(version.uki);
    for next in &steps {
        match (next, uki.take()) {
            (Step::Fill(choice), Some(uki)) => fill(esp, choice, device_trees, uki, step)?,
            (_, unused) => {
                uki = unused;
                perform(esp, next)?;
            }
        }
    }
    Ok(entry)
}

pub(super) fn recount(esp: &mut Esp<'_, impl Device>, to: &BootEntry) -> Result<(), BootError> {
    card(esp)?.recount(to)?.iter().try_for_each(|step| perform(esp, step))
}

pub(super) fn try_once(esp: &mut Esp<'_, impl Device>, entry: &BootEntry) -> Result<Restart, BootError> {
    card(esp)?.try_once(entry)?.iter().try_for_each(|step| perform(esp, step))?;
    Ok(Restart::Argument(TRYBOOT_ARGUMENT))
}

fn perform(esp: &mut Esp<'_, impl Device>, step: &Step) -> Result<(), BootError> {
    let (name, choice): (_, &Choice) = match step {
        Step::Offer(choice) => (TRYBOOT, choice),
        Step::Commit(choice) => (CONFIG, choice),
        Step::Fill(_) => return Ok(()),
    };
    let sector: [u8; SECTOR] = choice.encode();
    Ok(esp.overwrite(name, &sector)?)
}

fn device_trees(esp: &mut Esp<'_, impl Device>, slot: Slot) -> Result<Vec<(String, Vec<u8>)>, BootError> {
    let mut found = Vec::new();
    for name in DEVICE_TREES {
        let bytes = esp.read(&format!("{}{name}", folder(slot)))?.ok_or(BootError::NoFile(name))?;
        found.push((name.to_owned(), bytes));
    }
    Ok(found)
}

/// A version's folder. It may hold an older one; nothing names it now.
fn fill(
    esp: &mut Esp<'_, impl Device>,
    choice: &Choice,
    device_trees: &[(String, Vec<u8>)],
    uki: Source<'_>,
    step: &mut dyn FnMut(u64),
) -> Result<(), BootError> {
    let folder = folder(choice.slot);
    for (name, bytes) in device_trees {
        esp.write(&format!("{folder}{name}"), bytes)?;
    }
    unpack(uki, &mut |part| match part {
        Part::Linux(source) => Ok(esp.write_large(&format!("{folder}linux"), source, step)?),
        Part::Initrd(source) => Ok(esp.write_large(&format!("{folder}initrd"), source, step)?),
        Part::CommandLine(line) => {
            let line = command_line(&line, &choice.entry);
            Ok(esp.write(&format!("{folder}cmdline.txt"), line.as_bytes())?)
        }
    })
}

/// The image's own consoles are those of a PC or of a virtual machine.
fn command_line(line: &str, entry: &BootEntry) -> String {
    let words = line.split(' ').filter(|word| !word.starts_with("console="));
    let words: Vec<_> = words.collect();
    format!("{} {CONSOLES} {STARTED_AS}{}\n", words.join(" "), entry.stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_the_images_with_this_boards_consoles() {
        let entry = BootEntry::fresh("0.1.0+abcd").unwrap();
        assert_eq!(
            command_line("ro console=tty0 console=ttyAMA0,115200 roothash=ab", &entry),
            "ro roothash=ab console=tty1 console=ttyS1,115200 cairn.pi=cairn_0.1.0-abcd\n"
        );
    }
}
