//! Which interface is served: two networks at once, a VLAN's alone, and machines behind a relay (dnsmasq). Needs root,
//! iproute2, busybox, curl and dnsmasq.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // in helpers of tests, where Clippy does not see the test

#[path = "common/mod.rs"]
#[allow(dead_code)] // made for the tests of the whole server
mod common;
#[path = "common/wire.rs"]
#[allow(dead_code)]
mod wire;

use std::fs;
use std::net::Ipv4Addr;

use common::{HOME, House, ip};

const ONE: &str = "52:54:00:00:77:21";
const OTHER: &str = "52:54:00:00:77:22";
const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0x77, 0x23];

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cairn.efi"), "0123456789abcdef").unwrap();
    folder
}

#[test]
fn two_networks_are_served_by_one_process_each_on_its_own_interface_alone() {
    let (house, folder) = (House::new("two"), folder());
    let _router = house.router();
    let cable = house.cable_of_our_own();
    let more = ["--wait", "0.3", "--also", &format!("eth0={HOME}")];
    let server = house.cable.netbootd_on("eth1", folder.path(), &more);
    server.until("running").unwrap();

    assert!(cable.lease(ONE, &[]).is_some_and(|ip| ip.starts_with("10.77.0.")), "from us");
    let given = house.lease(OTHER, &[]).unwrap();
    assert!(given.starts_with("192.168.1."), "from the router: {given}");
    house.machine_ok(&["ip", "addr", "add", &format!("{given}/24"), "dev", "eth0"]);
    cable.ok(&["ip", "addr", "add", "10.77.0.9/24", "dev", "eth0"]);
    for way in ["tftp://ADDRESS/cairn.efi", "http://ADDRESS:4280/cairn.efi"] {
        let at = |address: &str| way.replace("ADDRESS", address);
        assert_eq!(house.machine_ok(&["curl", "-sS", "-m", "5", &at(HOME)]), "0123456789abcdef");
        assert_eq!(cable.ok(&["curl", "-sS", "-m", "5", &at("10.77.0.1")]), "0123456789abcdef");
    }
    // The other network's address is this machine's too, and still nothing is served there from here.
    cable.ok(&["ip", "route", "add", "192.168.1.0/24", "via", "10.77.0.1"]);
    assert!(
        !cable.run(&["curl", "-sS", "-m", "2", &format!("http://{HOME}:4280/cairn.efi")]).status.success()
    );

    house.discover_as("52:54:00:00:77:24", 7);
    let told = server.until("52:54:00:00:77:24").unwrap();
    assert!(told.contains("dhcp_asked"), "{told}");
    let told = server.until("dhcp_answered").unwrap();
    assert!(told.contains("in_offer") && told.contains("\"address\":null"), "beside the router: {told}");
    server.stop();
}

#[test]
fn a_server_on_a_vlan_serves_there_and_not_on_the_cable_that_carries_it() {
    let (house, folder) = (House::new("vlan"), folder());
    let tagged = "link add link eth0 name eth0.7 type vlan id 7";
    let (server_end, machine) = (house.cable.server_end(), house.machine_end());
    if !ip(server_end, tagged).success() {
        eprintln!("NOT TESTED: this kernel has no VLANs (8021q)");
        return;
    }
    assert!(ip(machine, tagged).success());
    for end in [server_end, machine] {
        assert!(ip(end, "link set eth0.7 up").success());
    }
    for (served, other) in [("eth0.7", "eth0"), ("eth0", "eth0.7")] {
        let server = house.cable.netbootd_on(served, folder.path(), &["--wait", "0.3"]);
        server.until("running").unwrap();
        assert_eq!(house.lease_on(other, ONE, &[]), None, "{served} is served");
        assert!(house.lease_on(served, ONE, &[]).is_some_and(|ip| ip.starts_with("10.77.0.")), "{served}");
        server.stop();
    }
}

/// A question to an interface on top of ours, then one to everybody.
fn two_questions() {
    let socket = wire::socket((Ipv4Addr::UNSPECIFIED, 68));
    let discover = |last| wire::question(1, [0x52, 0x54, 0, 0, 0x78, last], true, &[]);
    for _ in 0..3 {
        socket.send_to(&discover(1), (Ipv4Addr::new(192, 168, 9, 1), 67)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    wire::ask(&socket, wire::everybody(), &discover(2), |answer| !wire::boot_file(answer).is_empty())
        .unwrap();
}

#[test]
fn what_is_sent_to_an_interface_on_top_of_ours_is_not_ours_to_answer() {
    const NAME: &str = "what_is_sent_to_an_interface_on_top_of_ours_is_not_ours_to_answer";
    if wire::part().is_some() {
        return two_questions();
    }
    let (house, folder) = (House::new("macvlan"), folder());
    let server_end = house.cable.server_end();
    if !ip(server_end, "link add link eth0 name top0 address 52:54:00:00:79:01 type macvlan mode bridge")
        .success()
    {
        eprintln!("NOT TESTED: this kernel has no macvlan");
        return;
    }
    for words in ["link set top0 up", "addr add 192.168.9.1/24 dev top0"] {
        assert!(ip(server_end, words).success());
    }
    let server = house.netbootd(folder.path(), &[]);
    house.machine_ok(&["ip", "addr", "add", "192.168.9.2/24", "dev", "eth0"]);
    // Else eth0 would answer by ARP for its own card.
    let known = ["ip", "neigh", "replace", "192.168.9.1", "lladdr", "52:54:00:00:79:01", "dev", "eth0"];
    house.machine_ok(&known);
    let words = wire::again(NAME, "machine");
    house.machine_ok(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let first = server.until("dhcp_asked").unwrap();
    assert!(first.contains("52:54:00:00:78:02"), "only what came on eth0 itself: {first}");
    server.stop();
}

/// A machine behind a relay.
fn behind_a_relay() {
    let socket = wire::socket((Ipv4Addr::UNSPECIFIED, 68));
    let discover = wire::question(1, MAC, true, &[]);
    let answer = wire::ask(&socket, wire::everybody(), &discover, |answer| answer[0] == 2);
    println!("offered {:?}", answer.map(|answer| wire::boot_file(&answer)));
}

#[test]
fn a_relay_is_answered_in_a_home_network_and_refused_in_words_on_a_cable_of_our_own() {
    const NAME: &str = "a_relay_is_answered_in_a_home_network_and_refused_in_words_on_a_cable_of_our_own";
    if wire::part().is_some() {
        return behind_a_relay();
    }
    let (house, folder) = (House::new("relay"), folder());
    let relay = house.relay("10.9.0.1", HOME);
    relay.until("DHCP relay").unwrap();
    let words = wire::again(NAME, "machine");
    let machine = || house.machine_ok(&words.iter().map(String::as_str).collect::<Vec<_>>());

    let server = house.netbootd(folder.path(), &[]);
    let said = machine();
    assert!(said.contains("offered Some(\"cairn.efi\")"), "{said}");
    server.stop();

    let server = house.cable.netbootd_as("eth0", HOME, folder.path(), &["--wait", "0.3"]);
    server.until("running").unwrap();
    let said = machine();
    assert!(said.contains("offered None"), "{said}");
    let refused = server.until("dhcp_ignored").unwrap();
    assert!(refused.contains("it came through a DHCP relay"), "{refused}");
    server.stop();
}
