//! How a disk is started: the one place that knows the difference between UEFI and a Raspberry Pi.
//!
//! | | UEFI | Raspberry Pi |
//! |---|---|---|
//! | a version is | one UKI in `EFI/Linux` | a folder with what the UKI holds |
//! | which one is good, how often another may be tried | the counter in its name | `config.txt`, `tryboot.txt` |
//! | who counts an attempt | systemd-boot | [`Firmware::try_once`], before the restart |
//! | an attempt is one because | tries run out | the firmware forgets the flag at once |
//!
//! Both speak of versions as [`BootEntry`]: without a counter it is good, with one it is being tried. So what the agent
//! does to its own version (give an attempt back, count it after all, call it good) is one line for both:
//! [`Firmware::recount`].

pub mod pi;
mod uefi;

use crate::boot_entry::{BootEntry, VersionError};
use crate::device::Device;
use crate::esp::{Esp, EspError};
use crate::install::Source;
use crate::plan::Arch;
use std::fmt;
use std::str::FromStr;

/// A kind of machine that a medium can be made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Board {
    /// Any x86-64 one with UEFI.
    #[default]
    Uefi,
    /// Any arm64 one with UEFI.
    UefiArm64,
    PiZero2W,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("board `{0}` is not known: uefi, uefi-arm64 or pi-zero-2-w")]
pub struct BoardError(pub String);

impl Board {
    /// What firmware of this board starts.
    pub fn arch(self) -> Arch {
        match self {
            Self::Uefi => Arch::X86_64,
            Self::UefiArm64 | Self::PiZero2W => Arch::Arm64,
        }
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uefi => "uefi",
            Self::UefiArm64 => "uefi-arm64",
            Self::PiZero2W => "pi-zero-2-w",
        })
    }
}

impl FromStr for Board {
    type Err = BoardError;
    fn from_str(s: &str) -> Result<Self, BoardError> {
        [Self::Uefi, Self::UefiArm64, Self::PiZero2W]
            .into_iter()
            .find(|board| board.to_string() == s)
            .ok_or_else(|| BoardError(s.to_owned()))
    }
}

/// What firmware needs beside a version, once for a disk.
#[derive(Clone, Copy, Debug)]
pub enum Loader<'a> {
    /// The EFI program.
    SystemdBoot(&'a [u8]),
    /// Firmware and device trees, by name: the files of the image's folder `pi`.
    RaspberryPi(&'a [(String, Vec<u8>)]),
}

/// What reads the boot partition when the machine is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    Uefi,
    RaspberryPi,
}

/// How a machine has to be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Plain,
    /// With this argument: reboot(2), `LINUX_REBOOT_CMD_RESTART2`.
    Argument(&'static str),
}

#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error(transparent)]
    Esp(#[from] EspError),
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error("the image of the new version can't be taken apart")]
    Uki(#[from] cairn_uki::UkiError),
    #[error("reading the image of the new version failed")]
    Read(#[source] std::io::Error),
    #[error(
        "the parts of the new version's image overlap, or its command line is no text: transfer it again"
    )]
    Parts,
    #[error("`{0}` on the card does not say which version is started: prepare the card anew")]
    Config(&'static str),
    #[error(transparent)]
    Choice(#[from] pi::ChoiceError),
    #[error("the image has no file `{0}` for a Raspberry Pi: build it again")]
    NoFile(&'static str),
}

/// A version to be written.
pub struct Version<'a> {
    /// As the manifest says it, such as `0.1.0+abcd1234`.
    pub name: &'a str,
    pub uki: Source<'a>,
    /// Of a Raspberry Pi. Without any, those of the version that is started now.
    pub device_trees: &'a [(String, Vec<u8>)],
}

impl Firmware {
    /// The boot partition says by its files what it is for.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn of(esp: &mut Esp<'_, impl Device>) -> Result<Self, BootError> {
        Ok(if esp.read(pi::CONFIG)?.is_some() { Self::RaspberryPi } else { Self::Uefi })
    }

    /// The versions that can be started, and how often each may still be tried.
    ///
    /// # Errors
    /// When the boot partition can't be read.
    pub fn entries(self, esp: &mut Esp<'_, impl Device>) -> Result<Vec<BootEntry>, BootError> {
        match self {
            Self::Uefi => Ok(esp.entries()?),
            Self::RaspberryPi => Ok(pi::card(esp)?.entries()),
        }
    }

    /// Writes a new version beside the one that is started, which stays as it is until [`Self::recount`] calls the new
    /// one good. `step` is told of bytes.
    ///
    /// # Errors
    /// When the boot partition can't be written to, or the image is none.
    pub fn write_version(
        self,
        esp: &mut Esp<'_, impl Device>,
        version: Version<'_>,
        step: &mut dyn FnMut(u64),
    ) -> Result<BootEntry, BootError> {
        match self {
            Self::Uefi => uefi::write_version(esp, version, step),
            Self::RaspberryPi => pi::write_version(esp, version, step),
        }
    }

    /// Gives a version another counter, or none: then it is started from now on. Done already is done.
    ///
    /// # Errors
    /// When there is no such version, or the boot partition can't be written to.
    pub fn recount(
        self,
        esp: &mut Esp<'_, impl Device>,
        from: &BootEntry,
        to: &BootEntry,
    ) -> Result<(), BootError> {
        match self {
            Self::Uefi => Ok(esp.rename_entry(from, to)?),
            Self::RaspberryPi => pi::recount(esp, to),
        }
    }

    /// Prepares that the next start, and no other, is one of this version. The machine has to be restarted so.
    ///
    /// # Errors
    /// When it has no tries left, or the boot partition can't be written to.
    pub fn try_once(self, esp: &mut Esp<'_, impl Device>, entry: &BootEntry) -> Result<Restart, BootError> {
        match self {
            // systemd-boot takes the newest version that has tries left, and counts by itself.
            Self::Uefi => Ok(Restart::Plain),
            Self::RaspberryPi => pi::try_once(esp, entry),
        }
    }
}

/// Makes an empty boot partition one that starts this version.
pub(crate) fn install(
    esp: &mut Esp<'_, impl Device>,
    arch: Arch,
    loader: Loader<'_>,
    version: Version<'_>,
    step: &mut dyn FnMut(u64),
) -> Result<(), BootError> {
    match loader {
        Loader::SystemdBoot(program) => uefi::install(esp, arch, program, version, step),
        Loader::RaspberryPi(files) => pi::install(esp, files, version, step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_read_by_the_name_that_it_is_shown_with() {
        for board in [Board::Uefi, Board::UefiArm64, Board::PiZero2W] {
            assert_eq!(board.to_string().parse(), Ok(board));
        }
        let error = "pi-5".parse::<Board>().unwrap_err().to_string();
        assert_eq!(error, "board `pi-5` is not known: uefi, uefi-arm64 or pi-zero-2-w");
    }
}
