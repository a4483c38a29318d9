//! Addresses on a cable of our own, on a real wire with busybox's client: reserved ones, ones that somebody else uses, a
//! full pool, and what a restart knows. Needs root, iproute2 and busybox.

#![allow(clippy::unwrap_used, clippy::panic)] // in helpers of tests, where Clippy does not see the test

#[path = "common/mod.rs"]
#[allow(dead_code)] // made for the tests of the whole server
mod common;

use std::fs;

use common::House;

const ONE: &str = "52:54:00:00:77:11";
const OTHER: &str = "52:54:00:00:77:12";
const TWO_ADDRESSES: &str = "10.77.0.100-10.77.0.101";
const QUICK: [&str; 2] = ["--wait", "0.3"];

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cairn.efi"), "0123456789abcdef").unwrap();
    folder
}

#[test]
fn a_reserved_address_is_its_cards_and_nobody_elses() {
    let (house, folder) = (House::new("reserved"), folder());
    let reserve = format!("{ONE}=10.77.0.101");
    let more = [&QUICK[..], &["--pool", TWO_ADDRESSES, "--reserve", &reserve]].concat();
    let server = house.cable.netbootd(folder.path(), &more);
    server.until("running").unwrap();
    assert_eq!(house.lease(OTHER, &["-r", "10.77.0.101"]).as_deref(), Some("10.77.0.100"));
    assert_eq!(
        house.lease("52:54:00:00:77:13", &["-r", "10.77.0.101"]),
        None,
        "one address is left, and reserved"
    );
    let full = server.until("pool_full").unwrap();
    assert!(full.contains("\"lent\":1,\"set_aside\":0,\"size\":1"), "{full}");
    assert_eq!(house.lease(ONE, &[]).as_deref(), Some("10.77.0.101"));
    server.stop();
}

#[test]
fn an_address_that_another_machine_uses_is_not_given_and_the_story_names_the_card() {
    let (house, folder) = (House::new("arp"), folder());
    house.neighbour("10.77.0.100/24");
    let more = [&QUICK[..], &["--pool", TWO_ADDRESSES]].concat();
    let server = house.cable.netbootd(folder.path(), &more);
    server.until("running").unwrap();
    assert_eq!(house.lease(ONE, &["-r", "10.77.0.100"]).as_deref(), Some("10.77.0.101"));
    let told = server.until("address_in_use").unwrap();
    assert!(told.contains(ONE) && told.contains("\"address\":\"10.77.0.100\",\"by\":\""), "{told}");
    server.stop();
}

#[test]
fn leases_outlive_a_restart_and_a_damaged_file_of_them_is_told_and_does_no_harm() {
    let (house, folder) = (House::new("restart"), folder());
    let file = folder.path().join("leases");
    let more = [&QUICK[..], &["--pool", TWO_ADDRESSES, "--leases", file.to_str().unwrap()]].concat();
    let start = || {
        let server = house.cable.netbootd(folder.path(), &more);
        server.until("running").unwrap();
        server
    };
    let server = start();
    assert_eq!(house.lease(ONE, &["-r", "10.77.0.100"]).as_deref(), Some("10.77.0.100"));
    server.stop();
    assert!(fs::read_to_string(&file).unwrap().contains(" 10.77.0.100 "));

    let server = start();
    assert_eq!(
        house.lease(OTHER, &["-r", "10.77.0.100"]).as_deref(),
        Some("10.77.0.101"),
        "it is known to be lent"
    );
    // Without a stop, as by a power cut: it is written soon after it was lent.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !fs::read_to_string(&file).unwrap().contains(" 10.77.0.101 ") {
        assert!(std::time::Instant::now() < end, "not written");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    server.kill();

    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("end", "edn")).unwrap();
    let server = house.cable.netbootd(folder.path(), &more);
    let told = server.until_both("could not be read", "running").unwrap();
    assert!(told.contains("damaged"), "{told}");
    assert_eq!(house.lease(ONE, &["-r", "10.77.0.100"]).as_deref(), Some("10.77.0.100"));
    server.stop();
    assert!(fs::read_to_string(&file).unwrap().ends_with("end 1\n"), "a good file again");
}
