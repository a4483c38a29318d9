//! The disk of a node: its partition table, its boot partition, its two root slots.
//!
//! The manager writes prepared media with it (into an image file, without root), the agent installs
//! with it onto a block device in the initrd. Everything works over `Read + Write + Seek`, so both are
//! the same code, and a test is a file or a `Vec`.
//!
//! It does not encrypt: the data partition is only laid out here, and `cryptsetup` fills it. It does
//! not look for disks, and it does not decide whether a disk may be overwritten; [`inspect`] only says
//! what is on it.
//!
//! Start with [`plan`] (the table of partitions), then [`install`] (writing it) and [`grow`] (a
//! prepared medium's first boot); [`boot`] is what UEFI and a Raspberry Pi do differently, [`esp`] the files that
//! firmware reads.
//!
//! **Flushing.** What is said here about power cuts holds if `flush()` means "it is on the disk". For
//! [`std::fs::File`] it means nothing at all: wrap files and block devices in [`SyncedFile`].

#![forbid(unsafe_code)]

pub mod boot;
pub mod boot_entry;
pub mod device;
pub mod esp;
pub mod gpt;
pub mod grow;
pub mod inspect;
pub mod install;
pub mod plan;

pub use boot::{Board, Firmware, Loader};
pub use boot_entry::BootEntry;
pub use device::{Device, SyncedFile};
pub use esp::Esp;
pub use grow::grow_and_add_data;
pub use inspect::{Content, inspect};
pub use install::{InstallError, Payload, Progress, install, write_slot};
pub use plan::{Arch, Layout, LayoutError, RootHash, SectorSize, Seed, Slot};
