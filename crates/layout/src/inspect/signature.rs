//! The marks by which file systems, volume managers and the like are known.
//!
//! Offsets and magics are those of each format's own description, as util-linux's libblkid probes
//! them too. Only recognised, never parsed further than the label.

use std::io::{self, Read, Seek};

use super::probe::Probe;

pub(super) const EROFS: &[u8] = b"\xe2\xe1\xf5\xe0";
pub(super) const VERITY: &[u8] = b"verity\0\0";
const LUKS: &str = "LUKS encrypted data";

#[derive(Clone, Copy)]
enum Label {
    None,
    /// Bytes at an offset, ended by zero or spaces.
    At(u64, usize),
}

struct Magic {
    at: u64,
    bytes: &'static [u8],
    what: &'static str,
    label: Label,
}

const fn magic(at: u64, bytes: &'static [u8], what: &'static str) -> Magic {
    Magic { at, bytes, what, label: Label::None }
}

const fn labelled(at: u64, bytes: &'static [u8], what: &'static str, label: u64, len: usize) -> Magic {
    Magic { at, bytes, what, label: Label::At(label, len) }
}

#[rustfmt::skip]
const MAGICS: &[Magic] = &[
    labelled(0, b"LUKS\xba\xbe", LUKS, 24, 48),
    // LUKS2's second header, where only the first was wiped.
    magic(0x4000, b"SKUL\xba\xbe", LUKS), magic(0x8000, b"SKUL\xba\xbe", LUKS),
    magic(0x10000, b"SKUL\xba\xbe", LUKS), magic(0x20000, b"SKUL\xba\xbe", LUKS),
    magic(0x40000, b"SKUL\xba\xbe", LUKS), magic(0x80000, b"SKUL\xba\xbe", LUKS),
    magic(0x10_0000, b"SKUL\xba\xbe", LUKS), magic(0x20_0000, b"SKUL\xba\xbe", LUKS),
    magic(0x40_0000, b"SKUL\xba\xbe", LUKS),
    magic(3, b"-FVE-FS-", "BitLocker encrypted data"),
    magic(0x018, b"LVM2 001", "LVM physical volume"), magic(0x218, b"LVM2 001", "LVM physical volume"),
    magic(0x418, b"LVM2 001", "LVM physical volume"), magic(0x618, b"LVM2 001", "LVM physical volume"),
    labelled(0, b"\xfc\x4e\x2b\xa9", "member of a Linux RAID (mdraid)", 32, 32),
    labelled(4096, b"\xfc\x4e\x2b\xa9", "member of a Linux RAID (mdraid)", 4096 + 32, 32),
    labelled(0x438, b"\x53\xef", "ext file system", 0x478, 16),
    labelled(0, b"XFSB", "XFS file system", 108, 12),
    labelled(0x10040, b"_BHRfS_M", "btrfs file system", 0x1012b, 256),
    magic(4096 + 24, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "bcache device or bcachefs file system"),
    magic(4096 + 24, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", "bcachefs file system"),
    magic(3, b"NTFS    ", "NTFS file system"),
    magic(3, b"EXFAT   ", "exFAT file system"),
    magic(3, b"\0\0\0\0\0ReFS", "ReFS file system"), magic(3, b"ReFS", "ReFS file system"),
    labelled(82, b"FAT32   ", "FAT32 file system", 71, 11),
    labelled(54, b"FAT16   ", "FAT16 file system", 43, 11),
    labelled(54, b"FAT12   ", "FAT12 file system", 43, 11),
    labelled(0x8001, b"CD001", "ISO 9660 file system", 0x8028, 32),
    magic(0x8001, b"BEA01", "UDF file system"),
    magic(0x400, b"\x10\x20\xf5\xf2", "F2FS file system"),
    labelled(0x400, EROFS, "EROFS file system", 0x440, 16),
    magic(0, b"hsqs", "SquashFS file system"),
    magic(0, VERITY, "dm-verity hash tree"),
    magic(0x400, b"H+", "HFS+ file system"), magic(0x400, b"HX", "HFS+ file system"),
    magic(32, b"NXSB", "APFS container"),
    magic(0x8000, b"JFS1", "JFS file system"),
    magic(0x10034, b"ReIsEr", "ReiserFS file system"),
    magic(0x10000, b"\x01\x16\x19\x70", "GFS2 file system"),
    magic(0x10_0000, b"\x0d\xd0\x01\xc0", "VMFS volume"),
    magic(0, b"bluestore block device", "Ceph BlueStore device"),
    labelled(4096 - 10, b"SWAPSPACE2", "swap space", 1052, 16), magic(4096 - 10, b"SWAP-SPACE", "swap space"),
    labelled(8192 - 10, b"SWAPSPACE2", "swap space", 1052, 16), labelled(16384 - 10, b"SWAPSPACE2", "swap space", 1052, 16),
    labelled(32768 - 10, b"SWAPSPACE2", "swap space", 1052, 16), labelled(65536 - 10, b"SWAPSPACE2", "swap space", 1052, 16),
];

/// Something recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    what: &'static str,
    label: String,
}

