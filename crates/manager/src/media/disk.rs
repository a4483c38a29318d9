//! May a medium be written to this disk of the manager's machine? Never to one that is in use, or that
//! nobody can take out.
//!
//! What is mounted by others than this process (in a container, say) is not seen here. That is why the
//! disk is opened exclusively too, which the kernel refuses for whatever is in use.

use cairn_layout::{Arch, Layout, LayoutError, SectorSize};

/// A block device that holds data by itself, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Names this disk while it is plugged in, and never another: the kernel's name and the number that
    /// it gives each disk and card that appears (`diskseq`), such as `sdb@14`.
    pub id: String,
    pub vendor: String,
    pub model: String,
    pub kind: Kind,
    /// Bytes; 0 in a reader without a card.
    pub size: u64,
    /// Bytes.
    pub sector: u64,
    pub read_only: bool,
    /// The disk itself, then its partitions.
    pub parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The kernel calls it removable, as it does sticks and card readers.
    Removable,
    /// A card in a slot; the kernel does not call it removable.
    Card,
    /// eMMC: like a card, but soldered in.
    Soldered,
    Fixed,
}

/// What can be mounted or held by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Below `/dev`.
    pub name: String,
    /// Major and minor.
    pub number: (u32, u32),
    /// Mappings and arrays that stand on it.
    pub holders: Vec<String>,
}

/// A line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub number: (u32, u32),
    pub point: String,
    /// btrfs has numbers of its own, so the name counts too.
    pub source: String,
}

/// What this machine uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    pub mounts: Vec<Mount>,
    /// Paths below `/dev`.
    pub swaps: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("it can't be taken out; only cards and sticks are written here")]
    Fixed,
    #[error("it is soldered in (eMMC)")]
    Soldered,
    #[error("there is no card in it")]
    Empty,
    #[error("it is write-protected; cards and some sticks have a switch for that")]
    ReadOnly,
    #[error("'{part}' is mounted at {point}; unmount it first")]
    Mounted { part: String, point: String },
    #[error("'{part}' is swap space of this machine")]
    Swap { part: String },
    #[error("'{part}' is in use by '{holder}' (LVM, RAID or encryption); close that first")]
    Held { part: String, holder: String },
    #[error("its sectors have {0} bytes instead of 512")]
    Sectors(u64),
    #[error(transparent)]
    Small(#[from] LayoutError),
}

/// # Errors
/// The first reason against it.
pub fn judge(disk: &Disk, uses: &Uses) -> Result<(), Refusal> {
    match disk.kind {
        Kind::Fixed => return Err(Refusal::Fixed),
        Kind::Soldered => return Err(Refusal::Soldered),
        Kind::Removable | Kind::Card => {}
    }
    if disk.size == 0 {
        return Err(Refusal::Empty);
    }
    disk.parts.iter().try_for_each(|part| unused(part, uses))?;
    if disk.read_only {
        return Err(Refusal::ReadOnly);
    }
    if disk.sector != SectorSize::B512.bytes() {
        return Err(Refusal::Sectors(disk.sector));
    }
    // it becomes a node's disk, with a data partition
    Layout::plan(disk.size, SectorSize::B512, Arch::X86_64)?;
    Ok(())
}

fn unused(part: &Part, uses: &Uses) -> Result<(), Refusal> {
    let Part { name, number, holders } = part;
    let is_part = |path: &str| path.strip_prefix("/dev/") == Some(name);
    if let Some(mount) = uses.mounts.iter().find(|m| m.number == *number || is_part(&m.source)) {
        return Err(Refusal::Mounted { part: name.clone(), point: mount.point.clone() });
    }
    if uses.swaps.iter().any(|path| is_part(path)) {
        return Err(Refusal::Swap { part: name.clone() });
    }
    match holders.first() {
        Some(holder) => Err(Refusal::Held { part: name.clone(), holder: holder.clone() }),
        None => Ok(()),
    }
}

/// `/proc/self/mountinfo`, see proc_pid_mountinfo(5).
pub fn mounts(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(2);
        let number = number(front.next()?)?;
        let point = unescaped(front.nth(1)?);
        Some(Mount { number, point, source: unescaped(back.split(' ').nth(1)?) })
    };
    text.lines().filter_map(mount).collect()
}

