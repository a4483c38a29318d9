//! Packets as clients send them, and what each kind of client is told in both networks.

use proptest::prelude::*;

use super::*;
use crate::config::OwnCable;
use crate::dhcp::tests::{MAC, OURS, PXE, firmware, message, nearly_dhcp};
use crate::dhcp::{self, Leases, Style};
use crate::files::Files;
use crate::policy::{Arch, Bios, BootAnswer, Images, MachineRequest};
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, OptionCode, UnknownOption};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};

const BROADCAST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::BROADCAST, 68);
const HTTP: &str = "HTTPClient:Arch:00016:UNDI:003001";

fn shelf() -> Shelf {
    let names = ["arm64.efi", "undionly.kpxe", "config.txt"];
    let files = names.iter().fold(Files::new(), |files, name| files.with(*name, "/nowhere"));
    let files = files.with_uki("cairn.efi", "/nowhere");
    Shelf { address: OURS, http_port: 4280, files }
}

fn scene() -> Scene {
    Scene {
        home: HomeNetwork { address: OURS, prefix: 24 },
        own_mac: Mac([2, 0, 0, 0, 0, 1]),
        shelf: shelf(),
    }
}

fn x64_only(_: &MachineRequest) -> BootAnswer {
    BootAnswer::Discover(Images::x64("cairn.efi"))
}

fn both(_: &MachineRequest) -> BootAnswer {
    BootAnswer::Discover(Images { arm64: Some("arm64.efi".into()), ..Images::x64("cairn.efi") })
}

/// Something for every machine.
fn all(_: &MachineRequest) -> BootAnswer {
    BootAnswer::Discover(Images {
        x64: Some("cairn.efi".into()),
        arm64: Some("arm64.efi".into()),
        bios: Some(Bios { loader: "undionly.kpxe".into(), script: "cairn.efi/boot.ipxe".into() }),
        raspberry_pi: Some("config.txt".into()),
    })
}

fn installed(_: &MachineRequest) -> BootAnswer {
    BootAnswer::LocalDisk
}

