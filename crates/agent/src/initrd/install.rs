//! Carrying out an order: from a checked order to a node that waits for its key.
//!
//! In an order that a power cut can't turn into something else: what makes the disk start (the boot
//! identity, and on an inner disk the boot loader) is written last. Before that, the machine starts as
//! it started this time, and everything is done again.

use crate::boot::{self, BootDisk, BootError};
use crate::command::{self, CommandError};
use crate::console::say;
use crate::initrd::enrol::{OrderError, check_disk};
use crate::initrd::stick::{self, StickError, System};
use crate::inventory;
use crate::keys::Keys;
use crate::latency;
use crate::state::{BootIdentity, IDENTITY_FILE, JOIN_FILE, KEYS_FILE, NodeState, StateError};
use crate::volume::{self, VolumeError};
use cairn_layout::install::{Root, Source};
use cairn_layout::{Arch, Layout, Loader, Payload, Progress, Seed};
use cairn_model::cluster::Role;
use cairn_wire::message::{EnrolOrder, Target, install_steps};
use cairn_workflow::log::chain;
use cairn_workflow::{EventLog, Plan, What};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const DATA_PARTITION: u32 = 6;
const MOUNT_POINT: &str = "/run/cairn/volume";
/// Progress of the copy is told this often, in bytes.
const REPORT_EVERY: u64 = 4 << 20;
/// The kernel and udev know a new partition after milliseconds; an emulated machine under load, later.
const PARTITION_APPEARS: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error("the disk could not be laid out")]
    Layout(#[from] cairn_layout::LayoutError),
    #[error("the system could not be written")]
    Write(#[from] cairn_layout::InstallError),
    #[error("the data partition could not be made")]
    Grow(#[from] cairn_layout::grow::GrowError),
    #[error("the system did not arrive whole")]
    Download(#[source] io::Error),
    #[error(transparent)]
    Stick(#[from] StickError),
    #[error("the kernel does not see the data partition of {0}")]
    NoPartition(PathBuf),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("the new volume could not be mounted or unmounted")]
    Mount(#[source] io::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the boot identity could not be written down")]
    Identity(#[from] serde_json::Error),
    #[error("the system gives no random bytes")]
    Random(#[source] getrandom::Error),
}

/// The whole job. Every failure is the last event of the log. `begin` is told the disk once it was found
/// fit, before the first byte is written.
///
/// # Errors
/// The step that failed; the machine is as it was for all that starts it.
pub fn install(
    order: &EnrolOrder,
    keys: &Keys,
    medium: Option<&BootDisk>,
    log: &EventLog,
    begin: impl Fn(&str),
) -> Result<(), InstallError> {
    let plan = Plan::new("install", &order.config.name, install_steps(&order.target));
    log.emit(What::Planned { plan });
    let onto_disk = |id: &str, wipe, system: &dyn Fn() -> Result<System, InstallError>| {
        let disk = log.blocking_step("check-disk", || find_disk(id, wipe, medium))?;
        begin(id);
        let loader = log.blocking_step("write-system", || write_system(&disk, system()?, log))?;
        Ok::<_, InstallError>((disk, Some(loader)))
    };
    let stick = || medium.ok_or(OrderError::Target);
    let (disk, boot_loader) = match &order.target {
        Target::Medium => (stick()?.clone(), None),
        Target::Disk { id, wipe, source } => onto_disk(id, *wipe, &|| Ok(System::served(source)))?,
        Target::InnerDisk { id, wipe } => onto_disk(id, *wipe, &|| Ok(System::on_stick(stick()?)?))?,
    };
    let partition = log.blocking_step("partition", || make_partition(&disk, boot_loader.is_none()))?;
    log.blocking_step("encrypt", || encrypt(&partition, order))?;
    log.blocking_step("file-system", || fill_volume(order, keys))?;
    log.blocking_step("identity", || {
        // a medium keeps its own
        if let (Some(_), Some(stick)) = (&boot_loader, medium) {
            carry_network(stick, &disk)?;
        }
        write_identity(&disk, order, keys, boot_loader.as_deref())
    })?;
    if let (Target::InnerDisk { .. }, Some(stick)) = (&order.target, medium)
        && let Err(error) = stick::retire(stick)
    {
        say(&format!("the installer stick could not be ended, so take it out: {}", chain(&error)));
    }
    log.emit(What::Finished);
    Ok(())
}

/// The disk is looked at anew: between the approval and now somebody may have plugged another.
fn find_disk(id: &str, wipe: bool, medium: Option<&BootDisk>) -> Result<BootDisk, InstallError> {
    let inventory = inventory::take(medium.map(|medium| medium.path.as_path()));
    let disk =
        inventory.disks.iter().find(|d| d.id == id).ok_or_else(|| OrderError::NoSuchDisk(id.to_owned()))?;
    check_disk(disk, wipe)?;
    Ok(BootDisk::at(Path::new("/dev").join(&disk.kernel_name)))
}

fn seed() -> Result<Seed, InstallError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(InstallError::Random)?;
    Ok(Seed(bytes))
}

/// Everything but the boot loader, which is returned and written at the very end.
fn write_system(disk: &BootDisk, system: System, log: &EventLog) -> Result<Vec<u8>, InstallError> {
    let System { version, root_hash, mut boot_loader, mut uki, mut root, mut verity, lengths } = system;
    let [uki_length, root_length, verity_length] = lengths;
    let mut loader = Vec::new();
    boot_loader.read_to_end(&mut loader).map_err(InstallError::Download)?;
    boot_loader.finish().map_err(InstallError::Download)?;

    let mut device = disk.open()?;
    let size = io::Seek::seek(&mut device, io::SeekFrom::End(0)).map_err(InstallError::Download)?;
    let arch: Arch = std::env::consts::ARCH.parse()?;
    let layout = Layout::plan(size, disk.sector(), arch)?;
    let payload = Payload {
        version: &version,
        loader: Loader::SystemdBoot(&[]),
        uki: Source { reader: &mut uki, len: uki_length },
        root: Root {
            hash: root_hash.parse()?,
            root: Source { reader: &mut root, len: root_length },
            verity: Source { reader: &mut verity, len: verity_length },
        },
        files: &[],
    };
    let mut told = 0;
    cairn_layout::install(&mut device, &layout, &seed()?, payload, &mut |Progress { done, total }| {
        if done >= told + REPORT_EVERY || done == total {
            told = done;
            log.emit(What::Progress { step: "write-system".into(), done, total, unit: "bytes".into() });
        }
    })?;
    for file in [uki, root, verity] {
        file.finish().map_err(InstallError::Download)?;
    }
    Ok(loader)
}

fn make_partition(disk: &BootDisk, grow: bool) -> Result<PathBuf, InstallError> {
    if grow {
        cairn_layout::grow_and_add_data(&mut disk.open()?, disk.sector(), &seed()?)?;
    }
    // The other partitions of a medium are in use, so the kernel is told of the new ones only.
    command::run("partx", &["--update", &disk.path.to_string_lossy()], b"")?;
    command::run("udevadm", &["settle"], b"")?;
    let deadline = Instant::now() + PARTITION_APPEARS;
    loop {
        if let Some(partition) = boot::partition(&disk.path, DATA_PARTITION).filter(|p| p.exists()) {
            return Ok(partition);
        }
        if Instant::now() >= deadline {
            return Err(InstallError::NoPartition(disk.path.clone()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn encrypt(partition: &Path, order: &EnrolOrder) -> Result<(), InstallError> {
    // An attempt that failed later than this may have left it open.
    if Path::new(volume::MAPPED_DEVICE).exists() {
        volume::close()?;
    }
    let aes = inventory::cpu_has_aes();
    volume::format(partition, order.luks_uuid, &order.recovery_key, aes)?;
    Ok(volume::open(partition, &order.recovery_key)?)
}

fn fill_volume(order: &EnrolOrder, keys: &Keys) -> Result<(), InstallError> {
    volume::make_file_system()?;
    let mount_error = |e: rustix::io::Errno| InstallError::Mount(e.into());
    std::fs::create_dir_all(MOUNT_POINT).map_err(InstallError::Mount)?;
    mount(volume::MAPPED_DEVICE, MOUNT_POINT, "ext4", MountFlags::empty(), None).map_err(mount_error)?;
    let state = NodeState::on_volume(Path::new(MOUNT_POINT));
    let written = state.write_enrolment(order, keys).and_then(|()| match order.config.role {
        Role::Etcd => measure(&state),
        Role::Compute | Role::Backup => Ok(()),
    });
    unmount(MOUNT_POINT, UnmountFlags::empty()).map_err(mount_error)?;
    Ok(written?)
}

/// How fast the drive is for etcd. The owner may have no other, so a slow one is told and not refused.
fn measure(state: &NodeState) -> Result<(), StateError> {
    let measured = latency::measure(Path::new(MOUNT_POINT))
        .map_err(|error| StateError::Write(MOUNT_POINT.into(), error))?;
    state.keep_write_latency(&measured)
}

/// The node needs it on its own disk from the next start on.
fn carry_network(stick: &BootDisk, disk: &BootDisk) -> Result<(), InstallError> {
    if let Some(wifi) = crate::wifi::carried(stick)? {
        disk.write(cairn_model::wifi::FILE, &wifi)?;
    }
    if let Some(address) = crate::network::carried(stick)? {
        disk.write(cairn_model::static_address::FILE, &address)?;
    }
    Ok(())
}

fn write_identity(
    disk: &BootDisk,
    order: &EnrolOrder,
    keys: &Keys,
    boot_loader: Option<&[u8]>,
) -> Result<(), InstallError> {
    let identity = zeroize::Zeroizing::new(serde_json::to_vec(&BootIdentity::new(order, keys))?);
    disk.write(IDENTITY_FILE, &identity)?;
    match boot_loader {
        Some(loader) => {
            let arch: Arch = std::env::consts::ARCH.parse()?;
            disk.write(arch.removable_loader(), loader)?;
            Ok(volume::close()?)
        }
        None => {
            disk.remove(JOIN_FILE)?;
            Ok(disk.remove(KEYS_FILE)?)
        }
    }
}
