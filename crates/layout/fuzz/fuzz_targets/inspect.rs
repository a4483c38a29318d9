//! Any bytes as a disk: `inspect` neither falls nor hangs, and calls nothing blank that is not zero
//! in the first 5 MiB.
#![no_main]

use std::io::Cursor;

use cairn_layout::{Content, SectorSize, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for sector in [SectorSize::B512, SectorSize::B4096] {
        let content = inspect(&mut Cursor::new(data), sector).expect("reading memory works");
        let _ = content.to_string();
        let head = &data[..data.len().min(5 << 20)];
        assert!(content != Content::Blank || head.iter().all(|b| *b == 0));
    }
});
