//! The handler against packets built as clients send them.

use proptest::prelude::*;

use super::*;
use crate::files::Files;
use crate::policy::{Arch, BootAnswer, Client, Images, MachineRequest};
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};

pub(crate) const OURS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const NOW: Duration = Duration::from_secs(1000);

fn scene() -> Scene {
    Scene {
        cable: OwnCable::slash24(OURS),
        own_mac: Mac([2, 0, 0, 0, 0, 1]),
        shelf: Shelf { address: OURS, http_port: 4280, files: Files::new().with("cairn.efi", "/nowhere") },
    }
}

fn leases() -> Leases {
    let cable = scene().cable;
    Leases::new(cable.first, cable.last)
}

fn discover_all(_: &MachineRequest) -> BootAnswer {
    BootAnswer::Discover(Images::x64("cairn.efi"))
}

/// A client's message; the closure adds options.
pub(crate) fn message(kind: MessageType, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(7, none, none, none, none, &MAC);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    change(&mut message);
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

pub(crate) fn firmware(kind: MessageType, class: &str, arch: u16) -> Vec<u8> {
    message(kind, |message| {
        let options = message.opts_mut();
        options.insert(DhcpOption::ClassIdentifier(class.as_bytes().to_vec()));
        options.insert(DhcpOption::ClientSystemArchitecture(arch.into()));
        options.insert(DhcpOption::ClientMachineIdentifier([&[0][..], &[0xab; 16]].concat()));
    })
}

pub(crate) const PXE: &str = "PXEClient:Arch:00007:UNDI:003001";

/// The answer on a wire where nobody has an address yet.
pub(crate) fn settle(
    scene: &Scene,
    leases: &mut Leases,
    policy: &dyn BootPolicy,
    packet: &Packet,
) -> Outcome {
    match answer(scene, leases, policy, packet, NOW) {
        Outcome::Check(address) => {
            leases.unanswered(address, NOW);
            answer(scene, leases, policy, packet, NOW)
        }
        other => other,
    }
}

fn run(leases: &mut Leases, policy: &dyn BootPolicy, bytes: &[u8]) -> Outcome {
    settle(&scene(), leases, policy, &Packet::parse(bytes).unwrap())
}

/// What an empty table lends to the usual client.
fn lent() -> Ipv4Addr {
    let discover = message(MessageType::Discover, |_| {});
    answered(run(&mut leases(), &discover_all, &discover)).0.address.unwrap()
}

fn answered(outcome: Outcome) -> (Answer, Message) {
    match outcome {
        Outcome::Answer(answer) => {
            let message = Message::decode(&mut Decoder::new(&answer.bytes)).unwrap();
            (answer, message)
        }
        other => panic!("not answered: {other:?}"),
    }
}

fn has_boot_file(message: &Message) -> bool {
    message.fname().is_some()
        || !message.siaddr().is_unspecified()
        || [OptionCode::TFTPServerName, OptionCode::BootfileName]
            .into_iter()
            .any(|code| message.opts().contains(code))
}

#[test]
fn an_operating_system_gets_an_address_without_boot_file_or_default_route() {
    let (answer, message) =
        answered(run(&mut leases(), &discover_all, &message(MessageType::Discover, |_| {})));
    assert_eq!(answer.to, SocketAddrV4::new(Ipv4Addr::BROADCAST, 68));
    assert_eq!((answer.told, message.yiaddr(), message.xid()), (Told::NotAsked, lent(), 7));
    assert!(!has_boot_file(&message) && !message.opts().contains(OptionCode::Router));
    let of = |code| message.opts().get(code).cloned();
    assert_eq!(of(OptionCode::SubnetMask), Some(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0))));
    assert_eq!(of(OptionCode::ServerIdentifier), Some(DhcpOption::ServerIdentifier(OURS)));
    assert_eq!(of(OptionCode::AddressLeaseTime), Some(DhcpOption::AddressLeaseTime(600)));
    assert_eq!(of(OptionCode::Renewal), Some(DhcpOption::Renewal(300)));
    assert_eq!(of(OptionCode::Rebinding), Some(DhcpOption::Rebinding(525)));
}

