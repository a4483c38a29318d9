//! The bytes of an answer.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Encodable, Encoder};

use super::packet::{Kind, Packet};
use super::style::Style;
use crate::config::OwnCable;

/// The DHCP client's port.
const CLIENT_PORT: u16 = 68;

/// BOOTP's packet was never shorter (RFC 1542, section 2.1), and old firmware drops what is.
const SHORTEST: usize = 300;

/// Longest name that fits the header's `file` field with its final NUL.
const LONGEST_FILE: usize = 127;

/// A PXE menu with one entry of type 0, "boot from the disk", chosen after 0 seconds (PXE 2.1, section
/// 2.4). Without it UEFI firmware takes an address without a boot file for no answer at all and asks for
/// a minute before it goes on to its disk.
const LOCAL_BOOT: &[u8] = b"\x06\x01\x03\x09\x0d\x00\x00\x0aLocal disk\x0a\x0b\x00Local disk\xff";

/// What a Raspberry Pi's boot loader looks for before it fetches anything: a PXE menu with one entry of type 0 that is
/// called so (documentation of the Raspberry Pi's network boot; as `pxe-service=0` of dnsmasq sends it).
const RASPBERRY_PI_BOOT: &[u8] = b"\x06\x01\x03\x0a\x04\x00PXE\x09\x14\x00\x00\x11Raspberry Pi Boot\xff";

/// PXE's discovery control with bit 3: take the boot file from this packet, and ask nobody else (PXE 2.1, table 2-1).
const TAKE_THIS_FILE: &[u8] = b"\x06\x01\x08\xff";

/// What an answer says about booting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// Nothing.
    None,
    /// To boot from the disk, in the words of PXE.
    LocalDisk,
    /// Fetch this name by TFTP.
    Tftp(String),
    /// Fetch this URL.
    Http(String),
    /// Fetch this URL, in the words of PXE: iPXE takes a URL for a file's name.
    Ipxe(String),
    /// Fetch by TFTP what a Raspberry Pi's boot loader fetches, of which this is one.
    RaspberryPi(String),
}

impl Carrier {
    /// The name or URL.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::None | Self::LocalDisk => None,
            Self::Tftp(file) | Self::Http(file) | Self::Ipxe(file) | Self::RaspberryPi(file) => Some(file),
        }
    }
}

/// An answer as the handler decided it.
pub struct Draft<'a> {
    /// The question.
    pub to: &'a Packet,
    /// Offer, Ack or Nak.
    pub kind: Kind,
    /// The address given; `None` for Nak, and for the answer to Inform.
    pub address: Option<Ipv4Addr>,
    /// What to boot.
    pub carrier: &'a Carrier,
}

impl Draft<'_> {
    /// Where the answer goes. A client without an address can't answer ARP, so it is told by broadcast,
    /// whether it asked for that or not: raw frames to its card would save the others a packet and cost a
    /// packet socket.
    pub fn destination(&self) -> SocketAddrV4 {
        let address = match self.to.ciaddr {
            ciaddr if ciaddr.is_unspecified() || self.kind == Kind::Nak => Ipv4Addr::BROADCAST,
            ciaddr => ciaddr,
        };
        SocketAddrV4::new(address, CLIENT_PORT)
    }

    /// The packet. `None` only if the codec refuses what was put in, which no input can bring about.
    pub fn encode(&self, cable: &OwnCable) -> Option<Vec<u8>> {
        let Self { to, kind, address, carrier } = *self;
        let mut message = begin(to, kind, address, cable.address);
        if kind != Kind::Nak {
            let options = message.opts_mut();
            options.insert(DhcpOption::SubnetMask(cable.mask()));
            if let Some(router) = cable.router {
                options.insert(DhcpOption::Router(vec![router]));
            }
            if address.is_some() {
                lease_times(&mut message, cable.lease);
            }
            boot(&mut message, carrier, to, cable.address);
        }
        end(&message)
    }
}

