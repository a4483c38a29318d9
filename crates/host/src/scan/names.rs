//! What machines call themselves: reverse questions by multicast DNS (RFC 6762).

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, TYPE};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// RFC 6762 section 3.
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);
const REVERSE: &str = ".in-addr.arpa";
/// A question is some 30 bytes, so this many stay well within one frame.
const QUESTIONS: usize = 30;
/// Responders wait up to 120 ms, and a sleeping Wi-Fi card some more.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Longest name that is shown.
const LONGEST: usize = 63;

/// The question who has these addresses. It comes from a port that is not 5353, so it is answered to us
/// alone (section 6.7).
fn question(addresses: &[Ipv4Addr]) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(0);
    for address in addresses {
        let [a, b, c, d] = address.octets();
        let name = Name::new_unchecked(&format!("{d}.{c}.{b}.{a}{REVERSE}")).into_owned();
        packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN), false));
    }
    packet.build_bytes_vec().ok()
}

/// The names that an answer gives to addresses, without `.local`, and with nothing in them that a terminal
/// or a page could take amiss.
fn names(bytes: &[u8]) -> BTreeMap<Ipv4Addr, String> {
    let Ok(packet) = Packet::parse(bytes) else { return BTreeMap::new() };
    if !packet.has_flags(PacketFlag::RESPONSE) {
        return BTreeMap::new();
    }
    let named = |record: &simple_dns::ResourceRecord<'_>| {
        let RData::PTR(target) = &record.rdata else { return None };
        let name = target.0.to_string();
        let name = name.trim_end_matches('.');
        let name = name.strip_suffix(".local").unwrap_or(name);
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fine = !name.is_empty() && name.len() <= LONGEST && name.bytes().all(sound);
        fine.then(|| Some((address(&record.name.to_string())?, name.to_owned())))?
    };
    packet.answers.iter().filter_map(named).collect()
}

fn address(reverse: &str) -> Option<Ipv4Addr> {
    let backwards: Ipv4Addr = reverse.trim_end_matches('.').strip_suffix(REVERSE)?.parse().ok()?;
    let [d, c, b, a] = backwards.octets();
    Some(Ipv4Addr::new(a, b, c, d))
}

/// Asks these machines for their names; who does not answer has none. Only what was asked for is believed.
pub async fn ask(socket: &UdpSocket, addresses: &BTreeSet<Ipv4Addr>) -> BTreeMap<Ipv4Addr, String> {
    let all: Vec<Ipv4Addr> = addresses.iter().copied().collect();
    for some in all.chunks(QUESTIONS) {
        if let Some(bytes) = question(some) {
            // Without multicast on this interface nobody has a name.
            let _ = socket.send_to(&bytes, GROUP).await;
        }
    }
    let mut found = BTreeMap::new();
    let mut buffer = [0; 1500];
    let end = Instant::now() + PATIENCE;
    while let Ok(received) = timeout_at(end, socket.recv_from(&mut buffer)).await {
        // An error is about a datagram sent earlier: nobody listens on its port.
        let Ok((length, _)) = received else { continue };
        let named = buffer.get(..length).map(names).unwrap_or_default();
        found.extend(named.into_iter().filter(|(address, _)| addresses.contains(address)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::PTR;

    fn answer(reverse: &str, name: &str) -> Vec<u8> {
        let mut packet = Packet::new_reply(0);
        let target = RData::PTR(PTR(Name::new_unchecked(name)));
        packet.answers.push(ResourceRecord::new(Name::new_unchecked(reverse), CLASS::IN, 10, target));
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn a_question_names_the_address_backwards_and_its_answer_is_read() {
        let bytes = question(&[[192, 168, 1, 9].into()]).unwrap();
        let asked = Packet::parse(&bytes).unwrap().questions[0].qname.to_string();
        assert_eq!(asked, "9.1.168.192.in-addr.arpa");
        let found = names(&answer(&asked, "printer.local"));
        assert_eq!(found, BTreeMap::from([([192, 168, 1, 9].into(), "printer".to_owned())]));
        assert_eq!(names(&bytes), BTreeMap::new(), "a question is no answer");
    }

    #[test]
    fn a_name_that_is_none_is_left_out() {
        for name in ["<b>.local", "a b.local", "\u{1b}[2J.local"] {
            assert_eq!(names(&answer("9.1.168.192.in-addr.arpa", name)), BTreeMap::new(), "{name}");
        }
        assert_eq!(names(&answer("example.org", "printer.local")), BTreeMap::new());
    }

    proptest! {
        #[test]
        fn every_address_reads_back_from_its_reverse_name(ip: Ipv4Addr) {
            let bytes = question(&[ip]).unwrap();
            let asked = Packet::parse(&bytes).unwrap().questions[0].qname.to_string();
            prop_assert_eq!(address(&asked), Some(ip));
        }

        #[test]
        fn no_packet_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = names(&bytes);
        }
    }
}
