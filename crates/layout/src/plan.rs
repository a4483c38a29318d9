//! Which partitions a node's disk has, and where: a pure function of its size.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::gpt::{self, Entry, Table};

pub const MIB: u64 = 1024 * 1024;

/// Partitions start and end on these, whatever the sector size: what every partitioner does, and
/// what flash likes.
pub const ALIGNMENT: u64 = MIB;
pub const ESP_BYTES: u64 = 512 * MIB;
pub const ROOT_BYTES: u64 = 768 * MIB;
pub const VERITY_BYTES: u64 = 16 * MIB;
/// Below this the node has no room for etcd, let alone images. (LUKS2's header alone takes 16 MiB.)
pub const MIN_DATA_BYTES: u64 = 1024 * MIB;

pub const ESP_NUMBER: u32 = 1;
pub const DATA_NUMBER: u32 = 6;
pub const DATA_NAME: &str = "cairn-data";
/// The partitions of every Cairn disk, a fresh medium's too.
pub const FIXED_NAMES: [(u32, &str); 5] = [
    (1, "cairn-esp"),
    (2, "cairn-root-a"),
    (3, "cairn-verity-a"),
    (4, "cairn-root-b"),
    (5, "cairn-verity-b"),
];

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error(
        "the disk of {} GB is too small: a Cairn node needs at least {} GB, choose a larger one",
        tenths(*.have, false), tenths(*.need, true)
    )]
    TooSmall { have: u64, need: u64 },
    #[error("a disk with sectors of {0} bytes is not supported: Cairn knows 512 and 4096")]
    SectorSize(u64),
    #[error("`{0}` is no root hash: it has to be 64 hexadecimal digits")]
    RootHash(String),
    #[error("architecture `{0}` is not supported: Cairn knows x86-64 and arm64")]
    Arch(String),
}

/// GB with one decimal, so that a needed size is never understated, nor a present one overstated.
fn tenths(bytes: u64, up: bool) -> String {
    const TENTH: u64 = 100_000_000;
    let t = if up { bytes.div_ceil(TENTH) } else { bytes / TENTH };
    format!("{}.{}", t / 10, t % 10)
}

/// Logical sector size of the disk (`/sys/block/*/queue/logical_block_size`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectorSize {
    B512,
    B4096,
}

impl SectorSize {
    pub const fn bytes(self) -> u64 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }
}

impl TryFrom<u64> for SectorSize {
    type Error = LayoutError;
    fn try_from(bytes: u64) -> Result<Self, LayoutError> {
        match bytes {
            512 => Ok(Self::B512),
            4096 => Ok(Self::B4096),
            other => Err(LayoutError::SectorSize(other)),
        }
    }
}

/// Decides the types of the root partitions and the name of the boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Arm64,
}

impl Arch {
    pub(crate) fn root_type(self) -> Uuid {
        match self {
            Self::X86_64 => gpt::ROOT_X86_64,
            Self::Arm64 => gpt::ROOT_ARM64,
        }
    }

    pub(crate) fn verity_type(self) -> Uuid {
        match self {
            Self::X86_64 => gpt::VERITY_X86_64,
            Self::Arm64 => gpt::VERITY_ARM64,
        }
    }

    /// Where UEFI looks on a disk that it has no boot variable for (UEFI 2.10, 3.5.1.1).
    pub fn removable_loader(self) -> &'static str {
        match self {
            Self::X86_64 => "EFI/BOOT/BOOTX64.EFI",
            Self::Arm64 => "EFI/BOOT/BOOTAA64.EFI",
        }
    }
}

impl std::fmt::Display for Arch {
    /// As the image's manifest has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86-64",
            Self::Arm64 => "arm64",
        })
    }
}

impl FromStr for Arch {
    type Err = LayoutError;
    fn from_str(s: &str) -> Result<Self, LayoutError> {
        match s {
            "x86-64" | "x86_64" | "amd64" => Ok(Self::X86_64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            other => Err(LayoutError::Arch(other.to_owned())),
        }
    }
}

/// dm-verity's root hash (SHA-256), which names an image and, in halves, its two partitions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RootHash(pub [u8; 32]);

impl RootHash {
    /// As systemd-veritysetup-generator looks for them: the first 128 bits name the root partition,
    /// the last 128 the verity partition.
    pub fn partition_guids(&self) -> (Uuid, Uuid) {
        let whole = self.0;
        let (mut root, mut verity) = ([0; 16], [0; 16]);
        root.iter_mut().zip(whole.iter()).for_each(|(to, from)| *to = *from);
        verity.iter_mut().zip(whole.iter().skip(16)).for_each(|(to, from)| *to = *from);
        (Uuid::from_bytes(root), Uuid::from_bytes(verity))
    }