fn run(policy: &dyn BootPolicy, bytes: &[u8], heard: Heard, style: Style) -> Outcome {
    answer(&scene(), policy, &Packet::parse(bytes).unwrap(), heard, style)
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

fn with(bytes: &[u8], change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::decode(&mut Decoder::new(bytes)).unwrap();
    change(&mut message);
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

/// The answer's options and fields that matter, one a line.
fn shown(answer: &Answer, message: &Message) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    let mut lines = vec![
        format!("{:?} to {}", answer.kind, answer.to),
        format!("yiaddr {} siaddr {}", message.yiaddr(), message.siaddr()),
        format!("file {:?}", message.fname().map(text).unwrap_or_default()),
    ];
    let mut options: Vec<_> = message.opts().iter().map(|(code, option)| (u8::from(*code), option)).collect();
    options.sort_by_key(|(code, _)| *code);
    for (code, option) in options {
        lines.push(match option {
            DhcpOption::ClassIdentifier(it)
            | DhcpOption::BootfileName(it)
            | DhcpOption::TFTPServerName(it) => {
                format!("{code} {:?}", text(it))
            }
            DhcpOption::VendorExtensions(it) => format!("{code} {it:02x?}"),
            DhcpOption::ServerIdentifier(it) => format!("{code} {it}"),
            DhcpOption::ClientMachineIdentifier(it) => format!("{code} {} bytes", it.len()),
            DhcpOption::MessageType(_) => continue,
            other => format!("{code} {other:?}"),
        });
    }
    lines.join("\n")
}

#[test]
fn an_offer_beside_a_router_gives_what_to_boot_and_no_address() {
    let bytes = firmware(MessageType::Discover, PXE, 7);
    let (answer, message) = answered(run(&x64_only, &bytes, Heard::Dhcp, Style::InOffer));
    assert_eq!((message.xid(), message.chaddr()), (7, &MAC[..]));
    assert_eq!(
        shown(&answer, &message),
        "\
Offer to 255.255.255.255:68
yiaddr 0.0.0.0 siaddr 10.77.0.1
file \"cairn.efi\"
43 [06, 01, 08, ff]
54 10.77.0.1
60 \"PXEClient\"
66 \"10.77.0.1\"
67 \"cairn.efi\"
97 17 bytes"
    );
    let (_, other) = answered(run(&x64_only, &bytes, Heard::Dhcp, Style::On4011));
    assert!(!other.opts().contains(OptionCode::VendorExtensions));
    assert!(other.opts().contains(OptionCode::ClassIdentifier) && !other.siaddr().is_unspecified());
}

#[test]
fn http_boot_is_offered_a_url_with_a_literal_address_in_its_own_class() {
    let bytes = firmware(MessageType::Discover, HTTP, 16);
    let (answer, message) = answered(run(&x64_only, &bytes, Heard::Dhcp, Style::InOffer));
    assert_eq!(
        shown(&answer, &message),
        "\
Offer to 255.255.255.255:68
yiaddr 0.0.0.0 siaddr 10.77.0.1
file \"http://10.77.0.1:4280/cairn.efi\"
54 10.77.0.1
60 \"HTTPClient\"
67 \"http://10.77.0.1:4280/cairn.efi\"
97 17 bytes"
    );
    assert_eq!(answer.style, None);
}

#[test]
fn a_question_on_port_4011_is_acknowledged_where_it_came_from() {
    let bytes = with(&firmware(MessageType::Request, PXE, 7), |message| {
        message.set_ciaddr(Ipv4Addr::new(10, 77, 0, 50));
    });
    let from = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 50), 4011);
    let (answer, message) = answered(run(&x64_only, &bytes, Heard::Pxe(from), Style::On4011));
    assert_eq!((answer.kind, answer.to), (Kind::Ack, from));
    assert_eq!(message.fname(), Some(&b"cairn.efi\0"[..]));
    assert_eq!((message.yiaddr(), message.ciaddr()), (Ipv4Addr::UNSPECIFIED, *from.ip()));
    let far = SocketAddrV4::new(Ipv4Addr::new(8, 8, 8, 8), 4011);
    let outcome = run(&x64_only, &bytes, Heard::Pxe(far), Style::On4011);
    assert_eq!(outcome, Outcome::Silence(Silence::NoReply), "a forged address is no target");
    let none = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 4011);
    let (answer, _) = answered(run(&x64_only, &bytes, Heard::Pxe(none), Style::On4011));
    assert_eq!(answer.to, SocketAddrV4::new(Ipv4Addr::BROADCAST, 4011));
}

#[test]
fn an_answer_goes_to_all_to_one_or_to_the_relay() {
    let discover = || firmware(MessageType::Discover, PXE, 7);
    let inform = |broadcast: bool, address: [u8; 4]| {
        with(&firmware(MessageType::Inform, PXE, 7), |message| {
            message.set_ciaddr(Ipv4Addr::from(address));
            if broadcast {
                message.set_flags(Flags::default().set_broadcast());
            }
        })
    };
    let relay = Ipv4Addr::new(192, 168, 9, 1);
    let cases: [(Vec<u8>, SocketAddrV4); 5] = [
        (discover(), BROADCAST),
        (inform(false, [10, 77, 0, 9]), SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 9), 68)),
        (inform(true, [10, 77, 0, 9]), BROADCAST),
        (inform(false, [8, 8, 8, 8]), BROADCAST),
        (
            with(&discover(), |message| {
                message.set_giaddr(relay);
            }),
            SocketAddrV4::new(relay, 67),
        ),
    ];
    for (bytes, to) in cases {
        let (answer, _) = answered(run(&x64_only, &bytes, Heard::Dhcp, Style::InOffer));
        assert_eq!(answer.to, to);
    }
}

