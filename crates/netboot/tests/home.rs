//! The server in a house, beside a real router's DHCP server (dnsmasq), in network namespaces of its own. Needs root,
//! iproute2, busybox, curl and dnsmasq.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // in helpers of tests, where Clippy does not see the test

#[path = "common/mod.rs"]
#[allow(dead_code)] // made for the tests of the server
mod common;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{HOME, House};
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;

/// Set where this program is started again, as the machine.
const INSIDE: &str = "CAIRN_TEST_INSIDE";
const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0x77, 0x02];
/// Firmware waits four seconds before it asks again; whoever asks sooner repeats a packet.
const FIRMWARES_PAUSE: Duration = Duration::from_millis(2500);

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cairn.efi"), "0123456789abcdef").unwrap();
    folder
}

/// A UDP socket of the machine's.
fn socket(from: SocketAddr) -> std::net::UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.bind_device(Some(b"eth0")).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.bind(&from.into()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.into()
}

fn question(kind: MessageType, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(7, none, none, none, none, &MAC);
    message.set_flags(Flags::default().set_broadcast());
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ClassIdentifier(b"PXEClient:Arch:00007:UNDI:003001".to_vec()));
    options.insert(DhcpOption::ClientSystemArchitecture(7.into()));
    options.insert(DhcpOption::ClientMachineIdentifier([&[0][..], &[0xab; 16]].concat()));
    change(&mut message);
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

/// Sends `bytes` until an answer comes that is `wanted`.
fn ask(
    socket: &std::net::UdpSocket,
    to: SocketAddr,
    bytes: &[u8],
    mut wanted: impl FnMut(&Message) -> bool,
) -> (Message, SocketAddr) {
    let end = Instant::now() + Duration::from_secs(30);
    let mut buffer = [0; 2048];
    socket.send_to(bytes, to).unwrap();
    while Instant::now() < end {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            socket.send_to(bytes, to).unwrap();
            continue;
        };
        let message = Message::decode(&mut Decoder::new(&buffer[..length])).unwrap();
        if wanted(&message) {
            return (message, from);
        }
    }
    panic!("no such answer");
}

fn server(message: &Message) -> Ipv4Addr {
    match message.opts().get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => *server,
        other => panic!("{other:?}"),
    }
}

fn has_discovery_control(message: &Message) -> bool {
    message.opts().get(OptionCode::VendorExtensions)
        == Some(&DhcpOption::VendorExtensions(vec![6, 1, 8, 255]))
}

/// The machine: asks twice without following, then follows on port 4011.
fn machine() {
    let ours: Ipv4Addr = HOME.parse().unwrap();
    let everybody = SocketAddr::from((Ipv4Addr::BROADCAST, 67));
    let dhcp = socket(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 68)));
    let discover = question(MessageType::Discover, |_| {});

    let (mut router, mut beside) = (None, None);
    ask(&dhcp, everybody, &discover, |offer| {
        match server(offer) == ours {
            true => beside = Some(offer.clone()),
            false => router = Some(offer.clone()),
        }
        router.is_some() && beside.is_some()
    });
    let (router, beside) = (router.unwrap(), beside.unwrap());
    let address = router.yiaddr();
    assert!(
        !address.is_unspecified() && router.fname().is_none(),
        "the router gives the address, and only that"
    );
    assert!(beside.yiaddr().is_unspecified() && beside.siaddr() == ours);
    assert_eq!((beside.xid(), beside.chaddr()), (7, &MAC[..]));
    assert!(beside.fname().is_some_and(|name| name.starts_with(b"cairn.efi")));
    assert!(has_discovery_control(&beside));

    std::thread::sleep(FIRMWARES_PAUSE);
    let (again, _) = ask(&dhcp, everybody, &discover, |offer| server(offer) == ours);
    assert!(!has_discovery_control(&again), "it did not follow, so it is offered the other style");

    let request = question(MessageType::Request, |message| {
        message.opts_mut().insert(DhcpOption::ServerIdentifier(server(&router)));
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
    });
    let is_ack = |message: &Message| message.opts().msg_type() == Some(MessageType::Ack);
    let (ack, _) = ask(&dhcp, everybody, &request, is_ack);
    assert_eq!(server(&ack), server(&router));
    let given = format!("{address}/24");
    assert!(Command::new("ip").args(["addr", "add", &given, "dev", "eth0"]).status().unwrap().success());

    // From any port: not all firmware asks from 68 or 4011.
    let pxe = socket(SocketAddr::from((address, 0)));
    let request = question(MessageType::Request, |message| {
        message.set_ciaddr(address);
    });
    let (ack, from) = ask(&pxe, SocketAddr::from((ours, 4011)), &request, is_ack);
    assert_eq!(from, SocketAddr::from((ours, 4011)));
    assert!(ack.fname().is_some_and(|name| name.starts_with(b"cairn.efi")));

    let fetched = Command::new("curl").args(["-sS", &format!("tftp://{HOME}/cairn.efi")]).output().unwrap();
    assert_eq!(fetched.stdout, b"0123456789abcdef");

    std::thread::sleep(FIRMWARES_PAUSE);
    let (next, _) = ask(&dhcp, everybody, &discover, |offer| server(offer) == ours);
    assert!(!has_discovery_control(&next), "it followed this style, so it keeps it");
    println!("followed");
}

