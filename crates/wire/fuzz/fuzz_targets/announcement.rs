//! Announcements come from anybody on the wire.
#![no_main]

use cairn_wire::announce::Announcement;

libfuzzer_sys::fuzz_target!(|packet: &[u8]| {
    let _ = Announcement::from_packet(packet);
});
