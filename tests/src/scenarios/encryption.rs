//! What somebody finds who takes a node's disk home.

use crate::command::Answer;
use crate::disk;
use crate::world::{World, path};
use anyhow::{Context, Result, ensure};
use cairn_lab::DiskSpec;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The serial number of a disk in a stranger's hands.
const FOUND: &str = "found";
const MARKER: &str = "cairn-scenario-marker-5f1c9e7a2b";

pub fn marker(world: &World) -> Result<()> {
    let write = format!("echo {MARKER} >/var/lib/marker && sync && grep -c {MARKER} /var/lib/marker");
    ensure!(world.exec("etcd-1", &["sh", "-c", &write])? == "1", "the marker was not written");
    let raw = disk::copy(world, "etcd-1")?;
    // The search is worth something only if it finds what is there: the boot loader's name, in the clear on the ESP.
    ensure!(disk::contains(&raw.path, "systemd-boot")?, "not even the boot loader was found on the raw disk");
    ensure!(!disk::contains(&raw.path, MARKER)?, "the marker is on the raw disk in the clear");
    world.exec("etcd-1", &["rm", "/var/lib/marker"])?;
    world.healthy(Duration::from_secs(60)).map(drop)
}

pub fn recovery_key(world: &World) -> Result<()> {
    let raw = disk::copy(world, "compute-1")?;
    let part = disk::data_partition(world, &raw)?;
    is_encrypted(world, &part.path, "aes-xts")?;
    opens_with_its_key_only(world, &part.path, |key| {
        let file = world.scratch.join("key");
        std::fs::write(&file, key)?;
        let mut command = Command::new("cryptsetup");
        command.args(["open", "--test-passphrase", "--key-file"]).arg(&file).arg(&part.path);
        let answer = world.run(&mut command);
        std::fs::remove_file(&file)?;
        answer
    })?;

    // Not every kernel knows Adiantum, so another node's judges, with the disk plugged in.
    let raw = disk::copy(world, "etcd-1")?;
    let part = disk::data_partition(world, &raw)?;
    is_encrypted(world, &part.path, "xchacha12,aes-adiantum")?;
    let lab = world.lab()?;
    let other = lab.machine("compute-1")?;
    other.plug_disk(&DiskSpec::copy_of(FOUND, std::fs::metadata(&part.path)?.len(), &part.path))?;
    let device = format!("/dev/disk/by-id/virtio-{FOUND}");
    let open = format!("printf %s \"$0\" | cryptsetup open --test-passphrase --key-file - {device}");
    let judged = world
        .until("the disk to be found", Duration::from_secs(30), || world.exec("compute-1", &["ls", &device]))
        .and_then(|_| {
            opens_with_its_key_only(world, &part.path, |key| {
                world.run(&mut world.lab_command(&["exec", "compute-1", "--", "sh", "-c", &open, key]))
            })
        });
    other.pull_disk(FOUND)?;
    judged
}

fn is_encrypted(world: &World, part: &Path, cipher: &str) -> Result<()> {
    let judge = |arguments: &[&str]| world.run(Command::new("cryptsetup").args(arguments).arg(part));
    ensure!(judge(&["isLuks", "--type", "luks2"])?.is_ok(), "{} is no LUKS2", part.display());
    let dump = judge(&["luksDump"])?.words();
    ensure!(dump.contains(cipher), "{} is not encrypted with {cipher}: {dump}", part.display());
    Ok(())
}

/// `open` tries a key and gives cryptsetup's answer: 0 when it fits, 2 when it does not.
fn opens_with_its_key_only(world: &World, part: &Path, open: impl Fn(&str) -> Result<Answer>) -> Result<()> {
    let key = key_of(world, part)?;
    let wrong: String = key.chars().rev().collect();
    let refused = open(&wrong)?;
    ensure!(refused.code == 2, "a wrong key was not refused, but: {} {}", refused.code, refused.words());
    let opened = open(&key)?;
    ensure!(opened.is_ok(), "the recovery key does not open {}: {}", part.display(), opened.words());
    Ok(())
}

/// The recovery key, from nothing but the volume's name and the cluster file of the first day.
pub fn key_of(world: &World, partition: &Path) -> Result<String> {
    let uuid = world.demand(Command::new("cryptsetup").arg("luksUUID").arg(partition))?;
    let (file, passphrase) = (world.cluster_file(), world.passphrase());
    let arguments =
        ["file", "recovery-key", path(&file)?, "--passphrase-file", path(&passphrase)?, "--luks-uuid", &uuid];
    let answer = world.cairn(&arguments)?;
    ensure!(answer.is_ok(), "no recovery key for {uuid}: {}", answer.words());
    Some(answer.text()).filter(|key| !key.is_empty()).context("an empty recovery key")
}
