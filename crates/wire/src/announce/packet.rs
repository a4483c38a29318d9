//! The announcement as a DNS packet, without any socket.

use super::SERVICE;
use crate::fingerprint;
use cairn_model::cluster::Fingerprint;
use cairn_model::phase::Phase;
use ring::signature::{ED25519, UnparsedPublicKey};
use simple_dns::rdata::{A, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, ResourceRecord, TYPE};
use std::net::Ipv4Addr;

/// Seconds that others may remember an announcement (RFC 6762 section 10 says 120 for host records).
const TTL: u32 = 120;

/// The fixed part of an Ed25519 SubjectPublicKeyInfo (RFC 8410 section 4); the 32 bytes of the key follow.
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    #[error("an announcement could not be written as a DNS packet")]
    Build(#[source] simple_dns::SimpleDnsError),
    #[error("the key can't sign an announcement")]
    Sign(#[source] rcgen::Error),
}

/// What a machine tells everyone on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Of the key that it will show when it is dialled.
    pub fingerprint: Fingerprint,
    pub phase: Phase,
    /// The node that it says it is, once it is one.
    pub node: Option<String>,
    pub port: u16,
    /// Its addresses on the interface that it announces on.
    pub addresses: Vec<Ipv4Addr>,
}

fn signed_text(phase: &str, node: &str, port: u16) -> Vec<u8> {
    format!("cairn/v1/announcement\n{phase}\n{node}\n{port}").into_bytes()
}

impl Announcement {
    /// The packet, signed with the key that `fingerprint` names.
    ///
    /// # Errors
    /// When a name does not fit into DNS's limits or the key can't sign.
    pub fn to_packet(&self, key: &rcgen::KeyPair) -> Result<Vec<u8>, PacketError> {
        use rcgen::SigningKey as _;
        let phase = self.phase.to_string();
        let node = self.node.clone().unwrap_or_default();
        let signature = key.sign(&signed_text(&phase, &node, self.port)).map_err(PacketError::Sign)?;
        let texts = [
            "v=1".to_owned(),
            format!("k={}", hex::encode(rcgen::PublicKeyData::der_bytes(key))),
            format!("p={phase}"),
            format!("n={node}"),
            format!("s={}", hex::encode(signature)),
        ];
        let host = format!("cairn-{}.local", fingerprint::short(&self.fingerprint));
        let instance = format!("cairn-{}.{SERVICE}", fingerprint::short(&self.fingerprint));
        self.build(&host, &instance, &texts).map_err(PacketError::Build)
    }

    fn build(
        &self,
        host: &str,
        instance: &str,
        texts: &[String],
    ) -> Result<Vec<u8>, simple_dns::SimpleDnsError> {
        let mut packet = Packet::new_reply(0);
        packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        let (host, instance) = (Name::new(host)?, Name::new(instance)?);
        let mut txt = TXT::new();
        for text in texts {
            txt.add_string(text)?;
        }
        let srv = SRV { priority: 0, weight: 0, port: self.port, target: host.clone() };
        let record =
            |name: &Name<'_>, data| ResourceRecord::new(name.clone().into_owned(), CLASS::IN, TTL, data);
        packet.answers.push(record(&Name::new(SERVICE)?, RData::PTR(PTR(instance.clone()))));
        packet.answers.push(record(&instance, RData::SRV(srv)).with_cache_flush(true));
        packet.answers.push(record(&instance, RData::TXT(txt)).with_cache_flush(true));
        for address in &self.addresses {
            let a = A { address: u32::from(*address) };
            packet.answers.push(record(&host, RData::A(a)).with_cache_flush(true));
        }
        packet.build_bytes_vec_compressed()
    }