#[test]
fn a_router_is_offered_only_if_there_is_one() {
    let mut scene = scene();
    scene.cable.router = Some(OURS);
    let packet = Packet::parse(&message(MessageType::Discover, |_| {})).unwrap();
    let (_, message) = answered(settle(&scene, &mut leases(), &discover_all, &packet));
    assert_eq!(message.opts().get(OptionCode::Router), Some(&DhcpOption::Router(vec![OURS])));
}

#[test]
fn uefi_firmware_gets_the_file_by_tftp_in_the_header_and_as_options() {
    for arch in [7, 9] {
        for kind in [MessageType::Discover, MessageType::Request] {
            let mut leases = leases();
            let mut bytes = firmware(kind, PXE, arch);
            if kind == MessageType::Request {
                let [a, b, c, d] = lent().octets();
                bytes.splice(240..240, [50, 4, a, b, c, d, 54, 4, 10, 77, 0, 1]);
            }
            let (answer, message) = answered(run(&mut leases, &discover_all, &bytes));
            assert_eq!(answer.told, Told::Boot("cairn.efi".into()));
            assert_eq!((message.yiaddr(), message.siaddr()), (lent(), OURS));
            assert_eq!(message.fname(), Some(&b"cairn.efi\0"[..]));
            let of = |code| message.opts().get(code).cloned();
            assert_eq!(of(OptionCode::BootfileName), Some(DhcpOption::BootfileName(b"cairn.efi".to_vec())));
            assert_eq!(
                of(OptionCode::TFTPServerName),
                Some(DhcpOption::TFTPServerName(b"10.77.0.1".to_vec()))
            );
            assert_eq!(of(OptionCode::ClassIdentifier), None, "EDK2 would want a PXE boot server");
            let machine = DhcpOption::ClientMachineIdentifier([&[0][..], &[0xab; 16]].concat());
            assert_eq!(of(OptionCode::ClientMachineIdentifier), Some(machine));
        }
    }
}

#[test]
fn http_firmware_gets_a_url_with_a_literal_address() {
    let bytes = firmware(MessageType::Discover, "HTTPClient:Arch:00016:UNDI:003001", 16);
    let (_, message) = answered(run(&mut leases(), &discover_all, &bytes));
    let of = |code| message.opts().get(code).cloned();
    let url = b"http://10.77.0.1:4280/cairn.efi".to_vec();
    assert_eq!(of(OptionCode::BootfileName), Some(DhcpOption::BootfileName(url)));
    assert_eq!(of(OptionCode::ClassIdentifier), Some(DhcpOption::ClassIdentifier(b"HTTPClient".to_vec())));
}

#[test]
fn an_installed_machine_gets_an_address_and_boots_from_its_disk() {
    let policy = |machine: &MachineRequest| match (machine.mac, machine.uuid) {
        (Mac(MAC), Some([0xab, ..])) => BootAnswer::LocalDisk,
        _ => BootAnswer::Nothing,
    };
    let (answer, message) = answered(run(&mut leases(), &policy, &firmware(MessageType::Discover, PXE, 7)));
    assert_eq!((answer.told, message.yiaddr()), (Told::LocalDisk, lent()));
    assert!(!has_boot_file(&message));
    // A prompt of 0 seconds and one menu entry, of type 0.
    let menu = b"\x06\x01\x03\x09\x0d\0\0\x0aLocal disk\x0a\x0b\0Local disk\xff".to_vec();
    let said = message.opts().get(OptionCode::VendorExtensions);
    assert_eq!(said, Some(&DhcpOption::VendorExtensions(menu)));
}

#[test]
fn a_machine_that_the_policy_wants_nothing_of_hears_nothing() {
    let policy = |_: &MachineRequest| BootAnswer::Nothing;
    let outcome = run(&mut leases(), &policy, &firmware(MessageType::Discover, PXE, 7));
    assert_eq!(outcome, Outcome::Silence(Silence::Policy));
}

