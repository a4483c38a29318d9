//! The boot partition (ESP, FAT32): what firmware and systemd-boot read, and a few small files of ours.
//!
//! FAT has no journal. What can be had without one:
//!
//! - a small file ([`Esp::write`]) is old or new after a power cut, never half: the new content is
//!   first written beside it with a checksum;
//! - a boot entry ([`Esp::write_entry`]) appears under its name only when it is whole;
//! - renaming an entry ([`Esp::rename_entry`]) leaves no moment without it;
//! - removing takes the name first and the space after it, so that a cut loses some space at worst
//!   and never makes two files share it.
//!
//! The last two are not in the `fatfs` crate (its `rename` removes before it adds, its `remove` frees
//! before it forgets the name), and its folders offend fsck, so [`fat`] has these, on the few bytes of FAT32 that they need.

mod clock;
mod fat;
mod replace;

use std::io::{self, Read, Write};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

use self::clock::FirstDay;
use self::fat::Fat;
use crate::boot_entry::BootEntry;
use crate::device::{Device, Window};
use crate::gpt::{GptError, Table};
use crate::install::Source;
use crate::plan::{ESP_NUMBER, SectorSize};

const LABEL: [u8; 11] = *b"CAIRN-ESP  ";
const ENTRIES: &str = "EFI/Linux";
/// systemd-boot lists `*.efi` only.
const PARTIAL: &str = ".part";
/// Small files only go through memory.
const MAX_SMALL: usize = 4 * 1024 * 1024;
const CHUNK: usize = 1024 * 1024;
/// Reads in one operation. Writing a UKI of 100 MB takes some hundred thousand.
const READ_BUDGET: u64 = 8_000_000;

