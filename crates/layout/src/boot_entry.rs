//! The names of UKIs in `EFI/Linux`, and the boot counter in them.
//!
//! systemd-boot counts in the file's name: `NAME+LEFT.efi` or `NAME+LEFT-DONE.efi`, with the *last*
//! `+` of the name deciding (UAPI boot loader specification, "boot counting"; systemd's
//! AUTOMATIC_BOOT_ASSESSMENT). Our versions hold a `+` themselves (`0.1.0+abcd1234`), and where the
//! hash happens to be all digits, `cairn_0.1.0+12345678.efi` would be a counter of twelve million
//! tries. So the `+` becomes a `-` in file names: it is a version character of the UAPI version
//! format (which `+` is not, and where `~` would mean "before 0.1.0"), and FAT, shells and URLs let
//! it pass. The mapping is never undone: compare by [`file_version`].

use std::fmt;

/// Tries that a new version gets before the other slot is booted again.
pub const TRIES: u32 = 3;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "version `{0}` cannot be part of a file name: letters, digits, `.`, `-` and `+` may be in it, at most 64"
)]
pub struct VersionError(pub String);

/// A version as it stands in file names.
pub fn file_version(version: &str) -> Result<String, VersionError> {
    let fits = !version.is_empty()
        && version.len() <= 64
        && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c));
    if fits { Ok(version.replace('+', "-")) } else { Err(VersionError(version.to_owned())) }
}

/// How often an entry may still be tried. No counter at all: it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    pub left: u32,
    pub done: u32,
}

/// A UKI's file name, taken apart. `stem` is all before the counter, such as `cairn_0.1.0-abcd1234`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootEntry {
    pub stem: String,
    pub counter: Option<Counter>,
}

impl BootEntry {
    /// A new version, to be tried.
    pub fn fresh(version: &str) -> Result<Self, VersionError> {
        let stem = format!("cairn_{}", file_version(version)?);
        Ok(Self { stem, counter: Some(Counter { left: TRIES, done: 0 }) })
    }

    /// `None` if systemd-boot would not take it for a UKI (another ending, or nothing before it). A
    /// counter that systemd-boot would not understand is part of the stem, as it is there.
    pub fn parse(file_name: &str) -> Option<Self> {
        let dot = file_name.len().checked_sub(4)?;
        let (base, ending) = (file_name.get(..dot)?, file_name.get(dot..)?);
        if base.is_empty() || !ending.eq_ignore_ascii_case(".efi") {
            return None;
        }
        let counted = base.rsplit_once('+').and_then(|(stem, count)| {
            let (left, done) = count.split_once('-').map_or((count, None), |(l, d)| (l, Some(d)));
            let done = done.map_or(Some(0), number)?;
            Some(Self { stem: stem.to_owned(), counter: Some(Counter { left: number(left)?, done }) })
        });
        counted.filter(|e| !e.stem.is_empty()).or(Some(Self { stem: base.to_owned(), counter: None }))
    }

    /// The file's name. Leading zeros of a counter are not kept.
    pub fn name(&self) -> String {
        match self.counter {
            None => format!("{}.efi", self.stem),
            Some(Counter { left, done: 0 }) => format!("{}+{left}.efi", self.stem),
            Some(Counter { left, done }) => format!("{}+{left}-{done}.efi", self.stem),
        }
    }

    /// It came up healthy: no counter any more.
    pub fn good(&self) -> Self {
        Self { stem: self.stem.clone(), counter: None }
    }

    /// Takes back the attempt that systemd-boot counted when it started this entry: waiting for a key
    /// is no failure, however often the power is cut meanwhile. What failed before stays counted. Good
    /// entries, and those without an attempt, stay as they are.
    pub fn restored(&self) -> Self {
        self.shifted(|c| Some(Counter { left: c.left.checked_add(1)?, done: c.done.checked_sub(1)? }))
    }

    /// Counts the attempt after all, once the key has come: a version that crashes after unlocking has
    /// to run out of tries. Gives back the very name that systemd-boot noted in `LoaderBootCountPath`,
    /// by which systemd-bless-boot finds the file.
    pub fn attempted(&self) -> Self {
        self.shifted(|c| Some(Counter { left: c.left.checked_sub(1)?, done: c.done.checked_add(1)? }))
    }

    fn shifted(&self, by: impl Fn(Counter) -> Option<Counter>) -> Self {
        Self { stem: self.stem.clone(), counter: self.counter.map(|c| by(c).unwrap_or(c)) }
    }

    /// Of this version of Cairn?
    pub fn is_version(&self, version: &str) -> bool {
        Self::fresh(version).is_ok_and(|fresh| fresh.stem == self.stem)
    }

