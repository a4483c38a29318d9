//! The few bytes of FAT32 that renaming and removing in a safe order need (Microsoft's FAT32
//! specification 1.03): directory entries, cluster chains, the count of free clusters.
//!
//! Numbers from the disk are checked before use; loops in cluster chains end at the number of
//! clusters there are.

use std::io::{self, Write};

use crate::boot_entry::BootEntry;
use crate::device::{self, Device, Window};
use crate::gpt::le32;

const SLOT: usize = 32;
/// FAT's own limit for a directory: 65,536 slots.
const MAX_DIR_BYTES: u64 = 65_536 * SLOT as u64;
/// In the FSInfo sector.
const FREE_COUNT: u64 = 488;
/// From here on a link names no cluster: this one is bad, the rest end a chain.
const BAD_CLUSTER: u32 = 0x0FFF_FFF7;
const DELETED: u8 = 0xE5;
const LONG_NAME: u8 = 0x0F;
const DIRECTORY: u8 = 0x10;
const VOLUME: u8 = 0x08;

pub(super) struct Fat<'d, D> {
    window: Window<'d, D>,
    cluster_bytes: u64,
    fat_start: u64,
    fat_bytes: u64,
    fats: u64,
    data_start: u64,
    root: u32,
    /// One behind the last valid cluster number.
    clusters_end: u32,
    info_at: u64,
}

/// A name in a directory.
#[derive(Clone, Debug)]
pub(super) struct Found {
    name: String,
    /// Where its slots stand, the short name's last.
    slots: Vec<u64>,
    short: [u8; SLOT],
}

impl Found {
    /// 0 where there is no content.
    fn cluster(&self) -> u32 {
        u32::from(le16(&self.short, 20)) << 16 | u32::from(le16(&self.short, 26))
    }

    /// A file answers to its short name too.
    fn answers_to(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || short_name(&self.short).eq_ignore_ascii_case(name)
    }

    fn size(&self) -> u32 {
        le32(&self.short, 28).unwrap_or(0)
    }

    fn is_dir(&self) -> bool {
        byte(&self.short, 11) & DIRECTORY != 0
    }
}

/// The UKIs in `EFI/Linux`, and what of their names is left over from a rename.
pub(super) struct Entries {
    pub kept: Vec<(BootEntry, Found)>,
    pub stale: Vec<Found>,
}

impl<'d, D: Device> Fat<'d, D> {
    pub fn open(mut window: Window<'d, D>) -> io::Result<Self> {
        let mut boot = [0; 512];
        device::read_at(&mut window, 0, &mut boot)?;
        let sector = u64::from(le16(&boot, 11));
        let per_cluster = u64::from(byte(&boot, 13));
        let fats = u64::from(byte(&boot, 16));
        let total = u64::from(le32(&boot, 32).unwrap_or(0));
        let fat_sectors = u64::from(le32(&boot, 36).unwrap_or(0));
        let fat_start = u64::from(le16(&boot, 14)) * sector;
        let fat_bytes = fat_sectors * sector;
        let data_start = fat_start + fats * fat_bytes;
        let fits = boot.ends_with(&[0x55, 0xAA])
            && [512, 1024, 2048, 4096].contains(&sector)
            && per_cluster.is_power_of_two()
            && (1..=2).contains(&fats)
            && fat_bytes > 0
            // Root entries, 16-bit sectors, 16-bit FAT size, version: all zero in FAT32.
            && [17, 19, 22, 42].into_iter().all(|at| le16(&boot, at) == 0)
            && (1..u64::from(le16(&boot, 14))).contains(&u64::from(le16(&boot, 48)))
            && sector * per_cluster <= 32 * 1024
            && total * sector > data_start
            && total * sector <= device::size(&mut window)?;
        if !fits {
            return Err(damaged("not a FAT32 file system"));
        }
        let cluster_bytes = sector * per_cluster;
        let clusters = (total * sector - data_start) / cluster_bytes;
        // Fewer would be FAT16; more than the FAT has room for would be read from beyond it.
        if !(65_525..=fat_bytes / 4 - 2).contains(&clusters) {
            return Err(damaged("the size of the FAT does not fit the file system's"));
        }
        let fat = Self {
            window,
            cluster_bytes,
            fat_start,
            fat_bytes,
            fats,
            data_start,
            root: le32(&boot, 44).unwrap_or(0),
            clusters_end: u32::try_from(clusters + 2).map_err(|_| damaged("more clusters than FAT32 has"))?,
            info_at: u64::from(le16(&boot, 48)) * sector,
        };
        if !fat.is_cluster(fat.root) {
            return Err(damaged("the root folder begins outside the file system"));
        }
        Ok(fat)
    }

