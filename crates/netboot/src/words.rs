//! What happened, in words.

use std::fmt;

use crate::dhcp::{Kind, Style, Told};
use crate::policy::{Arch, Client};
use crate::story::{Via, What};

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bios => "BIOS",
            Self::X86Efi => "32-bit x86 UEFI",
            Self::X64Efi => "x86-64 UEFI",
            Self::Arm64Efi => "arm64 UEFI",
            Self::X64Http => "x86-64 UEFI with HTTP boot",
            Self::Arm64Http => "arm64 UEFI with HTTP boot",
            Self::ArmUboot => "32-bit Arm with U-Boot",
            Self::Arm64Uboot => "arm64 with U-Boot",
            Self::Other(number) => return write!(f, "architecture {number}"),
        })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pxe => "firmware (PXE)",
            Self::Http => "firmware (HTTP boot)",
            Self::Ipxe => "iPXE",
            Self::Uboot => "U-Boot",
            Self::RaspberryPi => "a Raspberry Pi's boot loader",
            Self::System => "an operating system",
        })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tftp => "TFTP",
            Self::Http => "HTTP",
        })
    }
}

/// The word of RFC 2131, by which other tools and logs name the message.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Discover => "DISCOVER",
        Kind::Offer => "OFFER",
        Kind::Request => "REQUEST",
        Kind::Decline => "DECLINE",
        Kind::Ack => "ACK",
        Kind::Nak => "NAK",
        Kind::Release => "RELEASE",
        Kind::Inform => "INFORM",
    }
}

fn asker(client: Client, arch: Option<Arch>) -> String {
    arch.map_or_else(|| client.to_string(), |arch| format!("{client}, {arch}"))
}

/// Megabytes with one digit, as progress is shown everywhere.
pub(crate) fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DhcpAsked { message, client, arch } => {
                write!(f, "asked by DHCP ({}): {}", word(*message), asker(*client, *arch))
            }
            Self::DhcpOverheard { message, client, arch } => {
                write!(
                    f,
                    "asked by DHCP ({}) where Cairn does not answer: {}",
                    word(*message),
                    asker(*client, *arch)
                )
            }
            Self::DhcpAnswered { message: Kind::Nak, .. } => {
                f.write_str("was told that its address is not of this network (NAK)")
            }
            Self::DhcpLeftToDisk => f.write_str("is left to its own disk, because it is installed"),
            Self::DhcpAnswered { message, address, told, because, style } => {
                let way = match style {
                    Some(Style::InOffer) => ", beside the router",
                    Some(Style::On4011) => ", beside the router, by port 4011",
                    None => "",
                };
                write!(f, "was answered ({}{way})", word(*message))?;
                if let Some(address) = address {
                    write!(f, ", address {address}")?;
                }
                match (told, because) {
                    (Told::Boot(file), _) => write!(f, ", to start {file}"),
                    (Told::LocalDisk, _) => f.write_str(", to start from its own disk"),
                    (Told::Unable(_), Some(because)) => write!(f, ", nothing to start: {because}"),
                    (Told::Unable(_) | Told::NotAsked, _) => Ok(()),
                }
            }
            Self::DhcpIgnored { because } => write!(f, "was not answered: {because}"),
            Self::FetchStarted { via, file, size, .. } => {
                write!(f, "began to fetch {file} by {via}, {}", megabytes(*size))
            }
            Self::FetchProgress { bytes, size, .. } => {
                write!(f, "has {} of {}", megabytes(*bytes), megabytes(*size))
            }
            Self::FetchDone { bytes, millis, .. } => {
                write!(f, "has all {}, in {} s", megabytes(*bytes), millis.div_ceil(1000))
            }
            Self::FetchAborted { bytes, because, .. } => {
                write!(f, "broke off after {}: {because}", megabytes(*bytes))
            }
            Self::FetchRefused { via, file, because } => {
                write!(f, "asked for {file:?} by {via} and was refused: {because}")
            }
            Self::AddressInUse { address, by: Some(card) } => {
                write!(f, "is not given {address}, because another machine ({card}) uses it already")
            }
            Self::AddressInUse { address, by: None } => {
                write!(f, "does not take {address}, because it found another machine that uses it")
            }
            Self::Troubled { trouble } => write!(f, "{trouble}"),
            Self::Stopped { because } => write!(f, "network boot stopped: {because}"),
        }
    }
}