    pub fn from_partition_guids(root: Uuid, verity: Uuid) -> Self {
        let mut hash = [0; 32];
        hash.iter_mut()
            .zip(root.as_bytes().iter().chain(verity.as_bytes()))
            .for_each(|(to, from)| *to = *from);
        Self(hash)
    }
}

impl FromStr for RootHash {
    type Err = LayoutError;
    fn from_str(s: &str) -> Result<Self, LayoutError> {
        let mut hash = [0; 32];
        hex::decode_to_slice(s, &mut hash).map_err(|_| LayoutError::RootHash(s.to_owned()))?;
        Ok(Self(hash))
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Sixteen random bytes from which every identifier on one disk follows, so that the same seed
/// gives the same bytes. Not a secret; never use one for two disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub [u8; 16]);

impl Seed {
    pub(crate) fn guid(&self, label: &str) -> Uuid {
        Uuid::new_v5(&Uuid::from_bytes(self.0), label.as_bytes())
    }

    pub(crate) fn volume_id(&self) -> u32 {
        self.guid("fat volume").as_fields().0
    }
}

/// One of the two places for a root image and its verity tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    A,
    B,
}

impl Slot {
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub fn root_number(self) -> u32 {
        match self {
            Self::A => 2,
            Self::B => 4,
        }
    }

    pub fn verity_number(self) -> u32 {
        self.root_number() + 1
    }
}

/// A partition, in bytes from the start of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// As the kernel counts: `cairn-esp` is 1.
    pub number: u32,
    pub name: &'static str,
    pub kind: Uuid,
    pub start: u64,
    pub len: u64,
}

/// Where everything goes on a disk of a given size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub disk_bytes: u64,
    pub sector: SectorSize,
    pub arch: Arch,
    pub partitions: Vec<Partition>,
}

impl Layout {
    /// A whole node's disk, with the data partition over all that is left.
    pub fn plan(disk_bytes: u64, sector: SectorSize, arch: Arch) -> Result<Self, LayoutError> {
        let mut layout = Self::fixed(disk_bytes, sector, arch);
        layout.partitions.push(data_partition(disk_bytes)?);
        Ok(layout)
    }

    /// A prepared medium: an image as small as it can be, without the data partition, which
    /// [`crate::grow_and_add_data`] makes when the medium is first booted. SD cards and USB sticks
    /// have sectors of 512 bytes.
    pub fn medium(sector: SectorSize, arch: Arch) -> Self {
        Self::fixed(fixed_end() + ALIGNMENT, sector, arch)
    }

    fn fixed(disk_bytes: u64, sector: SectorSize, arch: Arch) -> Self {
        let (root, verity) = (arch.root_type(), arch.verity_type());
        let kinds = [
            (gpt::ESP, ESP_BYTES),
            (root, ROOT_BYTES),
            (verity, VERITY_BYTES),
            (root, ROOT_BYTES),
            (verity, VERITY_BYTES),
        ];
        let mut start = ALIGNMENT;
        let partitions = FIXED_NAMES
            .into_iter()
            .zip(kinds)
            .map(|((number, name), (kind, len))| {
                let partition = Partition { number, name, kind, start, len };
                start += len;
                partition
            })
            .collect();
        Self { disk_bytes, sector, arch, partitions }
    }

    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.number == number)
    }

    /// The table as it is written, every slot empty: empty slots bear GUIDs that no root hash has.
    pub fn table(&self, seed: &Seed) -> Table {
        let sector = self.sector.bytes();
        let entries = self.partitions.iter().map(|p| Entry {
            number: p.number,
            kind: p.kind,
            guid: seed.guid(p.name),
            first: p.start / sector,
            last: (p.start + p.len) / sector - 1,
            attributes: 0,
            name: p.name.to_owned(),
        });
        Table {
            sector: self.sector,
            disk_sectors: self.disk_bytes / sector,
            disk_guid: seed.guid("disk"),
            entries: entries.collect(),
            mbr: gpt::Mbr::Protective,
        }
    }
}

