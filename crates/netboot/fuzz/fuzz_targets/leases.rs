//! Any bytes as the file of leases: refused, or leases that are written and read again as they are.

#![no_main]

use std::net::Ipv4Addr;
use std::time::Duration;

use cairn_netboot::OwnCable;
use cairn_netboot::dhcp::Leases;
use cairn_netboot::dhcp::lease_file::{parse, write};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_764_100_000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(records) = parse(bytes, NOW) else { return };
    let again = parse(write(&records, NOW).as_bytes(), NOW);
    // A time at the end of all times is cut, so what was read twice is compared.
    let again = again.expect("what was written is read");
    assert_eq!(parse(write(&again, NOW).as_bytes(), NOW), Ok(again.clone()));
    let cable = OwnCable::slash24(Ipv4Addr::new(10, 77, 0, 1));
    let mut leases = Leases::of(&cable);
    leases.restore(records, cable.lease, Duration::ZERO);
    for record in leases.records(Duration::ZERO) {
        assert!((cable.first..=cable.last).contains(&record.address) && record.left <= cable.lease);
    }
});
