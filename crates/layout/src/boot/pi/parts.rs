//! A UKI taken apart while it is read: a new version is one file, wherever it is started.

use crate::boot::BootError;
use crate::install::Source;
use cairn_uki::{HEADERS, Sections};
use std::io::{self, Read};

/// The kernel's own bound on arm64 is 2,048 bytes.
const LONGEST_COMMAND_LINE: u64 = 2047;

/// A part of a version, in the order in which it comes.
pub enum Part<'a> {
    Linux(Source<'a>),
    Initrd(Source<'a>),
    CommandLine(String),
}

/// Gives each part of the image to `take`. The image is read once, from front to back.
pub fn unpack(
    uki: Source<'_>,
    take: &mut dyn FnMut(Part<'_>) -> Result<(), BootError>,
) -> Result<(), BootError> {
    let Source { reader, len } = uki;
    let mut head = Vec::new();
    (&mut *reader).take(HEADERS.min(len)).read_to_end(&mut head).map_err(BootError::Read)?;
    // A Raspberry Pi has no microcode to load.
    let Sections { linux, initrd, microcode: _, command_line } = Sections::read(&head, len)?;
    let initrd = initrd.ok_or(cairn_uki::UkiError::Missing(".initrd"))?;
    let command_line = command_line.ok_or(cairn_uki::UkiError::Missing(".cmdline"))?;
    if command_line.end - command_line.start > LONGEST_COMMAND_LINE {
        return Err(BootError::Parts);
    }
    let mut ranges = [(linux, ".linux"), (initrd, ".initrd"), (command_line, ".cmdline")];
    ranges.sort_by_key(|(range, _)| range.start);
    let mut all = head.as_slice().chain(reader);
    let mut at = 0;
    for (range, name) in ranges {
        let gap = range.start.checked_sub(at).ok_or(BootError::Parts)?;
        skip(&mut all, gap)?;
        let len = range.end - range.start;
        let mut part = (&mut all).take(len);
        match name {
            ".linux" => take(Part::Linux(Source { reader: &mut part, len }))?,
            ".initrd" => take(Part::Initrd(Source { reader: &mut part, len }))?,
            _ => {
                let mut text = String::new();
                part.read_to_string(&mut text).map_err(|_| BootError::Parts)?;
                take(Part::CommandLine(plain(&text)?))?;
            }
        }
        skip(&mut part, u64::MAX)?;
        at = range.end;
    }
    Ok(())
}

fn skip(reader: &mut dyn Read, len: u64) -> Result<(), BootError> {
    io::copy(&mut reader.take(len), &mut io::sink()).map(drop).map_err(BootError::Read)
}

/// One line, as the firmware reads it: what follows the first is not used.
fn plain(text: &str) -> Result<String, BootError> {
    let text = text.trim_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
    if text.chars().any(char::is_control) { Err(BootError::Parts) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_uki::sample::{image, usual};
    use proptest::prelude::*;

    fn parts(image: &[u8]) -> Result<Vec<String>, BootError> {
        let mut parts = Vec::new();
        let uki = Source { reader: &mut &*image, len: image.len() as u64 };
        unpack(uki, &mut |part| {
            let mut text = String::new();
            parts.push(
                match part {
                    Part::Linux(source) => {
                        source.reader.read_to_string(&mut text).map(|_| format!("linux {text}"))
                    }
                    Part::Initrd(source) => {
                        source.reader.read_to_string(&mut text).map(|_| format!("initrd {text}"))
                    }
                    Part::CommandLine(text) => Ok(text),
                }
                .map_err(BootError::Read)?,
            );
            Ok(())
        })?;
        Ok(parts)
    }

    #[test]
    fn an_image_gives_kernel_initrd_and_command_line_whatever_their_order() {
        let wanted = ["root=/dev/mapper/root ro", "initrd the initrd", "linux the kernel"];
        assert_eq!(parts(&usual()).unwrap(), wanted);
        let other = image(&[(".linux", b"k"), (".cmdline", b"quiet\n"), (".initrd", b"i")]);
        assert_eq!(parts(&other).unwrap(), ["linux k", "quiet", "initrd i"]);
    }

    #[test]
    fn an_image_without_a_part_or_with_two_lines_is_refused() {
        let without = image(&[(".linux", b"k"), (".cmdline", b"quiet")]);
        assert!(parts(&without).unwrap_err().to_string().contains("taken apart"));
        let lines = image(&[(".linux", b"k"), (".cmdline", b"a\nb"), (".initrd", b"i")]);
        assert!(matches!(parts(&lines), Err(BootError::Parts)));
    }

    proptest! {
        #[test]
        fn any_damaged_image_is_taken_apart_or_refused(
            changes in prop::collection::vec((0_usize..1500, any::<u8>()), 0..12), cut in 0_usize..4000,
        ) {
            let mut bytes = usual();
            bytes.truncate(cut);
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            let _ = parts(&bytes);
        }
    }
}
