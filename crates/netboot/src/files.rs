//! The files that are served: a fixed map from name to path, the parts of unified kernel images, and folders whose
//! files are named by their SHA-256. Nothing else that comes over the wire is ever joined to a path, so there is no path to escape
//! from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::uki::Part;

/// Names and the files behind them. A name is what a client asks for: `cairn.efi`.
#[derive(Debug, Clone, Default)]
pub struct Files {
    by_name: BTreeMap<String, PathBuf>,
    by_sum: BTreeMap<String, PathBuf>,
    ukis: BTreeMap<String, PathBuf>,
}

impl Files {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves the file at `path` under `name`, a later one instead of an earlier one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.by_name.insert(name.into(), path.into());
        self
    }

    /// Serves a unified kernel image under `name`, and by HTTP its parts under `name/PART`: see [`Part`].
    #[must_use]
    pub fn with_uki(mut self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        let (name, path) = (name.into(), path.into());
        self.ukis.insert(name.clone(), path.clone());
        self.with(name, path)
    }

    /// Serves the files of a folder that are named by their SHA-256, in lower case, as `name/SHA256`; also
    /// those that come later. `name/SHA256.efi` is the same: UEFI's HTTP boot starts nothing of another ending.
    #[must_use]
    pub fn with_sums(mut self, name: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        self.by_sum.insert(name.into(), folder.into());
        self
    }

    /// The file that a client means by `asked`: the name itself, or with one `/` before it, as some
    /// firmware and every URL has it.
    pub fn find<'a>(&'a self, asked: &'a str) -> Option<(&'a str, Cow<'a, Path>)> {
        let name = asked.strip_prefix('/').unwrap_or(asked);
        if let Some((name, path)) = self.by_name.get_key_value(name) {
            return Some((name, Cow::Borrowed(path)));
        }
        let (folder, sum) = name.split_once('/')?;
        let sum = sum.strip_suffix(".efi").unwrap_or(sum);
        let folder = self.by_sum.get(folder).filter(|_| is_sum(sum))?;
        Some((name, Cow::Owned(folder.join(sum))))
    }

    /// The part of a unified kernel image that a client means by `asked`, with the image's path.
    pub fn find_part<'a>(&'a self, asked: &'a str) -> Option<(&'a str, Part, &'a Path)> {
        let name = asked.strip_prefix('/').unwrap_or(asked);
        let (image, part) = name.split_once('/')?;
        Some((name, Part::named(part)?, self.ukis.get(image)?))
    }

    /// The script by which iPXE starts `name`, if that is a unified kernel image.
    pub fn script_of(&self, name: &str) -> Option<String> {
        self.ukis.contains_key(name).then(|| format!("{name}/{}", Part::Script.name()))
    }

    /// Whether there is a file or a part of this name.
    pub fn serves(&self, name: &str) -> bool {
        self.find(name).is_some() || self.find_part(name).is_some()
    }

    /// Every name with its path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.by_name.iter().map(|(name, path)| (name.as_str(), path.as_path()))
    }
}

fn is_sum(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_name_is_found() {
        let files = Files::new().with("cairn.efi", "/srv/image/cairn.efi");
        assert!(files.find("cairn.efi").is_some());
        assert!(files.find("/cairn.efi").is_some());
        for asked in [
            "//cairn.efi",
            "./cairn.efi",
            "x/../cairn.efi",
            "../cairn.efi",
            "",
            "/",
            "cairn.efi\0",
            "CAIRN.EFI",
            "/srv/image/cairn.efi",
        ] {
            assert_eq!(files.find(asked), None, "{asked:?}");
        }
    }

    #[test]
    fn only_a_unified_kernel_image_has_parts_and_only_those_that_there_are() {
        let files = Files::new().with_uki("cairn.efi", "/srv/cairn.efi").with("other.efi", "/srv/other.efi");
        let found = files.find_part("/cairn.efi/boot.ipxe");
        assert_eq!(found, Some(("cairn.efi/boot.ipxe", Part::Script, Path::new("/srv/cairn.efi"))));
        assert!(files.serves("cairn.efi") && files.serves("cairn.efi/linux"));
        for asked in
            ["other.efi/linux", "cairn.efi/", "cairn.efi/text", "cairn.efi/linux/", "x/cairn.efi/linux"]
        {
            assert!(!files.serves(asked), "{asked:?}");
        }
    }

    #[test]
    fn in_a_folder_of_sums_only_sums_are_found() {
        let files = Files::new().with_sums("artifacts", "/srv/store");
        let sum = "0123456789abcdef".repeat(4);
        let asked = format!("/artifacts/{sum}");
        let (name, path) = files.find(&asked).unwrap();
        assert_eq!((name, path.as_ref()), (&asked[1..], Path::new("/srv/store").join(&sum).as_path()));
        let program = format!("artifacts/{sum}.efi");
        assert_eq!(files.find(&program).unwrap().1, path);
        let part = format!("artifacts/{sum}.part");
        let twice = format!("artifacts/{sum}.efi.efi");
        let upper = format!("artifacts/{}", sum.to_uppercase());
        let deep = format!("artifacts/x/{sum}");
        let up = format!("artifacts/../{}", &sum[3..]);
        for asked in
            ["artifacts", "artifacts/", "artifacts/artifacts.toml", &part, &twice, &upper, &deep, &up, &sum]
        {
            assert_eq!(files.find(asked), None, "{asked:?}");
        }
    }
}
