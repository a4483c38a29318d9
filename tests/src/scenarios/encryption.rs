//! What somebody finds who takes a node's disk home.

use crate::disk;
use crate::world::{World, path};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

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
    opens(world, "etcd-1", "xchacha12,aes-adiantum")?;
    opens(world, "compute-1", "aes-xts")
}

fn opens(world: &World, node: &str, cipher: &str) -> Result<()> {
    let raw = disk::copy(world, node)?;
    let part = disk::data_partition(world, &raw)?;
    let judge = |arguments: &[&str]| world.run(Command::new("cryptsetup").args(arguments).arg(&part.path));
    ensure!(judge(&["isLuks", "--type", "luks2"])?.is_ok(), "the data partition of {node} is no LUKS2");
    let dump = judge(&["luksDump"])?.words();
    ensure!(dump.contains(cipher), "{node} is not encrypted with {cipher}: {dump}");
    let wrong = world.scratch.join("wrong.key");
    std::fs::write(&wrong, "0000000000000000000000000000000000000000000000000000")?;
    let refused = judge(&["open", "--test-passphrase", "--key-file", path(&wrong)?])?;
    ensure!(refused.code == 2, "a wrong key was not refused, but: {} {}", refused.code, refused.words());
    let key = world.scratch.join("right.key");
    std::fs::write(&key, key_of(world, &part.path)?)?;
    let opened = judge(&["open", "--test-passphrase", "--key-file", path(&key)?]);
    std::fs::remove_file(&key)?;
    let opened = opened?;
    ensure!(opened.is_ok(), "the recovery key does not open {node}: {}", opened.words());
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
