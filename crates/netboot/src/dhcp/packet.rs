//! A DHCP packet from the wire, reduced to what this server understands (RFC 2131, 2132, 4578).
//!
//! The bytes are read with `dhcproto`'s borrowed view and the few options that matter are decoded here.
//! Its owned `Message::decode` was tried first: it slices by an unchecked hardware address length, and
//! asserts on the lengths of options that nobody here needs, so a stranger's packet could end the process.

use std::net::Ipv4Addr;

use dhcproto::v4::{MAGIC, borrowed};

use crate::mac::Mac;
use crate::policy::{Arch, Client};

/// The DHCP message types that a server or a client on a small network sends (option 53).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 1
    Discover,
    /// 2
    Offer,
    /// 3
    Request,
    /// 4
    Decline,
    /// 5
    Ack,
    /// 6
    Nak,
    /// 7
    Release,
    /// 8
    Inform,
}

impl Kind {
    fn from_wire(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Discover,
            2 => Self::Offer,
            3 => Self::Request,
            4 => Self::Decline,
            5 => Self::Ack,
            6 => Self::Nak,
            7 => Self::Release,
            8 => Self::Inform,
            _ => return None,
        })
    }

    /// Whether only servers say this.
    pub fn is_from_server(self) -> bool {
        matches!(self, Self::Offer | Self::Ack | Self::Nak)
    }
}

/// Why bytes are not a DHCP packet that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than the fixed part and the magic cookie.
    #[error("it is too short")]
    Short,
    /// BOOTP, or something else on this port.
    #[error("it has no DHCP cookie")]
    Cookie,
    /// Not Ethernet, or a group address, or all zeros.
    #[error("its hardware address is not one of an Ethernet card")]
    Hardware,
    /// Option 53 is missing or unknown, or contradicts the operation code.
    #[error("its message type is missing or unknown")]
    Type,
}

/// One packet, from a client or from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Option 53.
    pub kind: Kind,
    /// The exchange's number.
    pub xid: u32,
    /// The client asks for broadcast replies.
    pub broadcast: bool,
    /// The address that the client has and uses, or 0.0.0.0.
    pub ciaddr: Ipv4Addr,
    /// The address that a server gives, or 0.0.0.0.
    pub yiaddr: Ipv4Addr,
    /// The relay that passed this on, or 0.0.0.0.
    pub giaddr: Ipv4Addr,
    /// The client's card.
    pub mac: Mac,
    /// Option 50: the address that the client would like.
    pub requested: Option<Ipv4Addr>,
    /// Option 54: the server meant, or speaking.
    pub server: Option<Ipv4Addr>,
    /// Option 61, at most 255 bytes and not empty.
    pub client_id: Option<Vec<u8>>,
    /// Option 97, 17 bytes of which the first is 0, as it came.
    pub machine_id: Option<[u8; 17]>,
    /// What kind of program this is.
    pub client: Client,
    /// The first architecture of option 93.
    pub arch: Option<Arch>,
}