#[test]
fn firmware_that_nothing_here_can_boot_gets_an_address_and_the_reason_is_told() {
    let missing = |_: &MachineRequest| BootAnswer::Discover(Images::x64("other.efi"));
    let cases: [(Vec<u8>, &dyn BootPolicy, Unable); 4] = [
        (firmware(MessageType::Discover, PXE, 0), &discover_all, Unable::Bios),
        (firmware(MessageType::Discover, PXE, 6), &discover_all, Unable::Arch(Arch::X86Efi)),
        (firmware(MessageType::Discover, PXE, 11), &discover_all, Unable::NoImage(Arch::Arm64Efi)),
        (firmware(MessageType::Discover, PXE, 7), &missing, Unable::NotServed("other.efi".into())),
    ];
    for (bytes, policy, why) in cases {
        let (answer, message) = answered(run(&mut leases(), policy, &bytes));
        assert_eq!(answer.told, Told::Unable(why));
        assert!(!has_boot_file(&message));
    }
}

#[test]
fn a_client_that_chooses_another_server_reveals_it() {
    let other = Ipv4Addr::new(192, 168, 1, 1);
    let bytes = message(MessageType::Request, |message| {
        message.opts_mut().insert(DhcpOption::ServerIdentifier(other));
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(Ipv4Addr::new(192, 168, 1, 50)));
    });
    assert_eq!(run(&mut leases(), &discover_all, &bytes), Outcome::Foreign(other));
}

#[test]
fn a_renewal_is_answered_to_the_clients_address_alone() {
    let bytes = message(MessageType::Request, |message| {
        message.set_ciaddr(lent());
    });
    let (answer, message) = answered(run(&mut leases(), &discover_all, &bytes));
    assert_eq!((answer.kind, answer.to), (Kind::Ack, SocketAddrV4::new(lent(), 68)));
    assert_eq!((message.yiaddr(), message.ciaddr()), (lent(), lent()));
}

#[test]
fn a_remembered_address_of_another_network_is_denied_to_all() {
    let bytes = message(MessageType::Request, |message| {
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(Ipv4Addr::new(192, 168, 1, 50)));
        message.set_flags(Flags::default().set_broadcast());
    });
    let (answer, message) = answered(run(&mut leases(), &discover_all, &bytes));
    assert_eq!((answer.kind, answer.to), (Kind::Nak, SocketAddrV4::new(Ipv4Addr::BROADCAST, 68)));
    assert!(message.yiaddr().is_unspecified() && !message.opts().contains(OptionCode::SubnetMask));
}

#[test]
fn a_forged_address_outside_the_network_is_never_a_target() {
    let bytes = message(MessageType::Request, |message| {
        message.set_ciaddr(Ipv4Addr::new(8, 8, 8, 8));
    });
    let (answer, _) = answered(run(&mut leases(), &discover_all, &bytes));
    assert_eq!(*answer.to.ip(), Ipv4Addr::BROADCAST);
    let inform = message(MessageType::Inform, |message| {
        message.set_ciaddr(Ipv4Addr::new(8, 8, 8, 8));
    });
    assert_eq!(run(&mut leases(), &discover_all, &inform), Outcome::Silence(Silence::NoReply));
}

#[test]
fn an_inform_is_answered_without_a_lease() {
    let bytes = message(MessageType::Inform, |message| {
        message.set_ciaddr(Ipv4Addr::new(10, 77, 0, 9));
    });
    let (answer, message) = answered(run(&mut leases(), &discover_all, &bytes));
    assert_eq!((answer.kind, answer.address), (Kind::Ack, None));
    assert!(message.yiaddr().is_unspecified() && !message.opts().contains(OptionCode::AddressLeaseTime));
}

#[test]
fn a_client_is_known_by_its_identifier_and_only_without_one_by_its_card() {
    let mut leases = leases();
    let named = |id: u8| {
        message(MessageType::Discover, move |message| {
            message.opts_mut().insert(DhcpOption::ClientIdentifier(vec![id; 4]));
        })
    };
    let mut given = |bytes: Vec<u8>| answered(run(&mut leases, &discover_all, &bytes)).0.address;
    let (one, other) = (given(named(1)), given(named(2)));
    let card = given(message(MessageType::Discover, |_| {}));
    assert!(one != other && other != card && card != one);
    assert_eq!(one, given(named(1)));
}

