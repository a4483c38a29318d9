//! Any text as a cluster file, as it is and with a checksum that fits: read or refused, and what is read prints
//! what was given. The passphrase is not tried: that is what the limits are for.
//!
//! In `crates/vault`, with the bounds that the file promises (one second, 300 MB), after
//! `mkdir -p fuzz/corpus/sealed`:
//! `cargo +nightly fuzz run sealed fuzz/corpus/sealed fuzz/seeds/sealed -- -max_len=140000 -timeout=1 -rss_limit_mb=300`

#![no_main]

use cairn_vault::file::{Sealed, resign};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for text in [text.to_owned(), resign(text)] {
        if let Ok(sealed) = Sealed::parse(&text) {
            assert_eq!(sealed.as_str(), text);
        }
    }
});