impl Packet {
    /// Reads a UDP payload. Options that are damaged or of a wrong length count as absent, since firmware
    /// gets the ones that don't matter wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let view = borrowed::Message::new(bytes).map_err(|_| Malformed::Short)?;
        if bytes.get(236..240) != Some(&MAGIC[..]) {
            return Err(Malformed::Cookie);
        }
        // Checked here because `view.chaddr()` trusts the length; 1 is Ethernet.
        let (&[hardware, 6], Some(mac)) = (
            bytes.get(1..3).and_then(|b| b.first_chunk()).unwrap_or(&[0; 2]),
            bytes.get(28..).and_then(<[u8]>::first_chunk::<6>),
        ) else {
            return Err(Malformed::Hardware);
        };
        if hardware != 1 || mac.first().is_some_and(|first| first & 1 == 1) || *mac == [0; 6] {
            return Err(Malformed::Hardware);
        }
        let options = Options::read(&view);
        let kind = options.kind.ok_or(Malformed::Type)?;
        let reply = matches!(bytes.first(), Some(2));
        if kind.is_from_server() != reply {
            return Err(Malformed::Type);
        }
        Ok(Self {
            kind,
            xid: view.xid(),
            broadcast: view.flags().broadcast(),
            ciaddr: view.ciaddr(),
            yiaddr: view.yiaddr(),
            giaddr: view.giaddr(),
            mac: Mac(*mac),
            requested: options.requested,
            server: options.server,
            client: options.client(Mac(*mac)),
            client_id: options.client_id,
            machine_id: options.machine_id,
            arch: options.arch,
        })
    }

    /// What names this client in the lease table (RFC 2131, section 4.2): its identifier, else its card.
    pub fn lease_key(&self) -> Vec<u8> {
        match &self.client_id {
            Some(id) => id.clone(),
            None => [1].into_iter().chain(self.mac.0).collect(),
        }
    }

    /// The machine's UUID, in the byte order of the wire.
    pub fn uuid(&self) -> Option<[u8; 16]> {
        self.machine_id.and_then(|id| id.last_chunk().copied())
    }
}

#[derive(Default)]
struct Options {
    kind: Option<Kind>,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    client_id: Option<Vec<u8>>,
    machine_id: Option<[u8; 17]>,
    class: Option<Client>,
    ipxe: bool,
    arch: Option<Arch>,
}

impl Options {
    fn read(view: &borrowed::Message<'_>) -> Self {
        let mut options = Self::default();
        for option in view.opts() {
            let data = option.data();
            match u8::from(option.code()) {
                50 => options.requested = address(data),
                53 => options.kind = data.first().copied().and_then(Kind::from_wire),
                54 => options.server = address(data),
                60 if data.starts_with(b"PXEClient") => options.class = Some(Client::Pxe),
                60 if data.starts_with(b"HTTPClient") => options.class = Some(Client::Http),
                60 if data.starts_with(b"U-Boot") => options.class = Some(Client::Uboot),
                61 if (1..=255).contains(&data.len()) => options.client_id = Some(data.to_vec()),
                // RFC 3004 wants length-prefixed classes; iPXE sends the bare word.
                77 => options.ipxe |= data.windows(4).any(|word| word == b"iPXE"),
                93 => options.arch = data.first_chunk().map(|two| Arch::from(u16::from_be_bytes(*two))),
                97 => options.machine_id = <[u8; 17]>::try_from(data).ok().filter(|id| id.starts_with(&[0])),
                175 => options.ipxe = true,
                _ => {}
            }
        }
        options
    }

    fn client(&self, mac: Mac) -> Client {
        match (self.class, self.arch) {
            _ if self.ipxe => Client::Ipxe,
            (Some(Client::Pxe), Some(Arch::Bios)) if self.is_raspberry_pi(mac) => Client::RaspberryPi,
            (Some(Client::Pxe), Some(Arch::ArmUboot | Arch::Arm64Uboot)) => Client::Uboot,
            (Some(class), _) => class,
            (None, _) => Client::System,
        }
    }

    /// By its card's maker, else by its identifier: newer boot loaders begin it with `RPi4`, as the makers'
    /// documentation of `DHCP_OPTION97` says.
    fn is_raspberry_pi(&self, mac: Mac) -> bool {
        let named = self.machine_id.is_some_and(|id| id.get(1..4) == Some(&b"RPi"[..]));
        named || mac.0.first_chunk().is_some_and(|maker| RASPBERRY_PI.contains(maker))
    }
}

/// The first halves of Raspberry Pis' Ethernet addresses, by the IEEE's registry.
const RASPBERRY_PI: [[u8; 3]; 6] = [
    [0x28, 0xcd, 0xc1],
    [0x2c, 0xcf, 0x67],
    [0xb8, 0x27, 0xeb],
    [0xd8, 0x3a, 0xdd],
    [0xdc, 0xa6, 0x32],
    [0xe4, 0x5f, 0x01],
];

fn address(data: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(data).ok().map(Ipv4Addr::from).filter(|address| !address.is_unspecified())
}