#[test]
fn what_the_router_has_to_answer_is_left_to_it() {
    let router = Ipv4Addr::new(10, 77, 0, 254);
    let chosen = with(&firmware(MessageType::Request, PXE, 7), |message| {
        message.opts_mut().insert(DhcpOption::ServerIdentifier(router));
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(Ipv4Addr::new(10, 77, 0, 50)));
    });
    let renewed = with(&firmware(MessageType::Request, PXE, 7), |message| {
        message.set_ciaddr(Ipv4Addr::new(10, 77, 0, 50));
    });
    let system = |kind| message(kind, |_| {});
    let release = firmware(MessageType::Release, PXE, 7);
    let all = [chosen.clone(), renewed, system(MessageType::Discover), system(MessageType::Request), release];
    for bytes in all {
        assert_eq!(run(&x64_only, &bytes, Heard::Dhcp, Style::InOffer), Outcome::Silence(Silence::Router));
    }
    // But the address that it will have is learned.
    let packet = Packet::parse(&chosen).unwrap();
    assert_eq!(address_of(&scene(), &packet, Heard::Dhcp), Some(Ipv4Addr::new(10, 77, 0, 50)));
}

#[test]
fn an_installed_machine_is_sent_to_its_disk_in_both_styles() {
    let menu = |message: &Message| message.opts().contains(OptionCode::VendorExtensions);
    let discover = firmware(MessageType::Discover, PXE, 7);
    let (first, offer) = answered(run(&installed, &discover, Heard::Dhcp, Style::InOffer));
    assert_eq!((first.told, menu(&offer), offer.fname()), (Told::LocalDisk, true, None));
    let (_, offer) = answered(run(&installed, &discover, Heard::Dhcp, Style::On4011));
    assert!(!menu(&offer) && offer.fname().is_none());
    let from = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 50), 68);
    let request = firmware(MessageType::Request, PXE, 7);
    let (_, ack) = answered(run(&installed, &request, Heard::Pxe(from), Style::On4011));
    assert!(menu(&ack) && ack.fname().is_none());
    let http = firmware(MessageType::Discover, HTTP, 16);
    let outcome = run(&installed, &http, Heard::Dhcp, Style::InOffer);
    assert_eq!(outcome, Outcome::Silence(Silence::LocalDisk));
}

fn class(class: &str, arch: Option<u16>, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    message(MessageType::Discover, |message| {
        let options = message.opts_mut();
        options.insert(DhcpOption::ClassIdentifier(class.as_bytes().to_vec()));
        if let Some(arch) = arch {
            options.insert(DhcpOption::ClientSystemArchitecture(arch.into()));
        }
        change(message);
    })
}

/// Which program asks, and what it is told on a cable of our own and in a home network.
fn told_in_both(policy: &dyn BootPolicy, bytes: &[u8]) -> (Client, String, String) {
    let say = |outcome: Outcome| match outcome {
        Outcome::Answer(Answer { told: Told::Boot(file), .. }) => file,
        Outcome::Answer(Answer { told: Told::Unable(why), .. }) => why.to_string(),
        Outcome::Answer(Answer { told, .. }) => format!("{told:?}"),
        Outcome::Silence(silence) => silence.to_string(),
        other @ (Outcome::Foreign(_) | Outcome::Check(_)) => format!("{other:?}"),
    };
    let packet = Packet::parse(bytes).unwrap();
    let cable = OwnCable::slash24(OURS);
    let mut leases = Leases::new(cable.first, cable.last);
    let own = dhcp::Scene { cable, own_mac: Mac([2, 0, 0, 0, 0, 1]), shelf: shelf() };
    let own = say(dhcp::tests::settle(&own, &mut leases, policy, &packet));
    let home = say(answer(&scene(), policy, &packet, Heard::Dhcp, Style::InOffer));
    (packet.client, own, home)
}

