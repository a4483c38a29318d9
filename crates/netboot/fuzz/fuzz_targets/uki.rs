#![no_main]

use cairn_uki::Sections;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let size = bytes.len() as u64;
    let Ok(Sections { linux, initrd, microcode, command_line }) = Sections::read(bytes, size) else { return };
    for range in [Some(linux), initrd, microcode, command_line].into_iter().flatten() {
        assert!(range.start <= range.end && range.end <= size);
    }
});
