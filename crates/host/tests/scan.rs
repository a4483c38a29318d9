//! The scan on a real wire, in network namespaces of its own. Needs root and iproute2.

#![cfg(test)]

#[path = "../../netboot/tests/common/mod.rs"]
#[allow(dead_code)] // made for the tests of network boot
mod common;

use std::net::{Ipv4Addr, UdpSocket};

use cairn_host::{interface, scan};
use common::Cable;
use simple_dns::rdata::{PTR, RData};
use simple_dns::{CLASS, Name, Packet, ResourceRecord};

/// Set where this program is started again, inside a namespace: which end it is.
const INSIDE: &str = "CAIRN_TEST_INSIDE";
const TEST: &str = "the_machines_on_the_wire_are_found_with_card_and_name";

#[test]
fn the_machines_on_the_wire_are_found_with_card_and_name() {
    match std::env::var(INSIDE).ok().as_deref() {
        Some("printer") => return printer(),
        Some(_) => return search(),
        None => {}
    }
    let cable = Cable::new("scan");
    for address in ["192.168.7.1/24", "192.168.7.20/24", "192.168.7.254/24"] {
        cable.server_address(address);
    }
    cable.client_address("192.168.7.5/24");
    let this = std::env::current_exe().unwrap();
    let again = |end: &str| {
        let words =
            ["env", &format!("{INSIDE}={end}"), this.to_str().unwrap(), "--exact", TEST, "--nocapture"];
        words.map(str::to_owned)
    };
    let (printer, scanner) = (again("printer"), again("scanner"));
    let printer = cable.server(&printer.each_ref().map(String::as_str));
    printer.until("listening").unwrap();
    let said = cable.client_ok(&scanner.each_ref().map(String::as_str));
    let found: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("found ")).collect();
    assert_eq!(found, ["192.168.7.1 None", "192.168.7.20 Some(\"printer\")", "192.168.7.254 None"], "{said}");
}

fn search() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let eth0 = interface::list().unwrap().into_iter().find(|it| it.name == "eth0").unwrap();
    let found = runtime.block_on(scan::scan(&eth0)).unwrap();
    println!();
    for neighbour in found {
        assert_eq!(neighbour.mac.len(), 17);
        println!("found {} {:?}", neighbour.address, neighbour.name);
    }
}

/// Answers who has 192.168.7.20, as a printer's responder does.
fn printer() {
    let socket = UdpSocket::bind("0.0.0.0:5353").unwrap();
    socket.join_multicast_v4(&[224, 0, 0, 251].into(), &Ipv4Addr::new(192, 168, 7, 1)).unwrap();
    println!("listening");
    let mut buffer = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        let question = Packet::parse(buffer.get(..length).unwrap()).unwrap();
        let asked = question.questions.iter().find(|it| it.qname.to_string().starts_with("20.7.168.192."));
        let mut answer = Packet::new_reply(question.id());
        if let Some(asked) = asked {
            let name = RData::PTR(PTR(Name::new_unchecked("printer.local")));
            answer.answers.push(ResourceRecord::new(asked.qname.clone(), CLASS::IN, 10, name));
        }
        socket.send_to(&answer.build_bytes_vec().unwrap(), from).unwrap();
    }
}
