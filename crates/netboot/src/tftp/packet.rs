//! TFTP packets (RFC 1350) and their options (RFC 2347, 2348, 2349, 7440).

use std::str;

/// Without the `blksize` option (RFC 1350).
pub const DEFAULT_BLOCK: u16 = 512;

/// The largest block that this server sends: what fits one Ethernet frame beside the IP, UDP and TFTP
/// headers. A larger one would be sent in fragments, and firmware loses those.
pub const LARGEST_BLOCK: u16 = 1468;

/// The largest window, in blocks: a bound on the memory of a transfer, far above what firmware asks.
pub const LARGEST_WINDOW: u16 = 64;

/// A client's packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromClient {
    /// RRQ: send me a file.
    Read(ReadRequest),
    /// WRQ: take a file. Never allowed here.
    Write,
    /// ACK of a block number.
    Ack(u16),
    /// ERROR with its code and text.
    Error(u16, String),
}

/// What a client asks for, with only those options that it asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadRequest {
    /// The name as it came; valid UTF-8, at most 255 bytes.
    pub name: String,
    /// Whether the mode is `octet`, the only one that leaves a file as it is.
    pub octet: bool,
    /// `blksize`, 8 to 65,464.
    pub block: Option<u16>,
    /// `tsize`: the client would like to know the size.
    pub size: bool,
    /// `timeout` in seconds, 1 to 255.
    pub timeout: Option<u8>,
    /// `windowsize`, 1 to 65,535.
    pub window: Option<u16>,
}

/// Bytes that are no TFTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a TFTP packet")]
pub struct Malformed;

/// Error codes of RFC 1350 and 2347.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Code {
    /// See the text.
    Undefined = 0,
    /// No such file.
    NotFound = 1,
    /// Not allowed.
    Denied = 2,
    /// Not understood.
    Illegal = 4,
}

impl FromClient {
    /// Reads a UDP payload.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (code, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
        match u16::from_be_bytes(*code) {
            1 => ReadRequest::parse(rest).map(Self::Read),
            2 => Ok(Self::Write),
            4 => rest.first_chunk().map(|block| Self::Ack(u16::from_be_bytes(*block))).ok_or(Malformed),
            5 => {
                let (code, text) = rest.split_first_chunk().ok_or(Malformed)?;
                let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
                let text = String::from_utf8_lossy(text).chars().take(120).collect();
                Ok(Self::Error(u16::from_be_bytes(*code), text))
            }
            _ => Err(Malformed),
        }
    }
}

impl ReadRequest {
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        // Each field ends with a NUL, the last one of some firmware without.
        let body = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        let mut fields =
            body.split(|byte| *byte == 0).map(|field| str::from_utf8(field).map_err(|_| Malformed));
        let name = fields.next().ok_or(Malformed)??;
        let mode = fields.next().ok_or(Malformed)??;
        if name.is_empty() || name.len() > 255 {
            return Err(Malformed);
        }
        let octet = mode.eq_ignore_ascii_case("octet");
        let mut request = Self { name: name.to_owned(), octet, ..Self::default() };
        while let (Some(Ok(option)), Some(Ok(value))) = (fields.next(), fields.next()) {
            request.option(option, value);
        }
        Ok(request)
    }

    /// An option that is unknown or out of range counts as not asked (RFC 2347).
    fn option(&mut self, name: &str, value: &str) {
        let number = value.parse::<u64>().ok();
        let small = || number.and_then(|number| u16::try_from(number).ok());
        match name.to_ascii_lowercase().as_str() {
            "blksize" => self.block = small().filter(|size| (8..=65_464).contains(size)),
            "tsize" => self.size = number.is_some(),
            "timeout" => {
                self.timeout = number.and_then(|n| u8::try_from(n).ok()).filter(|seconds| *seconds > 0)
            }
            "windowsize" => self.window = small().filter(|blocks| *blocks > 0),
            _ => {}
        }
    }

    /// The block size to use.
    pub fn block_size(&self) -> u16 {
        self.block.map_or(DEFAULT_BLOCK, |asked| asked.min(LARGEST_BLOCK))
    }

    /// The window to use, in blocks.
    pub fn window_size(&self) -> u16 {
        self.window.map_or(1, |asked| asked.min(LARGEST_WINDOW))
    }

    /// The OACK for a file of `size` bytes, acknowledging only what was asked; `None` if nothing was.
    pub fn oack(&self, size: u64) -> Option<Vec<u8>> {
        let options = [
            self.block.map(|_| ("blksize", u64::from(self.block_size()))),
            self.size.then_some(("tsize", size)),
            self.timeout.map(|seconds| ("timeout", u64::from(seconds))),
            self.window.map(|_| ("windowsize", u64::from(self.window_size()))),
        ];
        let mut bytes = vec![0, 6];
        for (name, value) in options.into_iter().flatten() {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(value.to_string().as_bytes());
            bytes.push(0);
        }
        (bytes.len() > 2).then_some(bytes)
    }
}