#[test]
fn a_machine_gets_its_address_from_the_router_and_what_to_boot_from_us_in_the_style_that_it_follows() {
    if std::env::var_os(INSIDE).is_some() {
        return machine();
    }
    let (house, folder) = (House::new("styles"), folder());
    let _router = house.router();
    let server = house.netbootd(folder.path(), &[]);
    let this = std::env::current_exe().unwrap();
    let name =
        "a_machine_gets_its_address_from_the_router_and_what_to_boot_from_us_in_the_style_that_it_follows";
    let inside = format!("{INSIDE}=1");
    let said = house.machine_ok(&["env", &inside, this.to_str().unwrap(), "--exact", name, "--nocapture"]);
    assert!(said.contains("followed"), "{said}");
    let done = server.until("fetch_done").unwrap();
    assert!(done.contains("52:54:00:00:77:02"), "the fetch is known to be this machine's: {done}");
    server.stop();
}

#[test]
fn a_dhcp_server_on_our_own_machine_goes_on_serving_and_is_not_in_the_way() {
    let (house, folder) = (House::new("same"), folder());
    // It holds port 67 where ours has to hear it too.
    let router = house.router_beside_us();
    let server = house.netbootd(folder.path(), &[]);
    house.discover_as("52:54:00:00:77:03", 7);
    let offered = server.until("dhcp_answered").unwrap();
    assert!(offered.contains("52:54:00:00:77:03"), "{offered}");
    router.until("DHCPOFFER").unwrap();
    server.stop();
}

#[test]
fn a_port_of_ours_that_is_taken_is_named_and_an_address_that_is_not_there_too() {
    let (house, folder) = (House::new("taken4011"), folder());
    let first = house.netbootd(folder.path(), &[]);
    let (fine, said) = house.start_netbootd(folder.path(), &[]).wait_to_end();
    assert!(!fine && said.contains("UDP port 4011 (PXE) on eth0"), "{said}");
    first.stop();
    let program = house.start_netbootd_at("192.168.1.77", folder.path());
    let (fine, said) = program.wait_to_end();
    assert!(!fine && said.contains("eth0 does not have the address 192.168.1.77"), "{said}");
}

#[test]
fn the_server_stops_when_its_address_is_gone() {
    let (house, folder) = (House::new("gone"), folder());
    let server = house.netbootd(folder.path(), &["--every", "0.2"]);
    house.forget_address();
    let stopped = server.until("\"what\":\"stopped\"").unwrap();
    assert!(stopped.contains("no longer has the address 192.168.1.2"), "{stopped}");
}
