//! The image's UEFI programs with this cluster's signature, for machines that have Secure Boot on.
//!
//! Signed copies lie in the working directory, made anew when the image or the key is another. What can't be signed
//! is served as it is: machines with Secure Boot off start it all the same, and the log says why.

use super::{Entry, Image, ImageError, MEMORY_TEST, Programs, UKI, boot_loader, served};
use cairn_layout::Arch;
use cairn_secureboot::{KeyError, SignError, SigningKey, sign};
use cairn_workflow::log::chain;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    #[error("the signing key")]
    Key(#[from] KeyError),
    #[error("{} can't be signed", .0.display())]
    Sign(PathBuf, #[source] SignError),
    #[error("{} can't be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("{} can't be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// What the key follows from.
#[derive(Clone)]
pub struct Owner {
    pub secret: Zeroizing<[u8; 32]>,
    /// Stands in the certificate, which firmware shows.
    pub name: String,
}

/// Where signed copies are kept.
pub struct Signed {
    folder: PathBuf,
    /// Deriving a key takes a second; held while anything is signed.
    key: Mutex<Option<(Owner, Arc<SigningKey>)>>,
}

impl Signed {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, key: Mutex::default() }
    }

    /// The image with its programs signed, if they can be. Blocks for about a second when there is something to sign.
    ///
    /// # Errors
    /// When there is no image.
    pub fn image(&self, folder: &Path, arch: Arch, owner: Owner) -> Result<Image, ImageError> {
        let mut image = Image::load(folder, arch)?;
        if let Err(error) = self.sign_all(&mut image, owner) {
            let because = chain(&error);
            tracing::warn!(
                because,
                "the image is served unsigned: machines with Secure Boot on don't start it"
            );
        }
        Ok(image)
    }

    /// What machines have to be given once.
    ///
    /// # Errors
    /// When no key follows.
    pub fn certificate(&self, owner: Owner) -> Result<Vec<u8>, SigningError> {
        let mut held = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(derived(&mut held, owner)?.certificate().to_vec())
    }

    fn sign_all(&self, image: &mut Image, owner: Owner) -> Result<(), SigningError> {
        let mut held = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let key = derived(&mut held, owner)?;
        let (mut signed, mut paths) = (Vec::new(), BTreeMap::new());
        for name in [UKI, boot_loader(image.arch), MEMORY_TEST] {
            // an image that lacks one is refused where it is used; only that of x86-64 has a memory test
            let Some(plain) = image.manifest.files.get(name) else { continue };
            let of = hex::encode(Sha256::digest([key.certificate(), plain.sha256.as_bytes()].concat()));
            let path = self.folder.join(served(image.arch, name));
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)
                    .map_err(|error| SigningError::Write(folder.to_owned(), error))?;
            }
            let entry = match Note::of(&path).filter(|note| note.of == of) {
                Some(note) => note.entry,
                None => match make(&image.folder.join(name), &path, &key, of) {
                    Ok(entry) => entry,
                    // nodes start without it
                    Err(error) if name == MEMORY_TEST => {
                        let because = chain(&error);
                        tracing::warn!(because, "the memory test is served unsigned");
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            signed.push((name.to_owned(), entry));
            paths.insert(name, path);
        }
        image.manifest.files.extend(signed);
        image.signed = Some(Programs { paths, certificate: key.certificate().to_vec() });
        Ok(())
    }
}

/// Beside a signed copy: what it is.
#[derive(Serialize, Deserialize)]
struct Note {
    /// Hash of the certificate and of the program's hash.
    of: String,
    #[serde(flatten)]
    entry: Entry,
}

impl Note {
    fn path(copy: &Path) -> PathBuf {
        copy.with_added_extension("json")
    }

    fn of(copy: &Path) -> Option<Self> {
        let note: Self = serde_json::from_slice(&std::fs::read(Self::path(copy)).ok()?).ok()?;
        (std::fs::metadata(copy).ok()?.len() == note.entry.size).then_some(note)
    }
}

/// Signs a program. Its note goes first and comes last, so that there is none beside what is not whole.
fn make(plain: &Path, path: &Path, key: &SigningKey, of: String) -> Result<Entry, SigningError> {
    let bytes = std::fs::read(plain).map_err(|error| SigningError::Read(plain.to_owned(), error))?;
    let bytes = sign(bytes, key).map_err(|error| SigningError::Sign(plain.to_owned(), error))?;
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let note = Note { of, entry: Entry { size: bytes.len() as u64, sha256 } };
    let write = || -> io::Result<()> {
        match std::fs::remove_file(Note::path(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        replace(path, &bytes)?;
        replace(&Note::path(path), &serde_json::to_vec(&note)?)
    };
    write().map_err(|error| SigningError::Write(path.to_owned(), error))?;
    Ok(note.entry)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn derived(
    held: &mut Option<(Owner, Arc<SigningKey>)>,
    owner: Owner,
) -> Result<Arc<SigningKey>, SigningError> {
    if let Some((of, key)) = held
        && of.secret == owner.secret
        && of.name == owner.name
    {
        return Ok(Arc::clone(key));
    }
    let key = Arc::new(SigningKey::derive(&owner.secret, &owner.name)?);
    *held = Some((owner, Arc::clone(&key)));
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::fake;

    #[test]
    fn what_can_not_be_signed_is_served_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        fake(folder.path());
        let signed = Signed::new(folder.path().join("signed"));
        let owner = Owner { secret: Zeroizing::new([7; 32]), name: "Cairn home".to_owned() };
        let image = signed.image(folder.path(), Arch::X86_64, owner).unwrap();
        assert_eq!(image.certificate(), None);
        assert_eq!(image.path(UKI), folder.path().join(UKI));
        assert_eq!(image.manifest.files[UKI].size, 8192);
    }
}