/// What stands before the content of a DATA packet.
pub const DATA_HEADER: usize = 4;

/// Writes the header of a DATA packet, whose content is there or still to come. Block numbers roll over to 0 after
/// 65,535, as every client that can fetch more expects.
pub fn data(block: u64, datagram: &mut [u8]) {
    let [.., high, low] = block.to_be_bytes();
    if let Some(header) = datagram.first_chunk_mut::<DATA_HEADER>() {
        *header = [0, 3, high, low];
    }
}

/// An ERROR packet.
pub fn error(code: Code, text: &str) -> Vec<u8> {
    let [high, low] = (code as u16).to_be_bytes();
    let mut bytes = vec![0, 5, high, low];
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> ReadRequest {
        match FromClient::parse(bytes) {
            Ok(FromClient::Read(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_of_uefi_firmware_is_understood() {
        let request = read(b"\0\x01cairn.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0");
        assert_eq!(
            request,
            ReadRequest {
                name: "cairn.efi".into(),
                octet: true,
                block: Some(1468),
                size: true,
                timeout: None,
                window: Some(4)
            }
        );
        let oack = request.oack(70_000_000).unwrap();
        assert_eq!(oack, b"\0\x06blksize\x001468\0tsize\x0070000000\0windowsize\x004\0");
    }

    #[test]
    fn options_are_acknowledged_only_if_asked_and_never_larger_than_asked() {
        assert_eq!(read(b"\0\x01x\0octet\0").oack(5), None);
        let greedy = read(b"\0\x01x\0octet\0BLKSIZE\x0065464\0windowsize\x0065535\0rollover\x001\0");
        assert_eq!(greedy.oack(5).unwrap(), b"\0\x06blksize\x001468\0windowsize\x0064\0");
        assert_eq!(read(b"\0\x01x\0octet\0blksize\x007\0timeout\x000\0windowsize\x00x\0").oack(5), None);
    }

    #[test]
    fn the_block_number_rolls_over_to_zero() {
        let mut bytes = *b"    x";
        data(65_536, &mut bytes);
        assert_eq!(&bytes, b"\0\x03\0\0x");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]
        #[test]
        fn any_bytes_are_a_packet_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = FromClient::parse(&bytes);
        }

        #[test]
        fn any_request_leads_to_sizes_within_bounds(mut tail in prop::collection::vec(
            prop_oneof![Just(0u8), 0x30u8..0x3a, Just(b'b'), any::<u8>()], 0..80)) {
            let mut bytes = b"\0\x01a\0octet\0blksize\0".to_vec();
            bytes.append(&mut tail);
            if let Ok(FromClient::Read(request)) = FromClient::parse(&bytes) {
                prop_assert!((8..=LARGEST_BLOCK).contains(&request.block_size()));
                prop_assert!((1..=LARGEST_WINDOW).contains(&request.window_size()));
                prop_assert!(request.oack(u64::MAX).is_none_or(|oack| oack.len() < 200));
            }
        }
    }
}