    pub fn is_good(&self) -> bool {
        self.counter.is_none()
    }

    /// All tries used up; systemd-boot takes it only if there is nothing else.
    pub fn is_failed(&self) -> bool {
        self.counter.is_some_and(|c| c.left == 0)
    }
}

/// systemd-boot takes digits only, up to `INT_MAX`.
fn number(digits: &str) -> Option<u32> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().filter(|n| *n <= i32::MAX as u32)
}

impl fmt::Display for BootEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(name: &str) -> BootEntry {
        BootEntry::parse(name).unwrap()
    }

    #[test]
    fn names_are_read_as_systemd_boot_reads_them() {
        let counted = |left, done| Some(Counter { left, done });
        for (name, stem, counter) in [
            ("cairn_0.1.0-abcd1234+3.efi", "cairn_0.1.0-abcd1234", counted(3, 0)),
            ("cairn_0.1.0-abcd1234+2-1.efi", "cairn_0.1.0-abcd1234", counted(2, 1)),
            ("cairn_0.1.0-abcd1234.EFI", "cairn_0.1.0-abcd1234", None),
            ("a+b+0-3.efi", "a+b", counted(0, 3)),
            // Why a version's own plus must not stand in a name: this one would be a counter.
            ("cairn_0.1.0+12345678.efi", "cairn_0.1.0", counted(12_345_678, 0)),
            ("cairn_0.1.0+abcd.efi", "cairn_0.1.0+abcd", None),
            ("x+.efi", "x+", None),
            ("x+3-.efi", "x+3-", None),
            ("x+3-1-1.efi", "x+3-1-1", None),
            ("x+2147483648.efi", "x+2147483648", None),
        ] {
            assert_eq!(entry(name), BootEntry { stem: stem.to_owned(), counter }, "{name}");
        }
        for name in ["", ".efi", "x.conf", "efi", "é.ef", "cairn_1+3.efi.part"] {
            assert_eq!(BootEntry::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_fresh_entry_has_three_tries_and_no_plus_of_its_own() {
        let fresh = BootEntry::fresh("0.1.0+12345678").unwrap();
        assert_eq!(fresh.name(), "cairn_0.1.0-12345678+3.efi");
        assert!(fresh.is_version("0.1.0+12345678") && !fresh.is_version("0.1.0+12345679"));
        assert!(!fresh.is_good() && !fresh.is_failed());
    }

    #[test]
    fn an_entry_lives_through_its_boots() {
        let booted = entry("cairn_1+2-1.efi");
        assert_eq!(booted.restored().name(), "cairn_1+3.efi");
        assert_eq!(booted.restored().attempted(), booted);
        assert_eq!(entry("cairn_1+0-3.efi").restored().name(), "cairn_1+1-2.efi");
        assert!(entry("cairn_1+0-3.efi").is_failed());
        assert_eq!(booted.good().name(), "cairn_1.efi");
        for stays in ["cairn_1.efi", "cairn_1+3.efi"] {
            assert_eq!(entry(stays).restored(), entry(stays));
        }
        assert_eq!(entry("cairn_1.efi").attempted(), entry("cairn_1.efi"));
    }

    #[test]
    fn a_version_that_cannot_be_a_file_name_is_refused() {
        for version in ["", "1/2", "1 2", "..\\x", "ü", &"1".repeat(65)] {
            assert_eq!(file_version(version), Err(VersionError(version.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn any_name_is_parsed_or_refused_and_no_more(name in "\\PC{0,40}") {
            BootEntry::parse(&name);
        }

        #[test]
        fn what_is_named_is_read_back(stem in "[a-z][a-z0-9._-]{0,20}", count in proptest::option::of((0..9_u32, 0..9_u32))) {
            let entry = BootEntry { stem, counter: count.map(|(left, done)| Counter { left, done }) };
            prop_assert_eq!(BootEntry::parse(&entry.name()), Some(entry));
        }

        #[test]
        fn parsing_is_stable(name in "[a-z0-9+.-]{1,20}\\.efi") {
            let first = entry(&name);
            prop_assert_eq!(BootEntry::parse(&first.name()), Some(first));
        }

        #[test]
        fn restoring_and_attempting_keep_the_sum_of_tries(left in 0..9_u32, done in 0..9_u32) {
            let entry = BootEntry { stem: "x".to_owned(), counter: Some(Counter { left, done }) };
            for moved in [entry.restored(), entry.attempted()] {
                let c = moved.counter.unwrap();
                prop_assert_eq!(c.left + c.done, left + done);
            }
            prop_assert!(left == 0 || entry.attempted().restored() == entry);
        }
    }
}
