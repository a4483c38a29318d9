//! Any bytes as an Ethernet frame, of IPv4 and of ARP.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cairn_netboot::hear_frame(bytes));