#[test]
fn every_class_of_client_is_told_what_it_can_boot_or_why_it_can_not() {
    let pxe = |arch| class(&format!("PXEClient:Arch:{arch:05}:UNDI:003001"), Some(arch), |_| {});
    let http = |arch| class(&format!("HTTPClient:Arch:{arch:05}:UNDI:003001"), Some(arch), |_| {});
    let ipxe = |arch| {
        class(PXE, Some(arch), |message| {
            message.opts_mut().insert(DhcpOption::UserClass(b"iPXE".to_vec()));
        })
    };
    let older_ipxe = class(PXE, Some(7), |message| {
        message.opts_mut().insert(DhcpOption::Unknown(UnknownOption::new(175.into(), vec![1, 1, 0])));
    });
    let pi_by_card = class("PXEClient:Arch:00000:UNDI:002001", Some(0), |message| {
        message.set_chaddr(&[0xdc, 0xa6, 0x32, 1, 2, 3]);
    });
    let pi_by_id = class("PXEClient:Arch:00000:UNDI:002001", Some(0), |message| {
        let id = [&b"\0RPi4"[..], &[1; 12]].concat();
        message.opts_mut().insert(DhcpOption::ClientMachineIdentifier(id));
    });
    let (x64, arm64) = ("http://10.77.0.1:4280/cairn.efi", "http://10.77.0.1:4280/arm64.efi");
    let script = "http://10.77.0.1:4280/cairn.efi/boot.ipxe";
    let silent = "U-Boot takes no boot answer beside";
    // Its name, the packet, who it is, the answer on a cable of our own, and in a home network if another.
    type Case<'a> = (&'a str, Vec<u8>, Client, &'a str, Option<&'a str>);
    let cases: [Case<'_>; 19] = [
        ("BIOS", pxe(0), Client::Pxe, "Cairn needs UEFI", None),
        ("x86 UEFI", pxe(6), Client::Pxe, "32-bit x86 UEFI", None),
        ("x64 UEFI", pxe(7), Client::Pxe, "cairn.efi", None),
        ("x64 UEFI, as RFC 4578 had it", pxe(9), Client::Pxe, "cairn.efi", None),
        ("arm64 UEFI", pxe(11), Client::Pxe, "arm64.efi", None),
        ("x86 UEFI by HTTP", http(15), Client::Http, "32-bit x86 UEFI", None),
        ("x64 UEFI by HTTP", http(16), Client::Http, x64, None),
        ("arm64 UEFI by HTTP", http(19), Client::Http, arm64, None),
        ("iPXE", ipxe(7), Client::Ipxe, script, None),
        ("iPXE on arm64", ipxe(11), Client::Ipxe, arm64, None),
        ("iPXE on a BIOS", ipxe(0), Client::Ipxe, "Cairn needs UEFI", None),
        ("iPXE by option 175", older_ipxe, Client::Ipxe, script, None),
        ("U-Boot", class("U-Boot.armv8", Some(22), |_| {}), Client::Uboot, "arm64.efi", Some(silent)),
        ("U-Boot as PXE", pxe(22), Client::Uboot, "arm64.efi", Some(silent)),
        (
            "U-Boot, 32 bits",
            class("U-Boot.armv7", Some(21), |_| {}),
            Client::Uboot,
            "32-bit Arm",
            Some(silent),
        ),
        ("U-Boot without 93", class("U-Boot", None, |_| {}), Client::Uboot, "did not say", Some(silent)),
        ("Raspberry Pi by its card", pi_by_card, Client::RaspberryPi, "prepared medium", None),
        ("Raspberry Pi by its id", pi_by_id, Client::RaspberryPi, "prepared medium", None),
        ("RISC-V UEFI", pxe(27), Client::Pxe, "architecture 27", None),
    ];
    for (name, bytes, client, own, home) in cases {
        let found = told_in_both(&both, &bytes);
        assert_eq!(found.0, client, "{name}");
        assert!(found.1.contains(own), "{name}: {}", found.1);
        assert!(found.2.contains(home.unwrap_or(own)), "{name}: {}", found.2);
    }
    // Where there is something for each of them.
    let pi = class("PXEClient:Arch:00000:UNDI:002001", Some(0), |message| {
        message.set_chaddr(&[0xd8, 0x3a, 0xdd, 1, 2, 3]);
    });
    for (bytes, file) in [(pxe(0), "undionly.kpxe"), (ipxe(0), script), (pi, "config.txt"), (ipxe(11), arm64)]
    {
        let (_, own, home) = told_in_both(&all, &bytes);
        assert!(own == file && home == file, "{file}: {own}, {home}");
    }
    let (_, own, home) = told_in_both(&x64_only, &pxe(11));
    assert!(own == home && own.contains("no image for its kind (arm64 UEFI)"), "{own}");
}

