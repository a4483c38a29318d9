//! The files that are served: a fixed map from name to path. Nothing that comes over the wire is ever
//! joined to a path, so there is no path to escape from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names and the files behind them. A name is what a client asks for: `cairn.efi`.
#[derive(Debug, Clone, Default)]
pub struct Files {
    by_name: BTreeMap<String, PathBuf>,
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

    /// The file that a client means by `asked`: the name itself, or with one `/` before it, as some
    /// firmware and every URL has it.
    pub fn find(&self, asked: &str) -> Option<(&str, &Path)> {
        let name = asked.strip_prefix('/').unwrap_or(asked);
        self.by_name.get_key_value(name).map(|(name, path)| (name.as_str(), path.as_path()))
    }

    /// Every name with its path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.by_name.iter().map(|(name, path)| (name.as_str(), path.as_path()))
    }
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
}