/// What a router's answer lacks: only what to boot, and no address.
pub fn beside(to: &Packet, kind: Kind, carrier: &Carrier, style: Style, own: Ipv4Addr) -> Option<Vec<u8>> {
    let mut message = begin(to, kind, None, own);
    let class: &[u8] = if matches!(carrier, Carrier::Http(_)) { b"HTTPClient" } else { b"PXEClient" };
    message.opts_mut().insert(DhcpOption::ClassIdentifier(class.to_vec()));
    boot(&mut message, carrier, to, own);
    message.set_siaddr(own);
    let options = message.opts_mut();
    match (carrier, style) {
        (Carrier::Tftp(_) | Carrier::Ipxe(_), Style::InOffer) => {
            options.insert(DhcpOption::VendorExtensions(TAKE_THIS_FILE.to_vec()));
        }
        // What was said in the offer already would end the exchange before its second half.
        (Carrier::LocalDisk, Style::On4011) if kind == Kind::Offer => {
            options.remove(OptionCode::VendorExtensions);
        }
        _ => {}
    }
    if let Some(id) = to.machine_id {
        options.insert(DhcpOption::ClientMachineIdentifier(id.to_vec()));
    }
    end(&message)
}

/// What stands in every answer.
fn begin(to: &Packet, kind: Kind, address: Option<Ipv4Addr>, own: Ipv4Addr) -> Message {
    let mut message = Message::new_with_id(
        to.xid,
        if kind == Kind::Nak { Ipv4Addr::UNSPECIFIED } else { to.ciaddr },
        address.unwrap_or(Ipv4Addr::UNSPECIFIED),
        Ipv4Addr::UNSPECIFIED,
        to.giaddr,
        &to.mac.0,
    );
    message.set_opcode(Opcode::BootReply);
    if to.broadcast {
        message.set_flags(Flags::default().set_broadcast());
    }
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(match kind {
        Kind::Offer => MessageType::Offer,
        Kind::Nak => MessageType::Nak,
        _ => MessageType::Ack,
    }));
    options.insert(DhcpOption::ServerIdentifier(own));
    if let Some(id) = &to.client_id {
        options.insert(DhcpOption::ClientIdentifier(id.clone())); // RFC 6842
    }
    message
}

fn end(message: &Message) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(400);
    message.encode(&mut Encoder::new(&mut bytes)).ok()?;
    if bytes.len() < SHORTEST {
        bytes.resize(SHORTEST, 0);
    }
    Some(bytes)
}

fn lease_times(message: &mut Message, lease: Duration) {
    let seconds = u32::try_from(lease.as_secs()).unwrap_or(u32::MAX);
    let options = message.opts_mut();
    options.insert(DhcpOption::AddressLeaseTime(seconds));
    options.insert(DhcpOption::Renewal(seconds / 2));
    options.insert(DhcpOption::Rebinding(seconds - seconds / 8));
}

/// The boot part on a cable of our own. The boot file goes out twice, in the header and as option 67: UEFI firmware prefers the option, U-Boot
/// reads only the header.
///
/// PXE firmware gets no option 60 (`PXEClient`): to EDK2 that makes the answer the first half of a PXE boot
/// server exchange, and it gives up with PXE-E16 unless option 43 ends that exchange (tried with OVMF
/// 2025.02). An address and a boot file without either is what plain DHCP servers send, and what every
/// firmware takes. UEFI HTTP boot insists on `HTTPClient`.
fn boot(message: &mut Message, carrier: &Carrier, to: &Packet, own: Ipv4Addr) {
    let options = message.opts_mut();
    let file = match carrier {
        Carrier::None => return,
        Carrier::LocalDisk => {
            options.insert(DhcpOption::ClassIdentifier(b"PXEClient".to_vec()));
            options.insert(DhcpOption::VendorExtensions(LOCAL_BOOT.to_vec()));
            return;
        }
        Carrier::Tftp(name) => {
            options.insert(DhcpOption::TFTPServerName(own.to_string().into_bytes()));
            name
        }
        Carrier::Http(url) => {
            options.insert(DhcpOption::ClassIdentifier(b"HTTPClient".to_vec()));
            url
        }
        Carrier::Ipxe(url) => url,
        Carrier::RaspberryPi(name) => {
            options.insert(DhcpOption::ClassIdentifier(b"PXEClient".to_vec()));
            options.insert(DhcpOption::VendorExtensions(RASPBERRY_PI_BOOT.to_vec()));
            options.insert(DhcpOption::TFTPServerName(own.to_string().into_bytes()));
            name
        }
    };
    options.insert(DhcpOption::BootfileName(file.clone().into_bytes()));
    if let Some(id) = to.machine_id {
        options.insert(DhcpOption::ClientMachineIdentifier(id.to_vec()));
    }
    message.set_siaddr(own);
    if file.len() <= LONGEST_FILE {
        message.set_fname(file.as_bytes());
    }
}