/// End of the partitions whose sizes are fixed.
const fn fixed_end() -> u64 {
    ALIGNMENT + ESP_BYTES + 2 * (ROOT_BYTES + VERITY_BYTES)
}

/// Smallest disk for a node.
pub const MIN_DISK_BYTES: u64 = fixed_end() + MIN_DATA_BYTES + ALIGNMENT;

pub(crate) fn data_partition(disk_bytes: u64) -> Result<Partition, LayoutError> {
    if disk_bytes < MIN_DISK_BYTES {
        return Err(LayoutError::TooSmall { have: disk_bytes, need: MIN_DISK_BYTES });
    }
    let start = fixed_end();
    // The last MiB stays free: the backup table needs 16.5 KiB (20 KiB with large sectors) of it.
    let end = (disk_bytes - ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    Ok(Partition { number: DATA_NUMBER, name: DATA_NAME, kind: gpt::LUKS, start, len: end - start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GB: u64 = 1_000_000_000;

    #[test]
    fn a_disk_too_small_is_refused_with_the_size_that_is_needed() {
        let error = Layout::plan(2 * GB, SectorSize::B512, Arch::X86_64).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the disk of 2.0 GB is too small: a Cairn node needs at least 3.3 GB, choose a larger one"
        );
        assert!(Layout::plan(MIN_DISK_BYTES, SectorSize::B512, Arch::X86_64).is_ok());
        assert!(Layout::plan(MIN_DISK_BYTES - 1, SectorSize::B512, Arch::X86_64).is_err());
    }

    #[test]
    fn a_prepared_medium_is_2_2_gb_and_has_no_data_partition() {
        let layout = Layout::medium(SectorSize::B512, Arch::X86_64);
        assert_eq!(layout.disk_bytes, 2082 * MIB);
        assert_eq!(layout.partition(DATA_NUMBER), None);
        assert_eq!(layout.partitions.len(), 5);
    }

    #[test]
    fn the_root_hash_is_found_again_in_the_partition_guids() {
        let text = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
        let hash: RootHash = text.parse().unwrap();
        let (root, verity) = hash.partition_guids();
        assert_eq!(root.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(verity.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(RootHash::from_partition_guids(root, verity).to_string(), text);
        for wrong in ["", "00", &text[1..], &text.replace('0', "g")] {
            assert!(wrong.parse::<RootHash>().is_err());
        }
    }

    #[test]
    fn another_seed_gives_other_identifiers_and_the_same_seed_the_same() {
        let layout = Layout::plan(8 * GB, SectorSize::B512, Arch::Arm64).unwrap();
        let (one, two) = (layout.table(&Seed([1; 16])), layout.table(&Seed([2; 16])));
        assert_eq!(one, layout.table(&Seed([1; 16])));
        let mut guids: Vec<_> = one.entries.iter().chain(&two.entries).map(|e| e.guid).collect();
        guids.extend([one.disk_guid, two.disk_guid]);
        guids.sort();
        guids.dedup();
        assert_eq!(guids.len(), 14);
        assert_eq!(one.entries[1].kind, gpt::ROOT_ARM64);
    }

    proptest! {
        #[test]
        fn partitions_are_aligned_and_apart_and_leave_room_for_both_tables(
            bytes in MIN_DISK_BYTES..100_000 * GB, large in any::<bool>(),
        ) {
            let sector = if large { SectorSize::B4096 } else { SectorSize::B512 };
            let layout = Layout::plan(bytes, sector, Arch::X86_64).unwrap();
            let mut end = ALIGNMENT;
            for p in &layout.partitions {
                prop_assert_eq!(p.start % ALIGNMENT, 0);
                prop_assert_eq!(p.len % ALIGNMENT, 0);
                prop_assert_eq!(p.start, end);
                end = p.start + p.len;
            }
            prop_assert!(end + 6 * sector.bytes() <= bytes);
            prop_assert!(bytes - end < 2 * ALIGNMENT);
            prop_assert!(layout.partitions.last().unwrap().len >= MIN_DATA_BYTES - ALIGNMENT);
        }
    }
}