impl Signature {
    pub fn is_luks(&self) -> bool {
        self.what == LUKS
    }
}

/// All that is recognised in a range: several, where one thing was made over another.
pub(super) fn identify<D: Read + Seek>(
    probe: &mut Probe<'_, D>,
    start: u64,
    len: u64,
) -> io::Result<Vec<Signature>> {
    let mut found: Vec<Signature> = Vec::new();
    let mut add = |what, label| {
        if !found.iter().any(|s| s.what == what) {
            found.push(Signature { what, label });
        }
    };
    for m in MAGICS {
        if matches(probe, start, len, m.at, m.bytes)? {
            let label = match m.label {
                Label::None => String::new(),
                Label::At(at, n) => clean(&String::from_utf8_lossy(&within(probe, start, len, at, n)?)),
            };
            add(if m.what == "ext file system" { ext(probe, start, len)? } else { m.what }, label);
        }
    }
    for (at, bytes, what) in at_end(len) {
        if matches(probe, start, len, at, bytes)? {
            add(what, String::new());
        }
    }
    if zfs(probe, start, len)? {
        add("member of a ZFS pool", String::new());
    }
    Ok(found)
}

/// What stands at a distance from the end.
fn at_end(len: u64) -> impl Iterator<Item = (u64, &'static [u8], &'static str)> {
    const RAID: &str = "member of a Linux RAID (mdraid)";
    // mdraid 0.90 (md.4): in the last whole 64 KiB but one; 1.0: 8 KiB before the end, rounded to 4 KiB.
    let v090 = (len & !0xFFFF).checked_sub(0x1_0000);
    let v10 = len.checked_sub(0x2000).map(|at| at & !0xFFF);
    [
        (v090, b"\xfc\x4e\x2b\xa9".as_slice(), RAID),
        (v10, b"\xfc\x4e\x2b\xa9", RAID),
        (len.checked_sub(1024), b"Intel Raid ISM Cfg Sig. ", "member of an Intel firmware RAID"),
        (len.checked_sub(512), b"\xde\x11\xde\x11", "member of a firmware RAID (DDF)"),
    ]
    .into_iter()
    .filter_map(|(at, bytes, what)| Some((at?, bytes, what)))
}

/// ZFS keeps four labels of 256 KiB, two at each end, and in the second half of each a ring of
/// uberblocks of 1 KiB or more.
fn zfs<D: Read + Seek>(probe: &mut Probe<'_, D>, start: u64, len: u64) -> io::Result<bool> {
    const LABEL: u64 = 256 * 1024;
    let whole = len / LABEL * LABEL;
    let labels = [Some(0), Some(LABEL), whole.checked_sub(2 * LABEL), whole.checked_sub(LABEL)];
    for label in labels.into_iter().flatten() {
        let ring = within(probe, start, len, label + LABEL / 2, (LABEL / 2) as usize)?;
        let ours = |block: &[u8]| {
            let head = block.get(..8).unwrap_or_default();
            head == 0x00ba_b10c_u64.to_le_bytes() || head == 0x00ba_b10c_u64.to_be_bytes()
        };
        if ring.chunks(1024).any(ours) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// ext2, 3 or 4: has it a journal, has it extents?
fn ext<D: Read + Seek>(probe: &mut Probe<'_, D>, start: u64, len: u64) -> io::Result<&'static str> {
    let features = within(probe, start, len, 0x45c, 8)?;
    let bit = |at: usize, bit: u8| features.get(at).is_some_and(|b| b & bit != 0);
    Ok(match (bit(0, 0x04), bit(4, 0x40)) {
        (_, true) => "ext4 file system",
        (true, false) => "ext3 file system",
        (false, false) => "ext2 file system",
    })
}

fn matches<D: Read + Seek>(
    probe: &mut Probe<'_, D>,
    start: u64,
    len: u64,
    at: u64,
    bytes: &[u8],
) -> io::Result<bool> {
    Ok(within(probe, start, len, at, bytes.len())? == bytes)
}

/// Bytes of the range, as far as they lie in it.
fn within<D: Read + Seek>(
    probe: &mut Probe<'_, D>,
    start: u64,
    len: u64,
    at: u64,
    n: usize,
) -> io::Result<Vec<u8>> {
    let there = usize::try_from(len.saturating_sub(at)).unwrap_or(usize::MAX).min(n);
    probe.bytes(start.saturating_add(at), there)
}

/// A label as it may be shown: up to its end, nothing that moves a cursor or turns writing around.
pub(super) fn clean(label: &str) -> String {
    let end = label.split('\0').next().unwrap_or_default();
    let odd = |c: &char| {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    };
    end.chars().filter(|c| !odd(c)).take(48).collect::<String>().trim().to_owned()
}

pub(super) fn words(found: &[Signature]) -> String {
    let one = |s: &Signature| match s.label.as_str() {
        "" | "NO NAME" => s.what.to_owned(),
        label => format!("{} `{label}`", s.what),
    };
    found.iter().map(one).collect::<Vec<_>>().join(" and ")
}
