//! Images of the right form with nothing in them that would start.
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "for tests, with their own few bytes"
)]

const BODY: usize = 1024;

/// A PE file with these sections, each padded to 512 bytes on the disk.
pub fn image(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; BODY];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x80;
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    bytes[0x84..0x86].copy_from_slice(&0x8664_u16.to_le_bytes());
    bytes[0x86] = sections.len() as u8;
    // The optional header without data directories: 112 bytes.
    bytes[0x94] = 112;
    bytes[0x98..0x9a].copy_from_slice(&0x20b_u16.to_le_bytes());
    for (number, (name, data)) in sections.iter().enumerate() {
        let at = 0x98 + 112 + number * 40;
        bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
        let numbers = [data.len(), 0x1000, data.len().next_multiple_of(512), bytes.len()];
        for (field, number) in numbers.into_iter().enumerate() {
            let at = at + 8 + field * 4;
            bytes[at..at + 4].copy_from_slice(&(number as u32).to_le_bytes());
        }
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

/// One with all parts that Cairn's images have.
pub fn usual() -> Vec<u8> {
    image(&[
        (".text", b"stub"),
        (".cmdline", b"root=/dev/mapper/root ro\0"),
        (".ucode", b"microcode"),
        (".initrd", b"the initrd"),
        (".linux", b"the kernel"),
    ])
}