/// The whole answer on a cable of our own, and the offer in a home network.
fn shown_in_both(bytes: &[u8]) -> [String; 2] {
    let packet = Packet::parse(bytes).unwrap();
    let cable = OwnCable::slash24(OURS);
    let mut leases = Leases::new(OURS, OURS);
    let own = dhcp::Scene { cable, own_mac: Mac([2, 0, 0, 0, 0, 1]), shelf: shelf() };
    let (own, message) = answered(dhcp::tests::settle(&own, &mut leases, &all, &packet));
    let own = shown(&own, &message);
    let home = match answer(&scene(), &all, &packet, Heard::Dhcp, Style::InOffer) {
        Outcome::Silence(silence) => silence.to_string(),
        other => {
            let (answer, message) = answered(other);
            shown(&answer, &message)
        }
    };
    [own, home]
}

/// Of an answer on a cable of our own, what every one of them has: address, mask, times.
fn usual(lines: &str) -> String {
    let of_every_answer = ["1 ", "51 ", "54 ", "58 ", "59 "];
    let kept = lines.lines().filter(|line| !of_every_answer.iter().any(|code| line.starts_with(code)));
    kept.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_firmware_that_no_emulator_has_is_told_word_for_word() {
    let bios = |change: fn(&mut Message)| class("PXEClient:Arch:00000:UNDI:002001", Some(0), change);
    let pi = bios(|message| {
        message.set_chaddr(&[0xdc, 0xa6, 0x32, 1, 2, 3]);
    });
    let [own, home] = shown_in_both(&bios(|_| {}));
    assert_eq!(
        usual(&own),
        "\
Offer to 255.255.255.255:68
yiaddr 10.77.0.1 siaddr 10.77.0.1
file \"undionly.kpxe\"
66 \"10.77.0.1\"
67 \"undionly.kpxe\"",
        "a PXE ROM, whether it reads the header or option 67"
    );
    assert_eq!(
        home,
        "\
Offer to 255.255.255.255:68
yiaddr 0.0.0.0 siaddr 10.77.0.1
file \"undionly.kpxe\"
43 [06, 01, 08, ff]
54 10.77.0.1
60 \"PXEClient\"
66 \"10.77.0.1\"
67 \"undionly.kpxe\""
    );
    let menu = "06, 01, 03, 0a, 04, 00, 50, 58, 45, 09, 14, 00, 00, 11, 52, 61, 73, 70, 62, 65, 72, 72, 79, 20, 50, 69, \
                20, 42, 6f, 6f, 74, ff";
    let [own, home] = shown_in_both(&pi);
    assert_eq!(
        usual(&own),
        format!(
            "\
Offer to 255.255.255.255:68
yiaddr 10.77.0.1 siaddr 10.77.0.1
file \"config.txt\"
43 [{menu}]
60 \"PXEClient\"
66 \"10.77.0.1\"
67 \"config.txt\""
        ),
        "a Raspberry Pi 3, 4 or 5"
    );
    assert_eq!(
        home,
        format!(
            "\
Offer to 255.255.255.255:68
yiaddr 0.0.0.0 siaddr 10.77.0.1
file \"config.txt\"
43 [{menu}]
54 10.77.0.1
60 \"PXEClient\"
66 \"10.77.0.1\"
67 \"config.txt\""
        )
    );
    let [own, home] = shown_in_both(&class("U-Boot.armv8", Some(22), |_| {}));
    assert_eq!(
        usual(&own),
        "\
Offer to 255.255.255.255:68
yiaddr 10.77.0.1 siaddr 10.77.0.1
file \"arm64.efi\"
66 \"10.77.0.1\"
67 \"arm64.efi\"",
        "U-Boot, which reads the header alone"
    );
    assert!(home.starts_with("U-Boot takes no boot answer"), "{home}");
    let swapped = shown_in_both(&class("PXEClient:Arch:00009:UNDI:003001", Some(9), |_| {}));
    assert_eq!(swapped, shown_in_both(&class(PXE, Some(7), |_| {})), "x86-64 under either number");
    let [own, home] = shown_in_both(&class("PXEClient:Arch:00006:UNDI:003001", Some(6), |_| {}));
    assert_eq!(
        usual(&own),
        "\
Offer to 255.255.255.255:68
yiaddr 10.77.0.1 siaddr 0.0.0.0
file \"\"
43 [06, 01, 03, 09, 0d, 00, 00, 0a, 4c, 6f, 63, 61, 6c, 20, 64, 69, 73, 6b, 0a, 0b, 00, 4c, 6f, 63, 61, 6c, 20, 64, 69, \
         73, 6b, ff]
60 \"PXEClient\"",
        "32-bit UEFI goes on to its disk"
    );
    assert!(home.contains("32-bit x86 UEFI"), "{home}");
}

#[test]
fn ipxe_is_given_the_final_image_and_never_a_name_that_it_could_load_again() {
    let ipxe = class(PXE, Some(7), |message| {
        message.opts_mut().insert(DhcpOption::UserClass(b"iPXE".to_vec()));
    });
    let (answer, message) = answered(run(&x64_only, &ipxe, Heard::Dhcp, Style::InOffer));
    let url = "http://10.77.0.1:4280/cairn.efi/boot.ipxe";
    assert_eq!(answer.told, Told::Boot(url.into()));
    assert_eq!(message.opts().get(OptionCode::BootfileName), Some(&DhcpOption::BootfileName(url.into())));
    // The same machine's firmware is given the same image.
    let (answer, _) =
        answered(run(&x64_only, &firmware(MessageType::Discover, PXE, 7), Heard::Dhcp, Style::InOffer));
    assert_eq!(answer.told, Told::Boot("cairn.efi".into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn whatever_is_asked_no_address_is_given_and_the_answer_fits_a_frame(
        bytes in nearly_dhcp(), on_disk: bool, in_offer: bool, port: Option<u16>, host: u8,
    ) {
        let policy = move |machine: &MachineRequest| if on_disk { installed(machine) } else { all(machine) };
        let Ok(packet) = Packet::parse(&bytes) else { return Ok(()) };
        let style = if in_offer { Style::InOffer } else { Style::On4011 };
        let from = |port| Heard::Pxe(SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, host), port));
        let heard = port.map_or(Heard::Dhcp, from);
        let Outcome::Answer(answer) = answer(&scene(), &policy, &packet, heard, style) else { return Ok(()) };
        prop_assert!((300..=1472).contains(&answer.bytes.len()));
        prop_assert_eq!(answer.address, None);
        let message = Message::decode(&mut Decoder::new(&answer.bytes)).unwrap();
        prop_assert!(message.yiaddr().is_unspecified());
        for code in [OptionCode::SubnetMask, OptionCode::Router, OptionCode::AddressLeaseTime, OptionCode::DomainNameServer] {
            prop_assert!(!message.opts().contains(code));
        }
        prop_assert!(packet.client != Client::System && packet.client != Client::Uboot);
        // The one link of a chain that there is never leads to itself.
        let loader = answer.told == Told::Boot("undionly.kpxe".into());
        prop_assert!(!loader || packet.client == Client::Pxe && packet.arch == Some(Arch::Bios));
        let as_ipxe = answer.told == Told::Boot(format!("http://{OURS}:4280/cairn.efi/boot.ipxe"));
        prop_assert!(!as_ipxe || packet.client == Client::Ipxe);
        prop_assert!(!on_disk || message.fname().is_none());
    }
}
