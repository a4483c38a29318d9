//! What a machine is made of, as its agent found it.

use serde::{Deserialize, Serialize};

/// Everything about a machine that helps to decide what it may become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Inventory {
    pub firmware: Firmware,
    /// As `uname -m` says it, such as `x86_64`.
    pub architecture: String,
    /// Vendor, product and serial as the firmware tells them; empty where it does not.
    pub product: Product,
    pub cpu: Cpu,
    /// Usable memory in MiB (`MemTotal`), somewhat below what is soldered on.
    pub memory_mib: u64,
    pub disks: Vec<Disk>,
    pub interfaces: Vec<Interface>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    Uefi {
        secure_boot: bool,
    },
    /// BIOS, or a board that loads the kernel by itself.
    Other,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Product {
    pub vendor: String,
    pub name: String,
    pub serial: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Cpu {
    pub model: String,
    pub cores: u32,
    /// AES instructions. Without them disks are encrypted with Adiantum.
    pub aes: bool,
}

/// A whole disk, not a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Disk {
    /// Stable across boots and slots: the name below `/dev/disk/by-id`, or the kernel's where udev
    /// knows none.
    pub id: String,
    /// The kernel's name of the moment, such as `vda`; changes between boots.
    pub kernel_name: String,
    pub model: String,
    pub serial: String,
    pub size_bytes: u64,
    pub rotational: bool,
    pub removable: bool,
    /// The machine was started from it.
    pub started_from: bool,
    pub content: DiskContent,
}

/// What is on a disk. A disk that could not be read is never called blank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DiskContent {
    Blank,
    /// In words, such as `GPT with 2 partitions: ...`.
    Holds(String),
}

impl DiskContent {
    pub fn is_blank(&self) -> bool {
        matches!(self, Self::Blank)
    }
}

impl std::fmt::Display for DiskContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blank => f.write_str("blank"),
            Self::Holds(what) => f.write_str(what),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Interface {
    pub name: String,
    /// Lower case, colons.
    pub mac: String,
    pub link: bool,
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
    pub addresses: Vec<std::net::IpAddr>,
}
