//! Asks on one interface who has an address, as a host does that is about to take it (RFC 5227, section 2.1.1): from
//! nobody's address, so that no table on the wire learns anything from the question.

use std::io;
use std::net::Ipv4Addr;

use crate::frame::{EVERYBODY, Frames};
use crate::mac::Mac;

/// Ethernet, IPv4, and the lengths of their addresses.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ETHERTYPE: [u8; 2] = [8, 6];

/// Asks and hears on one interface.
#[derive(Debug)]
pub(crate) struct Arp {
    frames: Frames,
    own: Mac,
}

/// A card that says that it has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub mac: Mac,
    pub address: Ipv4Addr,
}

impl Arp {
    pub fn open(interface: &str, own: Mac) -> io::Result<Self> {
        Ok(Self { frames: Frames::open_arp(interface)?, own })
    }

    pub async fn ask(&self, address: Ipv4Addr) -> io::Result<()> {
        self.frames.send(&probe(self.own, address)).await
    }

    /// The next neighbour that shows itself; an error when the interface is gone.
    pub async fn next(&self, buffer: &mut [u8]) -> io::Result<Neighbour> {
        loop {
            let neighbour = Neighbour::in_frame(self.frames.next(buffer).await?);
            if let Some(neighbour) = neighbour.filter(|it| it.mac != self.own) {
                return Ok(neighbour);
            }
        }
    }
}

/// The question.
fn probe(own: Mac, address: Ipv4Addr) -> Vec<u8> {
    let nobody = [0; 10]; // asked from 0.0.0.0, of a card that is not known
    let parts: [&[u8]; 8] =
        [&EVERYBODY.0, &own.0, &ETHERTYPE, &KIND, &[0, 1], &own.0, &nobody, &address.octets()];
    parts.concat()
}

impl Neighbour {
    /// Whoever speaks in this frame of ARP, question or answer, if it has an address.
    pub fn in_frame(frame: &[u8]) -> Option<Self> {
        let arp = frame.get(14..)?.strip_prefix(&KIND)?;
        let mac = Mac(*arp.get(2..)?.first_chunk()?);
        let address = Ipv4Addr::from(*arp.get(8..)?.first_chunk::<4>()?);
        (!address.is_unspecified()).then_some(Self { mac, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_question_names_no_address_of_ours_and_an_answer_is_read() {
        let (own, other) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let address = Ipv4Addr::new(10, 0, 0, 100);
        let question = probe(own, address);
        assert_eq!(question.len(), 42);
        assert_eq!(Neighbour::in_frame(&question), None, "asked from 0.0.0.0");
        let mut answer = question.clone();
        answer[21] = 2;
        answer[22..28].copy_from_slice(&other.0);
        answer[28..32].copy_from_slice(&address.octets());
        assert_eq!(Neighbour::in_frame(&answer), Some(Neighbour { mac: other, address }));
    }

    proptest! {
        #[test]
        fn no_frame_makes_the_reader_panic(frame in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Neighbour::in_frame(&frame);
        }
    }
}