#[test]
fn released_and_declined_addresses_are_accounted_for() {
    let mut leases = leases();
    answered(run(&mut leases, &discover_all, &message(MessageType::Discover, |_| {})));
    for (kind, in_use) in [(MessageType::Decline, 1), (MessageType::Release, 1)] {
        let bytes = message(kind, |message| {
            message.set_ciaddr(lent());
            message.opts_mut().insert(DhcpOption::ServerIdentifier(OURS));
            message.opts_mut().insert(DhcpOption::RequestedIpAddress(lent()));
        });
        assert_eq!(run(&mut leases, &discover_all, &bytes), Outcome::Silence(Silence::NoReply));
        assert_eq!(leases.in_hand(NOW), in_use);
    }
    let next = answered(run(&mut leases, &discover_all, &message(MessageType::Discover, |_| {}))).0;
    assert_ne!(next.address, Some(lent()), "a declined address is not offered again");
}

#[test]
fn an_address_is_asked_for_on_the_wire_before_it_is_offered_and_another_is_offered_if_it_answers() {
    let (scene, mut leases) = (scene(), leases());
    let packet = Packet::parse(&message(MessageType::Discover, |_| {})).unwrap();
    let ask = |leases: &mut Leases| answer(&scene, leases, &discover_all, &packet, NOW);
    let Outcome::Check(first) = ask(&mut leases) else { panic!("offered unchecked") };
    assert_eq!(ask(&mut leases), Outcome::Check(first), "asked again while it is looked");
    leases.in_use(first, NOW);
    let Outcome::Check(second) = ask(&mut leases) else { panic!("offered unchecked") };
    leases.unanswered(second, NOW);
    let (offer, _) = answered(ask(&mut leases));
    assert!(first != second && offer.address == Some(second));
}

#[test]
fn only_what_the_client_itself_has_is_released() {
    let mut leases = leases();
    let request = message(MessageType::Request, |message| {
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(lent()));
    });
    answered(run(&mut leases, &discover_all, &request));
    for (address, left) in [(Ipv4Addr::new(10, 77, 0, 7), 1), (lent(), 0)] {
        let release = message(MessageType::Release, |message| {
            message.set_ciaddr(address);
            message.opts_mut().insert(DhcpOption::ServerIdentifier(OURS));
        });
        run(&mut leases, &discover_all, &release);
        assert_eq!(leases.in_hand(NOW), left);
    }
}

#[test]
fn our_own_probe_relays_and_other_servers_are_not_answered() {
    let own = crate::probe::discover(scene().own_mac, 1);
    assert_eq!(run(&mut leases(), &discover_all, &own), Outcome::Silence(Silence::Own));
    let relayed = message(MessageType::Discover, |message| {
        message.set_giaddr(lent());
    });
    assert_eq!(run(&mut leases(), &discover_all, &relayed), Outcome::Silence(Silence::Relayed));
}

#[test]
fn a_hardware_address_length_beyond_the_packet_is_refused_not_read() {
    let mut bytes = message(MessageType::Discover, |_| {});
    bytes[2] = 255;
    assert_eq!(Packet::parse(&bytes), Err(Malformed::Hardware));
}

