//! Any bytes as a cluster file: read or refused, and what is read prints what was given.
//!
//! `cargo +nightly fuzz run sealed` in `crates/vault`.

#![no_main]

use cairn_vault::file::Sealed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(sealed) = Sealed::parse(text) {
        assert_eq!(sealed.as_str(), text);
    }
});
