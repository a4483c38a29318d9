//! Prepared media: a disk image that boots, joins once, and is one node and no other.
//!
//! The image is made in the working directory, in a file without a name, and its checksum is known
//! before the first byte leaves: a checksum that comes after the download (an HTTP trailer) is seen by
//! no browser. That costs one more reading of a sparse file.

pub mod disk;
pub mod gzip;
pub mod job;
pub mod list;
pub mod observe;
#[cfg(test)]
mod pi_tests;
pub mod send;
pub mod sparse;
pub mod write;

use crate::api::{DiskStatus, MediumKind};
use crate::book::BookError;
use crate::core::{Core, unix_now};
use crate::image::{self, Image, ImageError, ROOT, UKI, VERITY};
use crate::journal::{JournalError, Medium};
use axum::http::StatusCode;
use cairn_host::usb_boot::{self, WaitingBoard};
use cairn_layout::install::{Root, Source, medium_bytes};
use cairn_layout::{Board, InstallError, Layout, Loader, Payload, SectorSize, Seed, SyncedFile, install};
use cairn_model::address::Network;
use cairn_model::cluster::Name;
use cairn_model::static_address::{FILE as ADDRESS_FILE, StaticAddress};
use cairn_model::wifi::{FILE as WIFI_FILE, Wifi};
use cairn_vault::IssueError;
use cairn_vault::join::Onto;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use uuid::Uuid;
use write::WriteError;
use zeroize::Zeroizing;

/// How long a join key is good unless asked otherwise: a weekend to write the card, and some.
const VALID: u64 = 7 * 24 * 60 * 60;
const LONGEST: u64 = 90 * 24 * 60 * 60;

