//! A machine that nobody approved, with somebody's photos on its disk.

use crate::world::{World, path};
use anyhow::{Context, Result, ensure};
use cairn_lab::{DiskSpec, MachineSpec};
use cairn_manager::api::MachineStatus;
use std::process::Command;
use std::time::{Duration, Instant};

pub const NAME: &str = "stranger";
pub const DISK: u64 = 8 << 30;

pub fn gets_nothing(world: &World) -> Result<()> {
    let before = world.status()?;
    let began = Instant::now();
    start(world, NAME, DiskSpec::over("photos", DISK, photos(world)?))?;
    let machine = discovered(world, NAME, Duration::from_secs(180))?;
    world.figures.borrow_mut().time("power-on to discovered (netboot, one machine)", began.elapsed(), "");
    let code = machine.code.clone().context("no code")?;

    let wrong = if code.starts_with('0') { code.replacen('0', "1", 1) } else { format!("0{}", tail(&code)) };
    let answer = approve(world, &machine, &wrong, &[])?;
    refused(&answer, "not the code that the machine shows")?;
    let code = current_code(world, &machine)?;
    let id = photos_disk(&machine)?;
    refused(&approve(world, &machine, &code, &["--disk", &id])?, "photos")?;
    // Without a disk named there is none that may be taken.
    refused(&approve(world, &machine, &code, &[])?, &id)?;

    let after = world.status()?;
    ensure!(before.cluster == after.cluster, "the cluster changed: {:?} {:?}", before.cluster, after.cluster);
    let enrolled = |status: &cairn_manager::api::Status| status.nodes.iter().filter(|it| it.enrolled).count();
    ensure!(enrolled(&before) == enrolled(&after), "a place was taken");
    let known = after.machines.iter().find(|it| it.id == machine.id).context("the machine is gone")?;
    ensure!(!known.approved && known.claims.is_none(), "the machine is taken for {:?}", known.claims);
    let journal = std::fs::read_to_string(world.state.join("manager/work/journal.json"))?;
    ensure!(!journal.contains(&machine.id), "the journal speaks of the machine");
    let console = world.lab()?.machine(NAME)?.console_since(0)?;
    ensure!(
        !String::from_utf8_lossy(&console).contains("approved as"),
        "the machine believes to be approved"
    );
    Ok(())
}

/// Everything but the first character.
fn tail(text: &str) -> &str {
    text.char_indices().nth(1).and_then(|(at, _)| text.get(at..)).unwrap_or_default()
}

/// A disk image with an ext4 file system `photos` that holds a file.
pub fn photos(world: &World) -> Result<std::path::PathBuf> {
    let folder = world.scratch.join("photos");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("beach.jpg"), "not really a picture")?;
    let image = world.scratch.join("photos.raw");
    let _ = std::fs::remove_file(&image);
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-L", "photos", "-d", path(&folder)?, path(&image)?, "8G"]);
    world.demand(&mut command)?;
    Ok(image)
}

pub fn photos_disk(machine: &MachineStatus) -> Result<String> {
    let inventory = machine.inventory.as_ref().context("no inventory")?;
    let disk = inventory.disks.iter().find(|disk| disk.content.to_string().contains("photos"));
    Ok(disk
        .with_context(|| format!("the disk with the photos is not told: {:?}", inventory.disks))?
        .id
        .clone())
}

/// Switches a new machine on that starts from the network.
pub fn start(world: &World, name: &str, disk: DiskSpec) -> Result<()> {
    let lab = world.lab()?;
    let mut spec = MachineSpec::netboot(name, 1536).with_disk(disk);
    spec.rtc_base = Some("1970-01-01".to_owned());
    lab.add_machine(&spec)?;
    lab.machine(name)?.power_on()?;
    Ok(())
}

pub fn find(world: &World, name: &str) -> Result<MachineStatus> {
    let mac = MachineSpec::netboot(name, 1).mac();
    let owns = |machine: &MachineStatus| {
        machine.inventory.iter().flat_map(|it| &it.interfaces).any(|interface| interface.mac == mac)
    };
    let machines = world.status()?.machines;
    machines.into_iter().find(owns).with_context(|| format!("{name} is not among the machines"))
}

/// Waits until the manager and the machine's console show the same code.
pub fn discovered(world: &World, name: &str, patience: Duration) -> Result<MachineStatus> {
    world.until(&format!("{name} to be discovered"), patience, || {
        let machine = find(world, name)?;
        let code = machine.code.as_ref().context("it has no code yet")?;
        let console = world.lab()?.machine(name)?.console_since(0)?;
        let same = String::from_utf8_lossy(&console).contains(&format!("code {code}"));
        ensure!(same, "its console does not show the code {code}");
        Ok(machine)
    })
}

/// A wrong guess may have changed it.
pub fn current_code(world: &World, machine: &MachineStatus) -> Result<String> {
    world.until("a code", Duration::from_secs(30), || {
        let machines = world.status()?.machines;
        machines.into_iter().find(|it| it.id == machine.id).and_then(|it| it.code).context("no code")
    })
}

pub fn approve(
    world: &World,
    machine: &MachineStatus,
    code: &str,
    more: &[&str],
) -> Result<crate::command::Answer> {
    world.cairn(&[&["node", "approve", &machine.short_id, "--code", code], more].concat())
}

fn refused(answer: &crate::command::Answer, words: &str) -> Result<()> {
    ensure!(!answer.is_ok(), "an approval was not refused: {}", answer.words());
    ensure!(answer.words().contains(words), "the refusal does not say `{words}`: {}", answer.words());
    Ok(())
}
