//! UEFI with systemd-boot: a version is one UKI, and the counter in its name does the rest.

use super::{BootError, Version};
use crate::boot_entry::BootEntry;
use crate::device::Device;
use crate::esp::Esp;
use crate::plan::Arch;

/// No menu, no editor (it could change the kernel's command line), nothing but our own entries.
const LOADER_CONF: &[u8] = b"timeout 0\neditor no\nauto-entries no\nauto-firmware no\n";

pub(super) fn write_version(
    esp: &mut Esp<'_, impl Device>,
    version: Version<'_>,
    step: &mut dyn FnMut(u64),
) -> Result<BootEntry, BootError> {
    let Version { name, uki, device_trees: _ } = version;
    let entry = BootEntry::fresh(name)?;
    esp.write_entry(&entry, uki.reader, uki.len, step)?;
    Ok(entry)
}

/// The first version of an empty boot partition. The boot loader comes last, so that firmware finds nothing to start
/// before all is there.
pub(super) fn install(
    esp: &mut Esp<'_, impl Device>,
    arch: Arch,
    boot_loader: &[u8],
    version: Version<'_>,
    step: &mut dyn FnMut(u64),
) -> Result<(), BootError> {
    esp.write("loader/loader.conf", LOADER_CONF)?;
    write_version(esp, version, step)?;
    Ok(esp.write(arch.removable_loader(), boot_loader)?)
}