#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("the cluster has no node '{0}'")]
    NoSuchNode(Name),
    #[error("a machine has taken the place of '{0}' already; remove that node first")]
    PlaceTaken(Name),
    #[error(
        "a Raspberry Pi has no inner disk that an installer stick could install onto; prepare an SD card"
    )]
    NoInnerDisk,
    #[error("the arm64 image has no files for a Raspberry Pi; build it again (`make arm64`)")]
    NoPiFiles,
    #[error(
        "{address} lies in or around the cluster's own network {network}, which Cairn gives out by itself; choose one of your home network"
    )]
    InCluster { address: StaticAddress, network: Network },
    #[error(
        "{address} is on a medium for '{node}' already, and two machines with one address keep each other from the network; choose another one"
    )]
    AddressTaken { address: Ipv4Addr, node: Name },
    #[error("a join key is good for at most 90 days")]
    TooLong,
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("the node image's file {} can't be read; build the image again", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("the root hash in the node image's manifest is none; build the image again")]
    RootHash,
    #[error("the join key could not be made")]
    Issue(#[from] IssueError),
    #[error("the join key could not be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("no room for the medium's image in {}", .0.display())]
    Temporary(PathBuf, #[source] io::Error),
    #[error("the medium's image could not be written")]
    Install(#[from] InstallError),
    #[error("the operating system gave no random numbers")]
    Random(#[source] getrandom::Error),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Book(#[from] BookError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("another medium is being written; wait until it is done")]
    Busy,
    #[error("writing the medium's image ended unexpectedly")]
    Join(#[from] tokio::task::JoinError),
}

impl MediaError {
    pub fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoSuchNode(_) => (StatusCode::NOT_FOUND, "no-such-node"),
            Self::PlaceTaken(_) => (StatusCode::CONFLICT, "place-taken"),
            Self::AddressTaken { .. } => (StatusCode::CONFLICT, "address-taken"),
            Self::TooLong | Self::NoInnerDisk | Self::InCluster { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "bad-request")
            }
            Self::Image(_) | Self::File(..) | Self::RootHash | Self::NoPiFiles => {
                (StatusCode::CONFLICT, "no-image")
            }
            Self::Write(WriteError::Gone(_)) => (StatusCode::NOT_FOUND, "no-such-disk"),
            Self::Write(_) => (StatusCode::CONFLICT, "disk-refused"),
            Self::Busy => (StatusCode::CONFLICT, "busy"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

/// What the owner asks for.
pub struct Wish {
    pub node: Name,
    pub kind: MediumKind,
    /// What starts from it.
    pub board: Board,
    /// Seconds for which the join key is good.
    pub valid: Option<u64>,
    /// What a machine without a cable needs.
    pub wifi: Option<Wifi>,
    /// What a machine needs where no router gives it an address.
    pub address: Option<StaticAddress>,
}

impl Wish {
    /// # Errors
    /// When the node can't have a medium, or not for so long.
    pub fn check(&self, core: &Core) -> Result<(), MediaError> {
        let Self { node: name, kind, board, valid, wifi: _, address } = self;
        let file = core.book.file();
        let node = file.cluster().node(name).ok_or_else(|| MediaError::NoSuchNode(name.clone()))?;
        if node.enrolled.is_some() {
            return Err(MediaError::PlaceTaken(name.clone()));
        }
        if *board == Board::PiZero2W && *kind == MediumKind::Installer {
            return Err(MediaError::NoInnerDisk);
        }
        let network = file.cluster().network;
        if let Some(address) = address.as_ref().filter(|address| address.meets(network)) {
            return Err(MediaError::InCluster { address: address.clone(), network });
        }
        if let Some(address) = address.as_ref().map(StaticAddress::address) {
            let taken =
                core.book.journal(|journal| list::holder(file.cluster(), journal, address, name, unix_now()));
            if let Some(node) = taken {
                return Err(MediaError::AddressTaken { address, node });
            }
        }
        if valid.is_some_and(|valid| valid > LONGEST) { Err(MediaError::TooLong) } else { Ok(()) }
    }
}

/// The disks of this machine, with the reason against each that is not offered.
pub fn disks() -> Vec<DiskStatus> {
    let root = Path::new("/");
    let uses = observe::uses(root);
    let status = |disk: disk::Disk| DiskStatus {
        refused: disk::judge(&disk, &uses).err().map(|refusal| refusal.to_string()),
        product: format!("{} {}", disk.vendor, disk.model).trim().to_owned(),
        id: disk.id,
        size: disk.size,
    };
    observe::disks(root).into_iter().map(status).collect()
}

/// The boards that wait on this machine's USB.
pub fn boards() -> Vec<WaitingBoard> {
    usb_boot::waiting(Path::new("/sys"))
}

/// An image that goes with its last reader.
pub struct Prepared {
    /// Its join key's.
    pub id: Uuid,
    pub file: File,
    pub length: u64,
    /// Of the image as it is on the medium, in hexadecimal digits.
    pub sha256: String,
}

pub async fn prepare(core: &Core, wish: Wish) -> Result<Prepared, MediaError> {
    wish.check(core)?;
    let Wish { node: name, kind, board, valid, wifi, address } = wish;
    // its firmware looks into the slot for a card, and nowhere else
    let kind = if board == Board::PiZero2W { MediumKind::Sd } else { kind };
    let (key_id, expires) = (Uuid::new_v4(), unix_now().saturating_add(valid.unwrap_or(VALID)));
    let file = core.book.file();
    let material = file.keyring().join_material(&name, key_id, expires, onto(kind))?;
    let own = Own {
        join: Zeroizing::new(serde_json::to_vec(&material)?),
        wifi: wifi.as_ref().map(serde_json::to_vec).transpose()?.map(Zeroizing::new),
        address: address.as_ref().map(serde_json::to_vec).transpose()?,
        onto: onto(kind),
        board,
        seed: Seed(random()?),
    };
    let (node_image, work) = (core.image(board.arch()).await?, core.book.work().path().to_owned());
    let (file, length, sha256) = tokio::task::spawn_blocking(move || {
        let (file, length) = write(&node_image, &work, &own)?;
        let sha256 = sparse::sha256(&file, length).map_err(|error| MediaError::Temporary(work, error))?;
        Ok::<_, MediaError>((file, length, sha256))
    })
    .await??;
    // known before it leaves, so that its use can be written down beside it
    core.book.note(|journal| {
        let address = address.map(|address| address.address());
        let medium = Medium { node: name, kind, sha256: sha256.clone(), expires, used_by: None, address };
        journal.media.insert(key_id, medium);
    })?;
    Ok(Prepared { id: key_id, file, length, sha256 })
}

fn onto(kind: MediumKind) -> Onto {
    match kind {
        MediumKind::Sd | MediumKind::Usb => Onto::Medium,
        MediumKind::Installer => Onto::InnerDisk,
    }
}

/// What makes a medium this one and no other.
struct Own {
    join: Zeroizing<Vec<u8>>,
    wifi: Option<Zeroizing<Vec<u8>>>,
    address: Option<Vec<u8>>,
    onto: Onto,
    board: Board,
    seed: Seed,
}

fn random() -> Result<[u8; 16], MediaError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(MediaError::Random)?;
    Ok(bytes)
}

/// What the image has for a Raspberry Pi.
fn pi_files(node_image: &Image) -> Result<Vec<(String, Vec<u8>)>, MediaError> {
    let names = node_image.manifest.files.keys().filter_map(|name| name.strip_prefix("pi/"));
    let read = |name: &str| {
        let path = node_image.path(&format!("pi/{name}"));
        let bytes = std::fs::read(&path).map_err(|error| MediaError::File(path, error))?;
        Ok((name.to_owned(), bytes))
    };
    let files: Vec<_> = names.map(read).collect::<Result<_, MediaError>>()?;
    if files.is_empty() { Err(MediaError::NoPiFiles) } else { Ok(files) }
}

/// Some 450 MB into a sparse file without a name: nothing is left of it, whatever happens.
fn write(node_image: &Image, work: &Path, own: &Own) -> Result<(File, u64), MediaError> {
    let Own { join, wifi, address, onto, board, seed } = own;
    let manifest = &node_image.manifest;
    let open = |name: &'static str| -> Result<(File, u64), MediaError> {
        let path = node_image.path(name);
        let file = File::open(&path).map_err(|error| MediaError::File(path, error))?;
        Ok((file, manifest.file(name)?.size))
    };
    let (boot_loader, pi_files) = match board {
        Board::Uefi | Board::UefiArm64 => {
            let path = node_image.path(image::boot_loader(node_image.arch));
            (std::fs::read(&path).map_err(|error| MediaError::File(path, error))?, Vec::new())
        }
        Board::PiZero2W => (Vec::new(), pi_files(node_image)?),
    };
    let loader = match board {
        Board::Uefi | Board::UefiArm64 => Loader::SystemdBoot(&boot_loader),
        Board::PiZero2W => Loader::RaspberryPi(&pi_files),
    };
    let ((mut uki, uki_len), (mut root, root_len), (mut verity, verity_len)) =
        (open(UKI)?, open(ROOT)?, open(VERITY)?);
    let room = |error| MediaError::Temporary(work.to_owned(), error);
    let image = tempfile::tempfile_in(work).map_err(room)?;
    // SD cards and USB sticks have sectors of 512 bytes
    let (sector, arch) = (SectorSize::B512, node_image.arch);
    let length = medium_bytes(sector, arch);
    image.set_len(length).map_err(room)?;
    // an installer stick says what is on it, so that its machine can check what it copies
    let source = serde_json::to_vec(&node_image.source("installer stick:")?)?;
    let mut files = vec![("cairn/join.json", join.as_slice())];
    if let Some(wifi) = wifi {
        files.push((WIFI_FILE, wifi));
    }
    if let Some(address) = address {
        files.push((ADDRESS_FILE, address));
    }
    if let Some(certificate) = node_image.certificate() {
        // where firmware's own "enroll from file" finds it
        files.push(("cairn/secure-boot.cer", certificate));
    }
    if *onto == Onto::InnerDisk {
        files.push(("cairn/image.json", &source));
    }
    let payload = Payload {
        version: &manifest.version,
        loader,
        uki: Source { reader: &mut uki, len: uki_len },
        root: Root {
            hash: manifest.root_hash.parse().map_err(|_| MediaError::RootHash)?,
            root: Source { reader: &mut root, len: root_len },
            verity: Source { reader: &mut verity, len: verity_len },
        },
        files: &files,
    };
    let mut device = SyncedFile(image);
    install::install(&mut device, &Layout::medium(sector, arch), seed, payload, &mut |_| {})?;
    let SyncedFile(image) = device;
    Ok((image, length))
}
