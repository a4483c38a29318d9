//! The node image of each architecture: what its manifest says, and where its files are. That of x86-64 lies in the
//! image folder itself, every other in a folder of its own below.

pub mod signed;

use cairn_layout::Arch;
use cairn_wire::message::{ImageFile, ImageSource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const UKI: &str = "cairn.efi";
pub const ROOT: &str = "root.erofs";
pub const VERITY: &str = "root.verity";
/// Those that Cairn knows.
pub const ARCHITECTURES: [Arch; 2] = [Arch::X86_64, Arch::Arm64];
/// iPXE for the PXE ROM of a BIOS. No node is installed with it.
pub const PXE_LOADER: &str = "undionly.kpxe";

/// For x86-64 by UEFI. No node is installed with it.
pub const MEMORY_TEST: &str = "memtest.efi";

/// systemd-boot.
pub fn boot_loader(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "systemd-bootx64.efi",
        Arch::Arm64 => "systemd-bootaa64.efi",
    }
}

/// What a node is installed from.
pub fn files(arch: Arch) -> [&'static str; 4] {
    [UKI, boot_loader(arch), ROOT, VERITY]
}

/// A file's name below the image folder, and among what is served.
pub fn served(arch: Arch, name: &str) -> String {
    match arch {
        Arch::X86_64 => name.to_owned(),
        Arch::Arm64 => format!("arm64/{name}"),
    }
}

/// Whether there is an image for these machines.
pub fn is_there(folder: &Path, arch: Arch) -> bool {
    folder.join(served(arch, MANIFEST)).is_file()
}

const MANIFEST: &str = "manifest.json";

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("the node image's manifest {} can't be read; build the image (`make image`, for arm64 `make arm64`), or name its folder with --image", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    #[error("the node image of {} is for {found} and not for {wanted}; build it again", .path.display())]
    OtherArch { path: PathBuf, found: String, wanted: Arch },
    #[error("the node image's manifest {} is damaged; build the image again", .0.display())]
    Damaged(PathBuf, #[source] serde_json::Error),
    #[error("the node image's manifest names no file '{0}'; build the image again")]
    Missing(&'static str),
}

/// `manifest.json`, as `os/build` writes it.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    pub version: String,
    pub arch: String,
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
    pub arch: Arch,
    /// With the image's own files.
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
    pub fn load(folder: &Path, arch: Arch) -> Result<Self, ImageError> {
        let path = folder.join(served(arch, MANIFEST));
        let bytes = std::fs::read(&path).map_err(|error| ImageError::Read(path.clone(), error))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| ImageError::Damaged(path.clone(), error))?;
        if manifest.arch.parse() != Ok(arch) {
            return Err(ImageError::OtherArch { path, found: manifest.arch, wanted: arch });
        }
        let folder = path.parent().unwrap_or(folder).to_owned();
        Ok(Self { manifest, arch, folder, signed: None })
    }

    /// Where a machine fetches it from, below this URL.
    pub fn source(&self, base: &str) -> Result<ImageSource, ImageError> {
        let file = |name| -> Result<ImageFile, ImageError> {
            let Entry { size, sha256 } = self.manifest.file(name)?;
            let url = format!("{}/{}", base.trim_end_matches('/'), served(self.arch, name));
            Ok(ImageFile { url, size: *size, sha256: sha256.clone() })
        };
        Ok(ImageSource {
            version: self.manifest.version.clone(),
            root_hash: self.manifest.root_hash.clone(),
            boot_loader: file(boot_loader(self.arch))?,
            uki: file(UKI)?,
            root: file(ROOT)?,
            verity: file(VERITY)?,
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        let signed = self.signed.as_ref().and_then(|programs| programs.paths.get(name));
        signed.cloned().unwrap_or_else(|| self.folder.join(name))
    }

    /// Whether this program has the cluster's signature.
    pub fn signs(&self, name: &str) -> bool {
        self.signed.as_ref().is_some_and(|programs| programs.paths.contains_key(name))
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
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    /// An image of the right form with nothing in it that would start.
    pub fn fake(folder: &Path) {
        fake_for(folder, Arch::X86_64);
    }

    pub fn fake_for(folder: &Path, arch: Arch) {
        let manifest = folder.join(served(arch, MANIFEST));
        let folder = manifest.parent().unwrap();
        std::fs::create_dir_all(folder).unwrap();
        let body = vec![b'x'; 8192];
        let mut list = Vec::new();
        for name in files(arch) {
            std::fs::write(folder.join(name), &body).unwrap();
            let sha256 = hex::encode(Sha256::digest(&body));
            list.push(format!(r#""{name}":{{"size":8192,"sha256":"{sha256}"}}"#));
        }
        let (hash, files) = ("ab".repeat(32), list.join(","));
        let text = format!(
            r#"{{"version":"0.1.0+abababab","arch":"{arch}","root_hash":"{hash}","files":{{{files}}}}}"#
        );
        std::fs::write(manifest, text).unwrap();
    }

    #[test]
    fn each_architecture_has_its_own_image_and_is_told_its_own_files() {
        let folder = tempfile::tempdir().unwrap();
        fake(folder.path());
        let missing = Image::load(folder.path(), Arch::Arm64).err().unwrap().to_string();
        assert!(missing.contains("arm64/manifest.json") && missing.contains("`make arm64`"), "{missing}");
        fake_for(folder.path(), Arch::Arm64);
        let source = |arch| Image::load(folder.path(), arch).unwrap().source("http://m:1/").unwrap();
        assert_eq!(source(Arch::X86_64).uki.url, "http://m:1/cairn.efi");
        assert_eq!(source(Arch::X86_64).boot_loader.url, "http://m:1/systemd-bootx64.efi");
        assert_eq!(source(Arch::Arm64).uki.url, "http://m:1/arm64/cairn.efi");
        assert_eq!(source(Arch::Arm64).boot_loader.url, "http://m:1/arm64/systemd-bootaa64.efi");
    }

    #[test]
    fn an_image_of_another_architecture_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fake(folder.path());
        std::fs::create_dir(folder.path().join("arm64")).unwrap();
        std::fs::copy(folder.path().join(MANIFEST), folder.path().join("arm64").join(MANIFEST)).unwrap();
        let error = Image::load(folder.path(), Arch::Arm64).err().unwrap().to_string();
        assert!(error.contains("is for x86-64 and not for arm64"), "{error}");
    }
}