/// Bytes that look enough like DHCP to get past the first checks.
pub(crate) fn nearly_dhcp() -> impl Strategy<Value = Vec<u8>> {
    let option = (
        prop_oneof![
            Just(50u8),
            Just(53),
            Just(54),
            Just(60),
            Just(61),
            Just(77),
            Just(93),
            Just(94),
            Just(97),
            Just(175),
            any::<u8>()
        ],
        prop_oneof![
            Just(b"PXEClient:Arch:00007".to_vec()),
            Just(b"HTTPClient".to_vec()),
            Just(b"iPXE".to_vec()),
            Just(vec![0, 7]),
            Just(vec![10, 77, 0, 1]),
            Just(vec![10, 77, 0, 120]),
            (1u8..9).prop_map(|kind| vec![kind]),
            prop::collection::vec(any::<u8>(), 0..30)
        ],
        prop_oneof![9 => Just(0u8), 1 => any::<u8>()],
    );
    (prop::collection::vec(any::<u8>(), 240), prop::collection::vec(option, 0..12), any::<bool>(), 1u8..9)
        .prop_map(|(mut bytes, options, sane, kind)| {
            bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
            if sane {
                bytes[0..3].copy_from_slice(&[1, 1, 6]);
                bytes[28] &= 0xfe;
                bytes[24..28].fill(0);
                bytes.extend([53, 1, kind]);
            }
            for (code, data, wrong) in options {
                bytes.extend([code, data.len() as u8 ^ wrong]);
                bytes.extend(data);
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_packet_breaks_the_handler_and_only_firmware_ever_gets_a_boot_file(
        packets in prop::collection::vec(nearly_dhcp(), 1..8), installed: bool,
    ) {
        let policy = move |_: &MachineRequest| match installed {
            true => BootAnswer::LocalDisk,
            false => BootAnswer::Discover(Images::x64("cairn.efi")),
        };
        let (scene, mut leases) = (scene(), leases());
        for bytes in packets {
            let Ok(packet) = Packet::parse(&bytes) else { continue };
            let Outcome::Answer(answer) = settle(&scene, &mut leases, &policy, &packet) else { continue };
            prop_assert!(answer.bytes.len() <= 1472 && answer.bytes.len() >= 300);
            prop_assert!(answer.to.ip().is_broadcast() || scene.cable.contains(*answer.to.ip()));
            let message = Message::decode(&mut Decoder::new(&answer.bytes)).unwrap();
            let given = answer.address.is_none_or(|given| (scene.cable.first..=scene.cable.last).contains(&given));
            prop_assert!(given && !message.opts().contains(OptionCode::Router));
            let firmware = packet.client != Client::System;
            prop_assert!(!has_boot_file(&message) || firmware && !installed);
            let menu = message.opts().contains(OptionCode::VendorExtensions);
            prop_assert!(!menu || firmware && !has_boot_file(&message));
        }
    }

    #[test]
    fn whatever_clients_say_no_two_are_given_one_address_and_nobody_ours_or_a_reserved_one(
        steps in prop::collection::vec((0u8..6, 0u8..8, 0u8..10, 0u64..400), 1..80),
    ) {
        let mut scene = scene();
        let reserved = Ipv4Addr::new(10, 77, 0, 2);
        scene.cable.first = Ipv4Addr::new(10, 77, 0, 2);
        scene.cable.last = Ipv4Addr::new(10, 77, 0, 7);
        scene.cable.reservations = vec![crate::config::Reservation { mac: Mac([2, 0, 0, 0, 1, 3]), address: reserved }];
        let mut leases = Leases::of(&scene.cable);
        let mut lent = std::collections::BTreeMap::<Ipv4Addr, (Mac, Duration)>::new();
        let mut now = Duration::ZERO;
        for (what, client, last, later) in steps {
            now += Duration::from_secs(if later > 300 { later } else { later % 3 });
            let (mac, address) = (Mac([2, 0, 0, 0, 1, client]), Ipv4Addr::new(10, 77, 0, last));
            let kind = [MessageType::Discover, MessageType::Request, MessageType::Request, MessageType::Decline, MessageType::Release, MessageType::Request];
            let mut bytes = message(kind[usize::from(what)], |message| {
                // Selecting, and leaving; remembered; being renewed.
                if matches!(what, 1 | 3 | 4) {
                    message.opts_mut().insert(DhcpOption::ServerIdentifier(OURS));
                }
                if matches!(what, 4 | 5) { message.set_ciaddr(address); }
                if what < 4 { message.opts_mut().insert(DhcpOption::RequestedIpAddress(address)); }
            });
            bytes[28..34].copy_from_slice(&mac.0);
            let packet = Packet::parse(&bytes).unwrap();
            let mut outcome = answer(&scene, &mut leases, &discover_all, &packet, now);
            if let Outcome::Check(address) = outcome {
                leases.unanswered(address, now);
                outcome = answer(&scene, &mut leases, &discover_all, &packet, now);
            }
            if matches!(what, 3 | 4) && lent.get(&address).is_some_and(|(holder, _)| *holder == mac) {
                lent.remove(&address);
            }
            let Outcome::Answer(Answer { kind, address: Some(given), .. }) = outcome else { continue };
            prop_assert!(given != OURS && (given != reserved || mac.0[5] == 3), "{given} for {mac}");
            let others = lent.get(&given).filter(|(holder, until)| *holder != mac && *until > now);
            prop_assert!(others.is_none(), "{given} is another's");
            if kind == Kind::Ack {
                lent.retain(|_, (holder, _)| *holder != mac);
                lent.insert(given, (mac, now + scene.cable.lease));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_packet_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let _ = Packet::parse(&bytes);
        let _ = crate::probe::server_in(&bytes, OURS);
    }
}