    /// The announcement in a packet, if there is one with a right signature.
    pub fn from_packet(bytes: &[u8]) -> Option<Self> {
        let packet = Packet::parse(bytes).ok()?;
        if !packet.has_flags(PacketFlag::RESPONSE) {
            return None;
        }
        let mut port = None;
        let mut text = None;
        let mut addresses = Vec::new();
        for record in &packet.answers {
            match &record.rdata {
                RData::SRV(srv) if record.name.to_string().ends_with(SERVICE) => port = Some(srv.port),
                RData::TXT(txt) if record.name.to_string().ends_with(SERVICE) => {
                    text = Some(txt.attributes())
                }
                RData::A(a) if addresses.len() < 8 => addresses.push(Ipv4Addr::from(a.address)),
                _ => {}
            }
        }
        let (port, text) = (port?, text?);
        let attribute = |name: &str| text.get(name).and_then(Option::as_deref).unwrap_or_default();
        if attribute("v") != "1" {
            return None;
        }
        let mut key = [0; 32];
        hex::decode_to_slice(attribute("k"), &mut key).ok()?;
        let signature = hex::decode(attribute("s")).ok()?;
        let (phase, node) = (attribute("p"), attribute("n"));
        UnparsedPublicKey::new(&ED25519, &key).verify(&signed_text(phase, node, port), &signature).ok()?;
        let phase = serde_json::from_value(serde_json::Value::String(phase.to_owned())).ok()?;
        let spki: Vec<u8> = ED25519_SPKI.iter().chain(&key).copied().collect();
        Some(Self {
            fingerprint: cairn_vault::fingerprint_of(&spki),
            phase,
            node: Some(node.to_owned()).filter(|n| !n.is_empty()),
            port,
            addresses,
        })
    }
}

/// Whether a packet asks for Cairn's service.
pub fn is_query(bytes: &[u8]) -> bool {
    Packet::parse(bytes).is_ok_and(|packet| {
        !packet.has_flags(PacketFlag::RESPONSE)
            && packet.questions.iter().any(|q| {
                q.qname.to_string() == SERVICE && matches!(q.qtype, QTYPE::TYPE(TYPE::PTR) | QTYPE::ANY)
            })
    })
}

/// The question by which a listener that just started finds everybody at once.
pub fn query() -> Vec<u8> {
    let mut packet = Packet::new_query(0);
    if let Ok(name) = Name::new(SERVICE) {
        let qtype = QTYPE::TYPE(TYPE::PTR);
        let qclass = simple_dns::QCLASS::CLASS(CLASS::IN);
        packet.questions.push(simple_dns::Question::new(name, qtype, qclass, false));
    }
    packet.build_bytes_vec().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> (rcgen::KeyPair, Announcement) {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        let announcement = Announcement {
            fingerprint: cairn_vault::fingerprint_of(&spki),
            phase: Phase::Locked,
            node: Some("etcd-1".into()),
            port: 4210,
            addresses: vec![Ipv4Addr::new(192, 168, 7, 20), Ipv4Addr::new(10, 9, 8, 10)],
        };
        (key, announcement)
    }

    #[test]
    fn an_announcement_comes_back_as_it_was_sent() {
        let (key, announcement) = example();
        let packet = announcement.to_packet(&key).unwrap();
        assert!(packet.len() < 600, "{} bytes", packet.len());
        assert_eq!(Announcement::from_packet(&packet), Some(announcement));
    }

    #[test]
    fn an_announcement_signed_by_another_key_is_ignored() {
        let (_, announcement) = example();
        let (other, _) = example();
        let got = Announcement::from_packet(&announcement.to_packet(&other).unwrap());
        assert_ne!(got.map(|a| a.fingerprint), Some(announcement.fingerprint));
    }

    #[test]
    fn an_announcement_whose_phase_was_changed_on_the_way_is_ignored() {
        let (key, announcement) = example();
        let mut packet = announcement.to_packet(&key).unwrap();
        let at = packet.windows(8).position(|w| w == b"p=locked").unwrap();
        packet[at + 2..at + 8].copy_from_slice(b"absent");
        assert_eq!(Announcement::from_packet(&packet), None);
    }

    #[test]
    fn the_question_is_recognised_and_an_answer_is_not_one() {
        let (key, announcement) = example();
        assert!(is_query(&query()));
        assert!(!is_query(&announcement.to_packet(&key).unwrap()));
    }

    proptest! {
        #[test]
        fn no_packet_makes_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Announcement::from_packet(&bytes);
            let _ = is_query(&bytes);
        }

        #[test]
        fn no_mutation_of_a_real_packet_makes_the_parser_panic(at in 0usize..400, value in any::<u8>(), cut in 0usize..400) {
            let (key, announcement) = example();
            let mut packet = announcement.to_packet(&key).unwrap();
            if let Some(byte) = packet.get_mut(at) { *byte = value; }
            packet.truncate(cut.max(12));
            let _ = Announcement::from_packet(&packet);
        }
    }
}
