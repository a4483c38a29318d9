//! Prepared media, and the disks that they can be written to.

use cairn_model::cluster::Name;
use cairn_model::static_address::StaticAddress;
use cairn_model::wifi::Wifi;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /api/v1/nodes/{name}/medium`; answered with the disk image. The headers `cairn-medium` (its
/// join key's id), `cairn-image-length` (bytes) and `cairn-image-sha256` speak of the image as it is on
/// the medium, however it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MediumRequest {
    /// Seconds for which its join key is good, 7 days when left out.
    #[serde(default)]
    pub valid_seconds: Option<u64>,
    #[serde(default)]
    pub kind: MediumKind,
    #[serde(default)]
    pub board: MediumBoard,
    #[serde(default)]
    pub format: MediumFormat,
    /// For a machine without a cable. It lies on the medium in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wifi: Option<Wifi>,
    /// Where no router hands addresses out, or not this one. Its cluster address stands beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<StaticAddress>,
}

/// What the owner holds in the hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediumKind {
    /// An SD card that becomes the node and stays in it.
    Sd,
    /// A USB stick that becomes the node and stays in it.
    #[default]
    Usb,
    /// A USB stick that installs the node onto a disk in the machine.
    Installer,
}

impl std::fmt::Display for MediumKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sd => "SD card",
            Self::Usb => "USB stick",
            Self::Installer => "installer stick",
        })
    }
}

/// What starts from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum MediumBoard {
    /// Any x86-64 machine with UEFI.
    #[default]
    #[serde(rename = "uefi")]
    Uefi,
    /// Any arm64 machine with UEFI.
    #[serde(rename = "uefi-arm64")]
    UefiArm64,
    /// A Raspberry Pi Zero 2 W, from an SD card only.
    #[serde(rename = "pi-zero-2-w")]
    PiZero2W,
}

impl From<MediumBoard> for cairn_layout::Board {
    fn from(board: MediumBoard) -> Self {
        match board {
            MediumBoard::Uefi => Self::Uefi,
            MediumBoard::UefiArm64 => Self::UefiArm64,
            MediumBoard::PiZero2W => Self::PiZero2W,
        }
    }
}

/// How an image is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediumFormat {
    /// As programs that write cards take it: some 280 MB instead of 2.2 GB.
    #[default]
    Gzip,
    Raw,
}

/// `GET /api/v1/disks`: a disk of the manager's machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskStatus {
    /// Names this disk while it is plugged in, and never another.
    pub id: String,
    /// Vendor and model in one line.
    pub product: String,
    /// Bytes; 0 in a reader without a card.
    pub size: u64,
    /// Why no medium is written to it; `None` when it is offered.
    pub refused: Option<String>,
}

/// `POST /api/v1/nodes/{name}/medium/write`: writes a medium to a disk of the manager's machine. **What
/// is on it is lost.** Answered at once with the job, as `GET` on the same path does from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteMediumRequest {
    /// From `GET /api/v1/disks`.
    pub disk: String,
    #[serde(default)]
    pub valid_seconds: Option<u64>,
    #[serde(default)]
    pub kind: MediumKind,
    #[serde(default)]
    pub board: MediumBoard,
    /// As for an image that is downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wifi: Option<Wifi>,
    /// As for an image that is downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<StaticAddress>,
}

/// `GET /api/v1/media`: a medium that was prepared, the one that is good for the longest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MediumStatus {
    /// Its join key's.
    pub id: String,
    pub node: Name,
    pub kind: MediumKind,
    /// Of the image as it is on the medium.
    pub sha256: String,
    /// Seconds since 1970.
    pub expires: u64,
    pub state: MediumState,
    /// The fingerprint of the machine that joined with it.
    pub used_by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediumState {
    /// It lets one machine in.
    Good,
    /// A machine joined with it.
    Used,
    /// Another machine has its node's place, or the cluster has no such node any more.
    Obsolete,
    Expired,
}

impl std::fmt::Display for MediumState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Used => "used",
            Self::Obsolete => "of no use: its place is taken",
            Self::Expired => "expired",
        })
    }
}
