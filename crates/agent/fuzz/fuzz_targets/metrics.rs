//! What etcd says of itself comes over a socket.
#![no_main]

use cairn_agent::running::metrics;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = metrics::read(text);
});