/// `/proc/swaps`, see proc_swaps(5): paths under a line of titles.
pub fn swaps(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(unescaped).collect()
}

/// `8:17`, as `dev` files and mountinfo write it.
pub fn number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The kernel writes white space and backslashes in octal, such as `\040`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part
            .split_at_checked(3)
            .and_then(|(code, rest)| Some((u8::from_str_radix(code, 8).ok()?, rest)))
        {
            Some((byte, rest)) => {
                bytes.push(byte);
                bytes.extend_from_slice(rest.as_bytes());
            }
            None => {
                bytes.push(b'\\');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, minor: u32) -> Part {
        Part { name: name.into(), number: (8, minor), holders: Vec::new() }
    }

    fn stick() -> Disk {
        Disk {
            id: "sdb@14".into(),
            vendor: "SanDisk".into(),
            model: "Ultra".into(),
            kind: Kind::Removable,
            size: 16 << 30,
            sector: 512,
            read_only: false,
            parts: vec![part("sdb", 16), part("sdb1", 17)],
        }
    }

    const MOUNTS: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
60 27 0:44 / /data rw shared:3 master:2 - btrfs /dev/sdd rw,subvol=/
61 27 8:33 / /media/my\\040photos rw - vfat /dev/disk/by-label/photos rw
";
    const SWAPS: &str = "Filename\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/sda2 partition\t100\t0\t-2\n";

    #[test]
    fn only_what_can_be_taken_out_and_is_in_no_use_is_offered() {
        let uses = Uses { mounts: mounts(MOUNTS), swaps: swaps(SWAPS) };
        let held = |holder: &str| Part { holders: vec![holder.into()], ..part("sdb2", 18) };
        let cases: [(&str, Disk, &str); 14] = [
            ("a stick", stick(), ""),
            ("a card in a slot", Disk { kind: Kind::Card, ..stick() }, ""),
            ("an inner disk", Disk { kind: Kind::Fixed, ..stick() }, "can't be taken out"),
            ("eMMC", Disk { kind: Kind::Soldered, ..stick() }, "soldered"),
            ("an empty reader", Disk { size: 0, ..stick() }, "no card"),
            ("a write-protected card", Disk { read_only: true, ..stick() }, "write-protected"),
            ("sectors of 4 KiB", Disk { sector: 4096, ..stick() }, "4096 bytes"),
            ("too small a stick", Disk { size: 2 << 30, ..stick() }, "small"),
            ("the root", Disk { parts: vec![part("sda", 0), part("sda1", 1)], ..stick() }, "mounted at /"),
            (
                "by number only",
                Disk { parts: vec![part("sdc", 32), part("sdc1", 33)], ..stick() },
                "/media/my photos",
            ),
            ("by name only", Disk { parts: vec![part("sdd", 48)], ..stick() }, "mounted at /data"),
            ("swap", Disk { parts: vec![part("sda2", 2)], ..stick() }, "swap space"),
            (
                "LVM on a partition",
                Disk { parts: vec![part("sdb", 16), held("dm-0")], ..stick() },
                "'sdb2' is in use by 'dm-0'",
            ),
            ("RAID on the whole", Disk { parts: vec![held("md127")], ..stick() }, "md127"),
        ];
        for (what, disk, reason) in cases {
            match judge(&disk, &uses) {
                Ok(()) => assert_eq!(reason, "", "{what}"),
                Err(refusal) => {
                    let words = refusal.to_string();
                    assert!(!reason.is_empty() && words.contains(reason), "{what}: {words}");
                }
            }
        }
    }

    #[test]
    fn a_name_that_only_begins_like_the_disks_is_another() {
        let uses = Uses { swaps: vec!["/dev/sdb10".into()], ..Uses::default() };
        assert!(judge(&stick(), &uses).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,200}", line in "[0-9: /\\\\-]{0,80}") {
            let _ = (mounts(&text), swaps(&text), mounts(&line), swaps(&line), number(&line));
        }

        #[test]
        fn what_the_kernel_escapes_is_read_back(plain in "[ a-z\\\\/\t]{0,30}") {
            let escaped: String = plain
                .chars()
                .map(|c| if " \t\\".contains(c) { format!("\\{:03o}", u32::from(c)) } else { c.to_string() })
                .collect();
            proptest::prop_assert_eq!(unescaped(&escaped), plain);
        }
    }
}
