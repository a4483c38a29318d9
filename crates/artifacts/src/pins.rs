//! `artifacts.toml`: which files are wanted, from where, and what they have to be.

use crate::sum::Sum;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Spanned;
use ureq::http::Uri;

/// The pins that this program was built with.
pub const BUILT_IN: &str = include_str!("../../../artifacts.toml");
/// A file of pins is smaller.
const LARGEST: u64 = 1 << 20;
const LONGEST_WORD: usize = 64;
const LONGEST_URL: usize = 2048;

/// An architecture, as Debian and Kubernetes call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// From the kernel's word for it (`uname -m`).
    pub fn of_machine(machine: &str) -> Option<Self> {
        match machine {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no architecture that Cairn knows: amd64 or arm64")]
pub struct UnknownArch(String);

impl std::str::FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(text: &str) -> Result<Self, UnknownArch> {
        let known = Self::ALL.into_iter().find(|arch| arch.to_string() == text);
        known.ok_or_else(|| UnknownArch(text.to_owned()))
    }
}

/// One wanted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    pub name: String,
    pub version: String,
    pub arch: Arch,
    pub url: String,
    /// Upstream's checksum file, in the format of `sha256sum`.
    pub checksums: Option<String>,
    /// `None`: not locked yet, and so of no use.
    pub sum: Option<Sum>,
    /// In bytes, where it is known.
    pub size: Option<u64>,
}

impl Pin {
    /// What upstream calls the file.
    pub fn file_name(&self) -> &str {
        file_name(&self.url)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.arch)
    }
}

fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    #[error("{} can't be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    #[error("{} is larger than any file of pins", .0.display())]
    TooLarge(PathBuf),
    #[error("{0} is not understood")]
    Syntax(String, #[source] toml::de::Error),
    #[error("{file}, line {line}: {wrong}")]
    Pin { file: String, line: usize, wrong: Wrong },
}

/// What can be wrong with one pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error(
        "{key} '{value}' has to be 1 to 64 letters, digits, '.', '-', '_' or '+', the first a letter or digit"
    )]
    Word { key: &'static str, value: String },
    #[error(
        "{key} '{value}' has to be an http or https address without a password, and end with the name of a file"
    )]
    Url { key: &'static str, value: String },
    #[error(
        "sha256 '{0}' has to be 64 hexadecimal digits; leave the line out where it is not known, and `cairn artifacts lock` fills it in"
    )]
    Sum(String),
    #[error("a size of 0 bytes is none; leave the line out where it is not known")]
    Size,
    #[error("{0} is pinned twice")]
    Twice(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPins {
    #[serde(default)]
    artifact: Vec<Spanned<RawPin>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPin {
    name: String,
    version: String,
    arch: Arch,
    url: String,
    checksums: Option<String>,
    sha256: Option<String>,
    size: Option<u64>,
}

/// All pins, in the order of their file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    /// What the file is called where something is said about it.
    pub source: String,
    pub pins: Vec<Pin>,
}

impl Pins {
    /// # Errors
    /// Never, unless this program was built wrong.
    pub fn built_in() -> Result<Self, PinsError> {
        Self::parse("the built-in artifacts.toml", BUILT_IN)
    }

    /// # Errors
    /// When the file can't be read or is wrong, with the line.
    pub fn load(path: &Path) -> Result<Self, PinsError> {
        Self::parse(&path.display().to_string(), &read(path)?)
    }

    /// `source` is what the text is called in an error.
    ///
    /// # Errors
    /// Which line is wrong, and how.
    pub fn parse(source: &str, text: &str) -> Result<Self, PinsError> {
        let raw: RawPins =
            toml::from_str(text).map_err(|error| PinsError::Syntax(source.to_owned(), error))?;
        let mut pins: Vec<Pin> = Vec::new();
        for spanned in raw.artifact {
            let line = line_of(text, spanned.span().start);
            let wrong = |wrong| PinsError::Pin { file: source.to_owned(), line, wrong };
            let pin = check(spanned.into_inner()).map_err(wrong)?;
            if pins.iter().any(|other| same(other, &pin)) {
                return Err(wrong(Wrong::Twice(pin.to_string())));
            }
            pins.push(pin);
        }
        Ok(Self { source: source.to_owned(), pins })
    }

    pub fn find(&self, name: &str, version: &str, arch: Arch) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.name == name && pin.version == version && pin.arch == arch)
    }
}

pub(crate) fn read(path: &Path) -> Result<String, PinsError> {
    let wrong = |error| PinsError::Read(path.to_owned(), error);
    if std::fs::metadata(path).map_err(wrong)?.len() > LARGEST {
        return Err(PinsError::TooLarge(path.to_owned()));
    }
    std::fs::read_to_string(path).map_err(wrong)
}

fn same(one: &Pin, other: &Pin) -> bool {
    (&one.name, &one.version, one.arch) == (&other.name, &other.version, other.arch)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
}

