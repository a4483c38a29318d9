//! The node image: what its manifest says, and where its files are.

pub mod signed;

use cairn_wire::message::{ImageFile, ImageSource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const UKI: &str = "cairn.efi";
pub const BOOT_LOADER: &str = "systemd-bootx64.efi";
pub const ROOT: &str = "root.erofs";
pub const VERITY: &str = "root.verity";
pub const FILES: [&str; 4] = [UKI, BOOT_LOADER, ROOT, VERITY];
/// iPXE for the PXE ROM of a BIOS. No node is installed with it.
pub const PXE_LOADER: &str = "undionly.kpxe";

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("the node image's manifest {} can't be read; build the image with os/build, or name its folder with --image", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    #[error("the node image's manifest {} is damaged; build the image again", .0.display())]
    Damaged(PathBuf, #[source] serde_json::Error),
    #[error("the node image's manifest names no file '{0}'; build the image again")]
    Missing(&'static str),
}

/// `manifest.json`, as `os/build` writes it.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    pub version: String,
    pub root_hash: String,
    pub files: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Entry {
    pub size: u64,
    pub sha256: String,
}

/// The image as machines get it.
pub struct Image {
    pub manifest: Manifest,
    folder: PathBuf,
    signed: Option<Programs>,
}

/// The image's UEFI programs with this cluster's signature.
struct Programs {
    paths: BTreeMap<&'static str, PathBuf>,
    certificate: Vec<u8>,
}

impl Image {
    /// Read at each use: the image may be built again while the manager runs.
    pub fn load(folder: &Path) -> Result<Self, ImageError> {
        let path = folder.join("manifest.json");
        let bytes = std::fs::read(&path).map_err(|error| ImageError::Read(path.clone(), error))?;
        let manifest = serde_json::from_slice(&bytes).map_err(|error| ImageError::Damaged(path, error))?;
        Ok(Self { manifest, folder: folder.to_owned(), signed: None })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        let signed = self.signed.as_ref().and_then(|programs| programs.paths.get(name));
        signed.cloned().unwrap_or_else(|| self.folder.join(name))
    }

    /// What firmware with Secure Boot on has to be given before it starts this image; `None` when that is unsigned.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.signed.as_ref().map(|programs| programs.certificate.as_slice())
    }
}

impl Manifest {
    pub fn file(&self, name: &'static str) -> Result<&Entry, ImageError> {
        self.files.get(name).ok_or(ImageError::Missing(name))
    }

    /// Where a machine fetches it from, below this URL.
    pub fn source(&self, base: &str) -> Result<ImageSource, ImageError> {
        let file = |name| -> Result<ImageFile, ImageError> {
            let Entry { size, sha256 } = self.file(name)?;
            let url = format!("{}/{name}", base.trim_end_matches('/'));
            Ok(ImageFile { url, size: *size, sha256: sha256.clone() })
        };
        Ok(ImageSource {
            version: self.version.clone(),
            root_hash: self.root_hash.clone(),
            boot_loader: file(BOOT_LOADER)?,
            uki: file(UKI)?,
            root: file(ROOT)?,
            verity: file(VERITY)?,
        })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    /// An image of the right form with nothing in it that would start.
    pub fn fake(folder: &Path) {
        let body = vec![b'x'; 8192];
        let mut files = Vec::new();
        for name in FILES {
            std::fs::write(folder.join(name), &body).unwrap();
            let sha256 = hex::encode(Sha256::digest(&body));
            files.push(format!(r#""{name}":{{"size":8192,"sha256":"{sha256}"}}"#));
        }
        let (hash, files) = ("ab".repeat(32), files.join(","));
        let manifest = format!(r#"{{"version":"0.1.0+abababab","root_hash":"{hash}","files":{{{files}}}}}"#);
        std::fs::write(folder.join("manifest.json"), manifest).unwrap();
    }
}
