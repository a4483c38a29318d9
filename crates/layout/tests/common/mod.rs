//! A disk in memory that keeps only what was written, and one that loses power.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use cairn_layout::install::{Root, Source};
use cairn_layout::{Arch, Layout, Loader, Payload, RootHash, SectorSize, Seed, install};

pub const SEED: Seed = Seed([7; 16]);
const BLOCK: u64 = 512;

/// Sparse: a disk of many GB takes what is on it. Sectors of 512 bytes are written whole or not at
/// all, as on a real disk; `writes_left` sectors are, then the power is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseDisk {
    pub blocks: BTreeMap<u64, [u8; BLOCK as usize]>,
    pub size: u64,
    pos: u64,
    pub writes: u64,
    pub writes_left: Option<u64>,
}

impl SparseDisk {
    pub fn new(size: u64) -> Self {
        Self { blocks: BTreeMap::new(), size, pos: 0, writes: 0, writes_left: None }
    }

    pub fn cut_after(&self, sectors: u64) -> Self {
        Self { writes: 0, writes_left: Some(sectors), ..self.clone() }
    }

    pub fn powered(&self) -> Self {
        Self { writes: 0, writes_left: None, pos: 0, ..self.clone() }
    }

    /// Content only, without zero blocks.
    pub fn content(&self) -> BTreeMap<u64, [u8; BLOCK as usize]> {
        let mut blocks = self.blocks.clone();
        blocks.retain(|_, b| b.iter().any(|x| *x != 0));
        blocks
    }

    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        self.seek(SeekFrom::Start(at)).unwrap();
        self.write_all(bytes).unwrap();
    }

    /// As a sparse file, for the tools that judge.
    pub fn save(&self, path: &std::path::Path) {
        self.save_range(path, 0, self.size);
    }

    pub fn save_range(&self, path: &std::path::Path, start: u64, len: u64) {
        let mut file = std::fs::File::create(path).unwrap();
        file.set_len(len).unwrap();
        let mut run: (u64, Vec<u8>) = (0, Vec::new());
        let mut put = |(at, bytes): &(u64, Vec<u8>)| {
            file.seek(SeekFrom::Start(*at)).unwrap();
            file.write_all(bytes).unwrap();
        };
        for (n, block) in self.blocks.range(start / BLOCK..(start + len) / BLOCK) {
            if block.iter().all(|b| *b == 0) {
                continue;
            }
            let at = n * BLOCK - start;
            if run.0 + run.1.len() as u64 != at {
                put(&run);
                run = (at, Vec::new());
            }
            run.1.extend_from_slice(block);
        }
        put(&run);
    }

    pub fn without_zeros(mut self) -> Self {
        self.blocks.retain(|_, b| b.iter().any(|x| *x != 0));
        self
    }
}

/// Runs a judge and gives what it says, failing the test where the judge is missing.
pub fn run(program: &str, args: &[&str]) -> (bool, String) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let out = std::process::Command::new(program).args(args).env("PATH", path).env("LC_ALL", "C").output();
    let out = out.unwrap_or_else(|e| panic!("{program} is needed for this test (see the set-up): {e}"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.success(), text)
}

impl Read for SparseDisk {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min((self.size - self.pos) as usize);
        buf[..n].fill(0);
        let end = self.pos + n as u64;
        for (block, bytes) in self.blocks.range(self.pos / BLOCK..end.div_ceil(BLOCK)) {
            let (from, to) = ((block * BLOCK).max(self.pos), ((block + 1) * BLOCK).min(end));
            let within = (from - block * BLOCK) as usize..(to - block * BLOCK) as usize;
            buf[(from - self.pos) as usize..(to - self.pos) as usize].copy_from_slice(&bytes[within]);
        }
        self.pos += n as u64;
        Ok(n)
    }
}

impl Write for SparseDisk {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (block, offset) = (self.pos / BLOCK, (self.pos % BLOCK) as usize);
        let step = (BLOCK as usize - offset).min(buf.len()).min((self.size - self.pos) as usize);
        if let Some(left) = &mut self.writes_left {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("power cut"))?;
        }
        self.writes += 1;
        self.blocks.entry(block).or_insert([0; BLOCK as usize])[offset..offset + step]
            .copy_from_slice(&buf[..step]);
        self.pos += step as u64;
        Ok(step)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for SparseDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let pos = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.pos.checked_add_signed(by),
        };
        self.pos = pos.filter(|p| *p <= self.size).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.pos)
    }
}

pub fn hash() -> RootHash {
    "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef".parse().unwrap()
}

/// Recognisable as EROFS (`superblock_at` 1024) or a verity tree (0), and nothing else.
pub fn image(len: usize, superblock_at: usize, magic: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|n| (n / 512 % 251) as u8).collect();
    bytes[superblock_at..superblock_at + magic.len()].copy_from_slice(magic);
    bytes
}

pub fn root_image() -> Vec<u8> {
    image(100_000, 1024, b"\xe2\xe1\xf5\xe0")
}

pub fn verity_image() -> Vec<u8> {
    image(20_000, 0, b"verity\0\0")
}

pub fn uki() -> Vec<u8> {
    image(30_000, 0, b"MZ")
}

pub const VERSION: &str = "0.1.0+00112233";

/// What a Raspberry Pi's card holds beside a version, by name.
pub fn pi_files() -> Vec<(String, Vec<u8>)> {
    let boards = ["zero-2-w", "3-a-plus", "3-b", "3-b-plus"].map(|board| format!("bcm2837-rpi-{board}.dtb"));
    let firmware = ["bootcode.bin", "start.elf", "fixup.dat", "LICENCE.txt"].map(str::to_owned);
    firmware.into_iter().chain(boards).map(|name| (name.clone(), name.repeat(40).into_bytes())).collect()
}

/// A UKI that can be taken apart.
pub fn whole_uki(kernel: &str) -> Vec<u8> {
    let initrd = vec![b'i'; 9000];
    let sections: [(&str, &[u8]); 3] = [
        (".cmdline", b"root=/dev/mapper/root ro console=tty0"),
        (".initrd", &initrd),
        (".linux", kernel.as_bytes()),
    ];
    cairn_uki::sample::image(&sections)
}

/// A card for a Raspberry Pi, as it is prepared.
pub fn pi_card() -> SparseDisk {
    let layout = Layout::medium(SectorSize::B512, Arch::Arm64);
    let mut disk = SparseDisk::new(layout.disk_bytes);
    let (files, uki) = (pi_files(), whole_uki("kernel one"));
    with_payload_of(Loader::RaspberryPi(&files), &uki, |p| {
        install(&mut disk, &layout, &SEED, p, &mut |_| ())
    })
    .unwrap();
    disk.powered().without_zeros()
}

/// Hands a payload to something; the readers live as long as that takes.
pub fn with_payload<T>(act: impl FnOnce(Payload<'_>) -> T) -> T {
    with_payload_of(Loader::SystemdBoot(b"MZ this is systemd-boot"), &uki(), act)
}

pub fn with_payload_of<T>(loader: Loader<'_>, uki: &[u8], act: impl FnOnce(Payload<'_>) -> T) -> T {
    let (root, verity) = (root_image(), verity_image());
    act(Payload {
        version: VERSION,
        loader,
        uki: Source { len: uki.len() as u64, reader: &mut &*uki },
        root: Root {
            hash: hash(),
            root: Source { len: root.len() as u64, reader: &mut root.as_slice() },
            verity: Source { len: verity.len() as u64, reader: &mut verity.as_slice() },
        },
        files: &[("cairn/join.json", b"{\"join\":true}")],
    })
}