    /// Follows a path as `fatfs` will, which computes with the numbers that it finds: whatever is
    /// there of the path begins and goes on at clusters that exist.
    pub fn check(&mut self, path: &str) -> io::Result<()> {
        match self.find(path)? {
            Some(found) => self.chain(found.cluster()).map(drop),
            None => Ok(()),
        }
    }

    fn is_cluster(&self, cluster: u32) -> bool {
        (2..self.clusters_end).contains(&cluster)
    }

    fn chain(&mut self, first: u32) -> io::Result<Vec<u32>> {
        if first != 0 && !self.is_cluster(first) {
            return Err(damaged("a file or folder begins outside the file system"));
        }
        let mut chain = Vec::new();
        let mut next = first;
        while self.is_cluster(next) {
            if chain.len() >= self.clusters_end as usize {
                return Err(damaged("a chain of clusters has no end"));
            }
            chain.push(next);
            let mut link = [0; 4];
            device::read_at(&mut self.window, self.fat_start + u64::from(next) * 4, &mut link)?;
            next = u32::from_le_bytes(link) & 0x0FFF_FFFF;
        }
        if (1..BAD_CLUSTER).contains(&next) {
            return Err(damaged("a chain of clusters leaves the file system"));
        }
        Ok(chain)
    }

    fn list(&mut self, dir: u32) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        let mut long = LongName::default();
        let mut read = 0;
        for cluster in self.chain(dir)? {
            let start = self.data_start + u64::from(cluster - 2) * self.cluster_bytes;
            read += self.cluster_bytes;
            if read > MAX_DIR_BYTES {
                return Err(damaged("a directory has no end"));
            }
            let mut bytes = vec![0; usize::try_from(self.cluster_bytes).unwrap_or(0)];
            device::read_at(&mut self.window, start, &mut bytes)?;
            let (slots, _) = bytes.as_chunks::<SLOT>();
            for (at, slot) in (start..).step_by(SLOT).zip(slots) {
                match (byte(slot, 0), byte(slot, 11)) {
                    (0, _) => return Ok(found),
                    (DELETED, _) => long = LongName::default(),
                    (_, LONG_NAME) => long.push(at, slot),
                    (_, attributes) if attributes & VOLUME != 0 => long = LongName::default(),
                    _ => found.push(std::mem::take(&mut long).finish(at, slot)),
                }
            }
        }
        Ok(found)
    }

    pub fn find(&mut self, path: &str) -> io::Result<Option<Found>> {
        let mut dir = self.root;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let found = self.list(dir)?.into_iter().find(|f| f.answers_to(part));
            match (found, parts.peek()) {
                (Some(found), None) => return Ok(Some(found)),
                (Some(found), Some(_)) if found.is_dir() => dir = found.cluster(),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    pub fn entries(&mut self) -> io::Result<Entries> {
        let mut entries = Entries { kept: Vec::new(), stale: Vec::new() };
        let Some(dir) = self.find(super::ENTRIES)?.filter(Found::is_dir) else { return Ok(entries) };
        for found in self.list(dir.cluster())?.into_iter().filter(|f| !f.is_dir()) {
            let Some(entry) = BootEntry::parse(&found.name) else { continue };
            if found.cluster() == 0 || found.size() == 0 {
                entries.stale.push(found);
                continue;
            }
            // Of two names the kinder one: no counter, else more tries left.
            let kind = |e: &BootEntry| e.counter.map_or(u32::MAX, |c| c.left);
            match entries.kept.iter_mut().find(|(_, other)| other.cluster() == found.cluster()) {
                None => entries.kept.push((entry, found)),
                Some(twin) if kind(&twin.0) < kind(&entry) => {
                    entries.stale.push(std::mem::replace(twin, (entry, found)).1);
                }
                Some(_) => entries.stale.push(found),
            }
        }
        Ok(entries)
    }

    /// Makes `to` name the same content as `from`: one write within one sector. `to` keeps its own
    /// date, which is ours and valid; firmware refuses to rename a file whose date is not.
    pub fn share(&mut self, from: &Found, to: &Found) -> io::Result<()> {
        let at = to.slots.last().ok_or_else(|| damaged("a name without a place"))?;
        // First cluster (high); time and date; first cluster (low), size.
        let pieces = [from.short.get(20..22), to.short.get(22..26), from.short.get(26..)];
        let content: Vec<u8> = pieces.into_iter().flatten().flatten().copied().collect();
        device::write_at(&mut self.window, at + 20, &content)?;
        self.window.flush()
    }

    /// New content for a file of one sector: one write, and neither FAT nor folder changes.
    pub fn overwrite(&mut self, found: &Found, sector: &[u8; 512]) -> io::Result<()> {
        let cluster = found.cluster();
        if found.is_dir() || found.size() != 512 || !self.is_cluster(cluster) {
            return Err(io::Error::other("it is no file of one sector"));
        }
        let at = self.data_start + u64::from(cluster - 2) * self.cluster_bytes;
        device::write_at(&mut self.window, at, sector)?;
        self.window.flush()
    }

    /// Takes the name away and leaves the content alone: the short name, which holds it all, first.
    /// The whole slot is cleared, though the mark would do, so that no later half-written entry can
    /// come by this one's cluster.
    pub fn forget_name(&mut self, found: &Found) -> io::Result<()> {
        let mut gone = [0; SLOT];
        if let Some(first) = gone.first_mut() {
            *first = DELETED;
        }
        for at in found.slots.iter().rev() {
            device::write_at(&mut self.window, *at, &gone)?;
        }
        self.window.flush()
    }

    /// Takes the name away, then gives the space back.
    pub fn remove(&mut self, found: &Found) -> io::Result<()> {
        if found.is_dir() {
            return Err(io::Error::other("it is a folder, not a file"));
        }
        let chain = self.chain(found.cluster())?;
        self.forget_name(found)?;
        for cluster in &chain {
            for fat in 0..self.fats {
                let at = self.fat_start + fat * self.fat_bytes + u64::from(*cluster) * 4;
                device::write_at(&mut self.window, at, &[0; 4])?;
            }
        }
        self.count_freed(chain.len())?;
        self.window.flush()
    }

    /// Clears the mark of an interrupted writer, and counts the free clusters anew: fatfs neither
    /// clears a mark that it found nor keeps the count under it.
    pub fn unmark_dirty(&mut self) -> io::Result<()> {
        const DIRTY_AT: u64 = 65;
        let mut mark = [0];
        device::read_at(&mut self.window, DIRTY_AT, &mut mark)?;
        if mark == [0] {
            return Ok(());
        }
        let free = self.count_free()?;
        device::write_at(&mut self.window, self.info_at + FREE_COUNT, &free.to_le_bytes())?;
        self.window.flush()?;
        device::write_at(&mut self.window, DIRTY_AT, &[0])?;
        self.window.flush()
    }

    fn count_free(&mut self) -> io::Result<u32> {
        const STEP: u64 = 64 * 1024;
        let (mut at, end) = (2 * 4, u64::from(self.clusters_end) * 4);
        let mut free = 0;
        while at < end {
            let mut bytes = vec![0; (end - at).min(STEP) as usize];
            device::read_at(&mut self.window, self.fat_start + at, &mut bytes)?;
            let links = bytes.as_chunks::<4>().0.iter().map(|link| u32::from_le_bytes(*link) & 0x0FFF_FFFF);
            free += links.filter(|link| *link == 0).count() as u32;
            at += bytes.len() as u64;
        }
        Ok(free)
    }

    /// fatfs 0.3 gives a new folder's `.` and `..` long names too, and lets `..` of the first level
    /// point at the root's cluster instead of 0: both against the specification, and fsck says so.
    pub fn mend_dots(&mut self, path: &str) -> io::Result<()> {
        let Some(dir) = self.find(path)?.filter(|f| f.is_dir() && self.is_cluster(f.cluster())) else {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        };
        let start = self.data_start + u64::from(dir.cluster() - 2) * self.cluster_bytes;
        let mut slots = [0; 4 * SLOT];
        device::read_at(&mut self.window, start, &mut slots)?;
        let (long_dot, dot, long_dots, mut dots) = match slots.as_chunks::<SLOT>().0 {
            [a, b, c, d] => (*a, *b, *c, *d),
            _ => return Ok(()),
        };
        if byte(&long_dot, 11) != LONG_NAME || byte(&long_dots, 11) != LONG_NAME {
            return Ok(());
        }
        if !path.contains('/') {
            [20, 21, 26, 27].into_iter().filter_map(|at| dots.get_mut(at).map(|b| *b = 0)).for_each(drop);
        }
        let gone = [DELETED; SLOT];
        let mended = [dot.as_slice(), &dots, &gone, &gone].concat();
        device::write_at(&mut self.window, start, &mended)?;
        self.window.flush()
    }

    /// A hint only, but fsck compares it.
    fn count_freed(&mut self, freed: usize) -> io::Result<()> {
        let mut free = [0; 4];
        device::read_at(&mut self.window, self.info_at + FREE_COUNT, &mut free)?;
        let sum = u32::try_from(freed).ok().and_then(|n| u32::from_le_bytes(free).checked_add(n));
        match sum.filter(|sum| *sum <= self.clusters_end - 2) {
            Some(sum) => device::write_at(&mut self.window, self.info_at + FREE_COUNT, &sum.to_le_bytes()),
            None => Ok(()),
        }
    }
}

/// Slots of a long name, as they come: the last piece of the name first.
#[derive(Default)]
struct LongName {
    slots: Vec<u64>,
    units: Vec<u16>,
    checksum: u8,
    /// Number of the slot that came last; the one before the short name is 1.
    order: u8,
}

impl LongName {
    fn push(&mut self, at: u64, slot: &[u8; SLOT]) {
        const FIRST: u8 = 0x40;
        let order = byte(slot, 0);
        if order & FIRST != 0 {
            *self = Self {
                checksum: byte(slot, 13),
                order: (order & !FIRST).saturating_add(1),
                ..Self::default()
            };
        }
        if self.order.checked_sub(1) != Some(order & !FIRST) || self.checksum != byte(slot, 13) {
            *self = Self::default();
            return;
        }
        self.order -= 1;
        self.slots.push(at);
        let pieces = [slot.get(1..11), slot.get(14..26), slot.get(28..32)];
        let bytes: Vec<u8> = pieces.into_iter().flatten().flatten().copied().collect();
        let (pairs, _) = bytes.as_chunks::<2>();
        let piece = pairs.iter().map(|p| u16::from_le_bytes(*p)).take_while(|u| *u != 0);
        self.units.splice(0..0, piece);
    }

    fn finish(mut self, at: u64, short: &[u8; SLOT]) -> Found {
        let sum = short.iter().take(11).fold(0_u8, |sum, b| sum.rotate_right(1).wrapping_add(*b));
        let whole = self.order == 1 && self.checksum == sum;
        let name = if whole { String::from_utf16_lossy(&self.units) } else { short_name(short) };
        if !whole {
            self.slots.clear();
        }
        self.slots.push(at);
        Found { name, slots: self.slots, short: *short }
    }
}

fn short_name(slot: &[u8; SLOT]) -> String {
    let part = |range, lower: bool| {
        let text = String::from_utf8_lossy(slot.get(range).unwrap_or_default()).trim_end().to_owned();
        if lower { text.to_lowercase() } else { text }
    };
    // Windows' and Linux's note of "all lower case" where there is no long name.
    let case = byte(slot, 12);
    let (base, ending) = (part(0..8, case & 0x08 != 0), part(8..11, case & 0x10 != 0));
    if ending.is_empty() { base } else { format!("{base}.{ending}") }
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([byte(bytes, at), byte(bytes, at + 1)])
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