#[derive(Debug, thiserror::Error)]
pub enum EspError {
    #[error("the disk's boot partition cannot be found")]
    Gpt(#[from] GptError),
    #[error("the disk has no partition `cairn-esp`: it is no Cairn disk")]
    Missing,
    #[error("formatting the boot partition failed")]
    Format(#[source] io::Error),
    #[error("the boot partition is no readable FAT file system")]
    Open(#[source] io::Error),
    #[error("reading `{0}` on the boot partition failed")]
    Read(String, #[source] io::Error),
    #[error("writing `{0}` on the boot partition failed")]
    Write(String, #[source] io::Error),
    #[error("`{0}` on the boot partition is larger than a file there should be")]
    TooLarge(String),
    #[error("boot entry `{0}` does not exist")]
    NoEntry(String),
    #[error("boot entry `{0}` exists already, with another content")]
    EntryExists(String),
}

/// An open boot partition. Each call leaves it consistent and flushed; there is nothing to close.
pub struct Esp<'d, D: Device> {
    dev: &'d mut D,
    start: u64,
    len: u64,
}

type Fs<'w, 'd, D> = FileSystem<&'w mut Window<'d, D>>;

impl<'d, D: Device> Esp<'d, D> {
    /// The boot partition of a Cairn disk.
    pub fn open(dev: &'d mut D, sector: SectorSize) -> Result<Self, EspError> {
        let (table, _) = Table::read(dev, sector)?;
        let entry = table.entry(ESP_NUMBER).filter(|e| e.name == "cairn-esp").ok_or(EspError::Missing)?;
        let (start, len) = entry.byte_range(sector).ok_or(EspError::Missing)?;
        Self::open_range(dev, start, len)
    }

    /// A FAT32 file system in a byte range of a device; `0..size` for a partition's own device node.
    pub fn open_range(dev: &'d mut D, start: u64, len: u64) -> Result<Self, EspError> {
        let mut esp = Self { dev, start, len };
        esp.session(&[], |_| Ok(())).map_err(EspError::Open)?;
        Ok(esp)
    }

    /// A new, empty file system. The same arguments give the same bytes; files are dated 1980-01-01.
    pub fn format(
        dev: &'d mut D,
        start: u64,
        len: u64,
        sector: SectorSize,
        volume_id: u32,
    ) -> Result<Self, EspError> {
        let mut esp = Self { dev, start, len };
        esp.make(sector, volume_id).map_err(EspError::Format)?;
        Ok(esp)
    }

    fn make(&mut self, sector: SectorSize, volume_id: u32) -> io::Result<()> {
        let options = FormatVolumeOptions::new()
            .fat_type(fatfs::FatType::Fat32)
            .bytes_per_sector(sector.bytes() as u16)
            .bytes_per_cluster(4096)
            .volume_id(volume_id)
            .volume_label(LABEL);
        let mut window = self.window();
        fatfs::format_volume(&mut window, options)?;
        window.flush()?;
        self.session(&[], |fs| {
            // Counting once notes down the number of free clusters, which fsck misses otherwise.
            fs.stats()
        })?;
        ["EFI", "EFI/BOOT", ENTRIES, "loader", "cairn"].into_iter().try_for_each(|dir| self.make_dir(dir))
    }

    fn make_dir(&mut self, path: &str) -> io::Result<()> {
        if self.fat()?.find(path)?.is_none() {
            self.session(&[path], |fs| fs.root_dir().create_dir(path).map(drop))?;
        }
        self.fat()?.mend_dots(path)
    }

    fn window(&mut self) -> Window<'_, D> {
        Window::new(self.dev, self.start, self.len).with_read_budget(READ_BUDGET)
    }

    fn fat(&mut self) -> io::Result<Fat<'_, D>> {
        Fat::open(self.window())
    }

    /// Something done to these paths through `fatfs`, and flushed.
    fn session<T>(
        &mut self,
        paths: &[&str],
        act: impl FnOnce(&Fs<'_, '_, D>) -> io::Result<T>,
    ) -> io::Result<T> {
        // It checks what fatfs computes with unchecked.
        let mut fat = self.fat()?;
        paths.iter().try_for_each(|path| fat.check(path))?;
        let mut window = self.window();
        let fs = FileSystem::new(&mut window, FsOptions::new().time_provider(&FirstDay))?;
        let out = act(&fs)?;
        fs.unmount()?;
        window.flush()?;
        Ok(out)
    }

    /// A small file's content, `None` if there is no such file.
    pub fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, EspError> {
        let content = self.session(&[path, &replace::beside(path)], |fs| match replace::pending(fs, path)? {
            Some(bytes) => Ok(Some(bytes)),
            None => read_small(fs, path),
        });
        match content.map_err(|e| EspError::Read(path.to_owned(), e))? {
            Some(bytes) if bytes.len() > MAX_SMALL => Err(EspError::TooLarge(path.to_owned())),
            content => Ok(content),
        }
    }

    /// A file of any size, in memory.
    pub fn read_large(&mut self, path: &str) -> Result<Vec<u8>, EspError> {
        let most = self.len;
        let content = self.session(&[path], |fs| {
            let mut bytes = Vec::new();
            fs.root_dir().open_file(path)?.take(most).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        content.map_err(|e| EspError::Read(path.to_owned(), e))
    }

    /// Writes a small file, making folders as needed: after a power cut [`Esp::read`] gives the old
    /// content or the new one. Firmware, which reads the file itself, may find it missing.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), EspError> {
        if bytes.len() > MAX_SMALL {
            return Err(EspError::TooLarge(path.to_owned()));
        }
        self.tidy().and_then(|()| self.replace(path, bytes)).map_err(|e| EspError::Write(path.to_owned(), e))
    }

    /// Removes a file; it is no error if there is none.
    pub fn remove(&mut self, path: &str) -> Result<(), EspError> {
        let gone =
            self.tidy().and_then(|()| self.forget(path)).and_then(|()| self.forget(&replace::beside(path)));
        gone.map_err(|e| EspError::Write(path.to_owned(), e))
    }

    /// Replaces a small file's only sector, in place: a power cut leaves the old or the new one, for firmware too. The
    /// file keeps its size.
    pub fn overwrite(&mut self, path: &str, sector: &[u8; 512]) -> Result<(), EspError> {
        let failed = |e| EspError::Write(path.to_owned(), e);
        let mut fat = self.fat().map_err(failed)?;
        let found = fat.find(path).and_then(|f| f.ok_or_else(|| io::ErrorKind::NotFound.into()));
        fat.overwrite(&found.map_err(failed)?, sector).map_err(failed)
    }

    /// Writes a file of any size, making its folder as needed. Nothing of it can be relied on until this returns.
    pub(crate) fn write_large(
        &mut self,
        path: &str,
        source: Source<'_>,
        step: &mut dyn FnMut(u64),
    ) -> Result<(), EspError> {
        let failed = |e| EspError::Write(path.to_owned(), e);
        self.tidy().map_err(failed)?;
        self.make_parents(path).map_err(failed)?;
        self.forget(path).map_err(failed)?;
        self.session(&[path], |fs| fill(fs, path, source.reader, source.len, step)).map_err(failed)
    }

    /// Cut short, this leaves a folder that is none: for a boot partition that is being made, not for one in use.
    pub(crate) fn make_folder(&mut self, path: &str) -> Result<(), EspError> {
        self.make_dir(path).map_err(|e| EspError::Write(path.to_owned(), e))
    }

    fn make_parents(&mut self, path: &str) -> io::Result<()> {
        path.match_indices('/').try_for_each(|(at, _)| self.make_dir(path.get(..at).unwrap_or_default()))
    }

    fn forget(&mut self, path: &str) -> io::Result<()> {
        let mut fat = self.fat()?;
        match fat.find(path)? {
            Some(found) => fat.remove(&found),
            None => Ok(()),
        }
    }

    /// The UKIs that systemd-boot finds, by name. A rename that a power cut stopped shows one of its two names.
    pub fn entries(&mut self) -> Result<Vec<BootEntry>, EspError> {
        let failed = |e| EspError::Read(ENTRIES.to_owned(), e);
        let mut fat = self.fat().map_err(failed)?;
        let kept = fat.entries().map_err(failed)?.kept;
        let mut entries: Vec<_> = kept.into_iter().map(|(entry, _)| entry).collect();
        entries.sort_by_key(BootEntry::name);
        Ok(entries)
    }

    /// A whole UKI, in memory.
    pub fn read_entry(&mut self, entry: &BootEntry) -> Result<Vec<u8>, EspError> {
        self.read_large(&format!("{ENTRIES}/{}", entry.name()))
    }

    /// Writes a UKI. It gets its name when all is there; an entry of that name is replaced.
    pub fn write_entry(
        &mut self,
        entry: &BootEntry,
        reader: &mut dyn Read,
        len: u64,
        step: &mut dyn FnMut(u64),
    ) -> Result<(), EspError> {
        let path = format!("{ENTRIES}/{}", entry.name());
        let partial = format!("{path}{PARTIAL}");
        let failed = |e| EspError::Write(path.clone(), e);
        self.tidy().map_err(failed)?;
        self.forget(&partial).map_err(failed)?;
        self.session(&[&partial], |fs| fill(fs, &partial, reader, len, step)).map_err(failed)?;
        self.forget(&path).map_err(failed)?;
        self.rename(&partial, &path).map_err(failed)
    }

    /// Gives an entry another counter, or none. Done already (by a run before a power cut) is done.
    pub fn rename_entry(&mut self, from: &BootEntry, to: &BootEntry) -> Result<(), EspError> {
        let (from, to) = (format!("{ENTRIES}/{}", from.name()), format!("{ENTRIES}/{}", to.name()));
        if from.eq_ignore_ascii_case(&to) {
            return Ok(());
        }
        let failed = |e| EspError::Write(to.clone(), e);
        self.tidy().map_err(failed)?;
        let mut fat = self.fat().map_err(failed)?;
        match (fat.find(&from).map_err(failed)?, fat.find(&to).map_err(failed)?) {
            (None, Some(_)) => Ok(()),
            (None, None) => Err(EspError::NoEntry(from)),
            (Some(_), Some(_)) => Err(EspError::EntryExists(to)),
            (Some(_), None) => self.rename(&from, &to).map_err(failed),
        }
    }

    pub fn remove_entry(&mut self, entry: &BootEntry) -> Result<(), EspError> {
        self.remove(&format!("{ENTRIES}/{}", entry.name()))
    }

    /// Adds the new name (empty), points it at the content, takes the old name away. In between one
    /// content has two names, which [`Esp::tidy`] ends if we do not come to it.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.session(&[to], |fs| fs.root_dir().create_file(to).map(drop))?;
        let mut fat = self.fat()?;
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let source = fat.find(from)?.ok_or_else(missing)?;
        let target = fat.find(to)?.ok_or_else(missing)?;
        fat.share(&source, &target)?;
        fat.forget_name(&source)
    }

    /// Ends what a power cut left: the mark of one, and of a rename empty entries and second names of
    /// one content. Before anything is written.
    fn tidy(&mut self) -> io::Result<()> {
        let mut fat = self.fat()?;
        fat.unmark_dirty()?;
        for name in fat.entries()?.stale {
            fat.forget_name(&name)?;
        }
        Ok(())
    }
}

fn fill<D: Device>(
    fs: &Fs<'_, '_, D>,
    path: &str,
    reader: &mut dyn Read,
    len: u64,
    step: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut file = fs.root_dir().create_file(path)?;
    let (mut got, mut buf) = (0, Vec::with_capacity(CHUNK));
    while got < len {
        buf.clear();
        (&mut *reader).take((len - got).min(CHUNK as u64)).read_to_end(&mut buf)?;
        if buf.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("ended after {got} of {len} bytes"),
            ));
        }
        file.write_all(&buf)?;
        if got == 0 {
            // From here on the name knows its first cluster: a cut can't lose the space any more.
            file.flush()?;
        }
        got += buf.len() as u64;
        step(buf.len() as u64);
    }
    file.flush()
}

fn read_small<D: Device>(fs: &Fs<'_, '_, D>, path: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match fs.root_dir().open_file(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    file.take(MAX_SMALL as u64 + 1024).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