fn check(raw: RawPin) -> Result<Pin, Wrong> {
    let RawPin { name, version, arch, url, checksums, sha256, size } = raw;
    word("name", &name)?;
    word("version", &version)?;
    address("url", &url)?;
    if let Some(checksums) = &checksums {
        address("checksums", checksums)?;
    }
    let sum = sha256.map(|text| text.parse().map_err(|_| Wrong::Sum(text))).transpose()?;
    if size == Some(0) {
        return Err(Wrong::Size);
    }
    Ok(Pin { name, version, arch, url, checksums, sum, size })
}

/// Becomes a part of paths and addresses.
fn word(key: &'static str, value: &str) -> Result<(), Wrong> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
    let first = value.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && value.len() <= LONGEST_WORD && value.bytes().all(fits) {
        return Ok(());
    }
    Err(Wrong::Word { key, value: value.to_owned() })
}

/// What a request can be made of, and what may be shown to anybody.
fn address(key: &'static str, value: &str) -> Result<(), Wrong> {
    let fits = |uri: &Uri| {
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let open = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        matches!(uri.scheme_str(), Some("http" | "https"))
            && host
            && open
            && !file_name(uri.path()).is_empty()
    };
    if value.len() <= LONGEST_URL && value.parse().is_ok_and(|uri| fits(&uri)) {
        return Ok(());
    }
    Err(Wrong::Url { key, value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "[[artifact]]\nname = \"k3s\"\nversion = \"v1+k3s1\"\narch = \"arm64\"\nurl = \"https://a.example/x/k3s-arm64\"\n";

    #[test]
    fn the_built_in_pins_are_right_and_name_the_k3s_of_a_new_cluster() {
        let pins = Pins::built_in().unwrap();
        for arch in Arch::ALL {
            for name in ["k3s", "k3s-images"] {
                let pin = pins.find(name, "v1.34.1+k3s1", arch).unwrap();
                assert!(pin.checksums.as_ref().unwrap().starts_with("https://"), "{pin}");
            }
        }
    }

    #[test]
    fn a_pin_without_a_checksum_is_not_locked_and_one_with_is() {
        let pins = Pins::parse("x", GOOD).unwrap();
        assert_eq!(pins.pins[0].sum, None);
        assert_eq!(pins.pins[0].file_name(), "k3s-arm64");
        let sum = Sum::of_bytes(b"");
        let locked = Pins::parse("x", &format!("{GOOD}sha256 = \"{sum}\"\nsize = 7")).unwrap();
        assert_eq!((locked.pins[0].sum, locked.pins[0].size), (Some(sum), Some(7)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (from, to, said) in [
            ("\"k3s\"", "\"\"", "x, line 2: name ''"),
            ("\"k3s\"", "\"../k3s\"", "x, line 2: name '../k3s'"),
            ("v1+k3s1", "v1/2", "x, line 2: version 'v1/2'"),
            ("https://a.example", "ftp://a.example", "x, line 2: url 'ftp"),
            ("https://a.example", "https://me:secret@a.example", "without a password"),
            ("k3s-arm64", "", "end with the name of a file"),
            ("k3s-arm64\"", "k\"\nsha256 = \"12\"", "x, line 2: sha256 '12' has to be 64"),
            ("k3s-arm64\"", "k\"\nsize = 0", "a size of 0"),
        ] {
            let text = format!("# first\n{}", GOOD.replace(from, to));
            let error = Pins::parse("x", &text).unwrap_err().to_string();
            assert!(error.contains(said), "{to}: {error}");
        }
        for (from, to, said) in [
            ("arm64\"\nurl", "mips\"\nurl", "mips"),
            ("url", "uri", "uri"),
            ("url", "name", "duplicate key"),
            ("[[artifact]]", "[artifact]", "artifact"),
        ] {
            let error = Pins::parse("x", &GOOD.replacen(from, to, 1)).unwrap_err();
            let chain = cairn_workflow::log::chain(&error);
            assert!(chain.starts_with("x is not understood: TOML parse error at line"), "{chain}");
            assert!(chain.contains(said), "{to}: {chain}");
        }
        let error = Pins::parse("x", &format!("{GOOD}{GOOD}")).unwrap_err().to_string();
        assert_eq!(error, "x, line 6: k3s v1+k3s1 (arm64) is pinned twice");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}", at in 0..GOOD.len(), cut in 0usize..12) {
            let _ = Pins::parse("x", &text);
            let end = (at + cut).min(GOOD.len());
            let _ = Pins::parse("x", &format!("{}{text}{}", &GOOD[..at], &GOOD[end..]));
        }

        #[test]
        fn what_is_accepted_can_be_asked_for_and_be_a_file(name in "\\PC{0,70}", version in "\\PC{0,70}", url in "(https?://)?[ -~]{0,40}") {
            let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
            let text = format!("[[artifact]]\nname={}\nversion={}\narch=\"amd64\"\nurl={}\n", quoted(&name), quoted(&version), quoted(&url));
            if let Ok(pins) = Pins::parse("x", &text) {
                let pin = &pins.pins[0];
                prop_assert!(ureq::get(&pin.url).uri_ref().is_some());
                prop_assert!(!pin.file_name().is_empty());
                let path = PathBuf::from("a").join(format!("{}-{}", pin.name, pin.version));
                prop_assert_eq!(path.components().count(), 2);
                prop_assert_eq!(&pin.name, &name);
            }
        }
    }
}
