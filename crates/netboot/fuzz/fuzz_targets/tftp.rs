//! Any bytes on the TFTP port, and what a transfer would make of them.

#![no_main]

use cairn_netboot::tftp::packet::{FromClient, LARGEST_BLOCK, LARGEST_WINDOW};
use cairn_netboot::tftp::window::Window;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match FromClient::parse(bytes) {
        Ok(FromClient::Read(request)) => {
            assert!((8..=LARGEST_BLOCK).contains(&request.block_size()));
            assert!((1..=LARGEST_WINDOW).contains(&request.window_size()));
            assert!(request.oack(u64::MAX).is_none_or(|oack| oack.len() < 200));
        }
        Ok(FromClient::Ack(number)) => {
            let mut window = Window::new(70_000_000, 512, 4);
            let _ = (window.ack(number), window.ack(number.wrapping_add(1)));
        }
        _ => {}
    }
});
