//! The kernel, the initrds and the command line inside a unified kernel image (UKI), for iPXE. They are sections of the
//! PE file, so they are served as ranges of its bytes and lie on no disk a second time (UAPI group, "Unified Kernel
//! Image").
//!
//! On a BIOS iPXE starts no EFI program, and takes kernel and initrds. On UEFI it starts the image, but has to be told
//! the command line too: it always passes the file's name as the program's options, which the image's stub then takes
//! for a command line of its own and uses *instead* of the one inside (tried with iPXE of 2025-05 and systemd 257: the
//! kernel starts without a console and without its root).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use object::LittleEndian;
use object::pe::{ImageDosHeader, ImageNtHeaders64};
use object::read::pe::ImageNtHeaders;

/// PE headers and section table end well before; no more is read to find the sections.
const HEADERS: u64 = 64 * 1024;
/// The kernel's own bound on x86 is 2,047 characters.
const LONGEST_COMMAND_LINE: u64 = 2047;

/// A part that can be fetched, by its name below the image's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `boot.ipxe`: the script with the command line that fetches the others.
    Script,
    /// `image.efi`: all of it, for UEFI.
    Image,
    /// `linux`
    Linux,
    /// `ucode`: the microcode, an initrd that has to come first.
    Microcode,
    /// `initrd`
    Initrd,
}

/// Why an image has no such part.
#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    /// It can't be opened or read.
    #[error("the image can't be read")]
    Read(#[from] io::Error),
    /// No PE headers, or damaged ones.
    #[error("the image is no 64-bit EFI program: build it again")]
    NoProgram(#[source] object::Error),
    /// A section that a UKI has.
    #[error("the image has no section {0}: it is no unified kernel image, or one without that part")]
    Missing(&'static str),
    /// The file ends before the section does.
    #[error("the image's section {0} lies outside of the file, which was cut off: build it again")]
    CutOff(&'static str),
    /// Too long, not text, or with characters that iPXE takes for its own.
    #[error("the image's command line can't be put into a script for iPXE: {0}")]
    CommandLine(String),
}

/// What is served for a part.
#[derive(Debug)]
pub enum Content {
    /// These words.
    Text(String),
    /// These bytes of the image.
    Bytes(File, Range<u64>),
}

impl Content {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Bytes(_, range) => range.end - range.start,
        }
    }
}

impl Part {
    const ALL: [Self; 5] = [Self::Script, Self::Image, Self::Linux, Self::Microcode, Self::Initrd];

    /// The part's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Script => "boot.ipxe",
            Self::Image => "image.efi",
            Self::Linux => "linux",
            Self::Microcode => "ucode",
            Self::Initrd => "initrd",
        }
    }

    /// The part that is called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    /// Reads the image's headers and finds the part in it. At each request anew: the image may be built again while
    /// it is served, and what was opened stays what it was.
    pub fn open(self, image: &Path) -> Result<Content, UkiError> {
        let file = File::open(image)?;
        let size = file.metadata()?.len();
        let length = usize::try_from(size.min(HEADERS)).unwrap_or(0);
        let mut headers = vec![0; length];
        file.read_exact_at(&mut headers, 0)?;
        let sections = Sections::read(&headers, size)?;
        let range = match self {
            Self::Script => {
                let range = sections.command_line.clone().ok_or(UkiError::Missing(".cmdline"))?;
                let length = range.end - range.start;
                let length = usize::try_from(length.min(LONGEST_COMMAND_LINE + 1)).unwrap_or(0);
                let mut text = vec![0; length];
                file.read_exact_at(&mut text, range.start)?;
                return Ok(Content::Text(script(&sections, &text)?));
            }
            Self::Image => 0..size,
            Self::Linux => sections.linux,
            Self::Microcode => sections.microcode.ok_or(UkiError::Missing(".ucode"))?,
            Self::Initrd => sections.initrd.ok_or(UkiError::Missing(".initrd"))?,
        };
        Ok(Content::Bytes(file, range))
    }
}

/// Where the parts lie in the file. Of sections of one name the first counts, as for the UKI's own stub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    /// `.linux`
    pub linux: Range<u64>,
    /// `.initrd`
    pub initrd: Option<Range<u64>>,
    /// `.ucode`
    pub microcode: Option<Range<u64>>,
    /// `.cmdline`
    pub command_line: Option<Range<u64>>,
}

impl Sections {
    /// Reads the beginning of a file that has `size` bytes.
    pub fn read(headers: &[u8], size: u64) -> Result<Self, UkiError> {
        let dos = ImageDosHeader::parse(headers).map_err(UkiError::NoProgram)?;
        let mut offset = dos.nt_headers_offset().into();
        let (nt, _) = ImageNtHeaders64::parse(headers, &mut offset).map_err(UkiError::NoProgram)?;
        let table = nt.sections(headers, offset).map_err(UkiError::NoProgram)?;
        let find = |name: &'static str| -> Result<Option<Range<u64>>, UkiError> {
            let Some(section) = table.iter().find(|section| section.raw_name() == name.as_bytes()) else {
                return Ok(None);
            };
            // What is on the disk is padded, and what is loaded may have room behind it.
            let length =
                section.size_of_raw_data.get(LittleEndian).min(section.virtual_size.get(LittleEndian));
            let start = u64::from(section.pointer_to_raw_data.get(LittleEndian));
            let end = start + u64::from(length);
            if end > size { Err(UkiError::CutOff(name)) } else { Ok(Some(start..end)) }
        };
        Ok(Self {
            linux: find(".linux")?.ok_or(UkiError::Missing(".linux"))?,
            initrd: find(".initrd")?,
            microcode: find(".ucode")?,
            command_line: find(".cmdline")?,
        })
    }
}

/// The script. Names in it are relative to its own URL, so it is the same on every network.
fn script(sections: &Sections, command_line: &[u8]) -> Result<String, UkiError> {
    let wrong = |what: &str| Err(UkiError::CommandLine(what.to_owned()));
    let text = String::from_utf8_lossy(command_line);
    let text = text.trim_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
    if command_line.len() as u64 > LONGEST_COMMAND_LINE {
        return wrong("it is longer than the kernel takes");
    }
    // iPXE expands `${...}`, removes quotes, begins comments at `#` and joins commands by `||`, `&&` and `;`.
    let plain = |c: char| c.is_ascii_alphanumeric() || " -_=.,:/@+%".contains(c);
    if let Some(other) = text.chars().find(|c| !plain(*c)) {
        return wrong(&format!("{other:?} in it"));
    }
    let mut lines = vec![
        "#!ipxe".to_owned(),
        "iseq ${platform} efi && goto efi ||".to_owned(),
        format!("kernel {} {text}", Part::Linux.name()),
    ];
    // In this order, for the microcode has to lie uncompressed before everything else.
    let parts = [(Part::Microcode, &sections.microcode), (Part::Initrd, &sections.initrd)];
    let there = parts.into_iter().filter(|(_, range)| range.is_some());
    lines.extend(there.map(|(part, _)| format!("initrd {}", part.name())));
    lines.extend(["boot".to_owned(), ":efi".to_owned(), format!("chain {} {text}\n", Part::Image.name())]);
    Ok(lines.join("\n"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: usize = 1024;

    /// A PE file with these sections, each padded to 512 bytes on the disk.
    pub(crate) fn image(sections: &[(&str, &[u8])]) -> Vec<u8> {
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

    pub(crate) fn usual() -> Vec<u8> {
        image(&[
            (".text", b"stub"),
            (".cmdline", b"root=/dev/mapper/root ro\0"),
            (".ucode", b"microcode"),
            (".initrd", b"the initrd"),
            (".linux", b"the kernel"),
        ])
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn fetched(part: Part, image: &[u8]) -> Result<String, UkiError> {
        Ok(match part.open(file(image).path())? {
            Content::Text(text) => text,
            Content::Bytes(file, range) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                file.read_exact_at(&mut bytes, range.start).unwrap();
                String::from_utf8(bytes).unwrap()
            }
        })
    }

    #[test]
    fn the_parts_of_an_image_are_its_sections_without_their_padding() {
        let image = usual();
        assert_eq!(fetched(Part::Linux, &image).unwrap(), "the kernel");
        assert_eq!(fetched(Part::Initrd, &image).unwrap(), "the initrd");
        assert_eq!(fetched(Part::Microcode, &image).unwrap(), "microcode");
        assert_eq!(
            fetched(Part::Script, &image).unwrap(),
            "\
#!ipxe
iseq ${platform} efi && goto efi ||
kernel linux root=/dev/mapper/root ro
initrd ucode
initrd initrd
boot
:efi
chain image.efi root=/dev/mapper/root ro
"
        );
        let whole = Part::Image.open(file(&image).path()).unwrap();
        assert_eq!(whole.size(), image.len() as u64);
    }

    #[test]
    fn an_image_without_a_part_is_told_by_that_part() {
        let said = |part, image: &[u8]| fetched(part, image).unwrap_err().to_string();
        assert!(said(Part::Linux, b"MZ").contains("no 64-bit EFI program"));
        assert!(said(Part::Linux, b"").contains("no 64-bit EFI program"));
        assert!(said(Part::Initrd, &image(&[(".text", b"x")])).contains(".linux"));
        let bare = image(&[(".linux", b"x"), (".cmdline", b"quiet")]);
        assert!(said(Part::Initrd, &bare).contains(".initrd"));
        assert!(!fetched(Part::Script, &bare).unwrap().contains("\ninitrd "));
        assert!(said(Part::Script, &usual()[..2000]).contains("cut off"));
        assert!(matches!(Part::Linux.open(Path::new("/nowhere")), Err(UkiError::Read(_))));
    }

    #[test]
    fn a_command_line_that_ipxe_would_read_as_its_own_words_is_refused() {
        for wrong in ["a ${b}", "a || b", "a # b", "a\nb", "\"a b\"", "a;b", "ä", &"x".repeat(5000)] {
            let image = image(&[(".linux", b"x"), (".cmdline", wrong.as_bytes())]);
            assert!(matches!(fetched(Part::Script, &image), Err(UkiError::CommandLine(_))), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_part_that_lies_outside_of_the_file(
            changes in prop::collection::vec((0_usize..1500, any::<u8>()), 0..12), cut in 0_usize..4000,
        ) {
            let mut bytes = usual();
            bytes.truncate(cut);
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            let size = bytes.len() as u64;
            if let Ok(sections) = Sections::read(&bytes, size) {
                let Sections { linux, initrd, microcode, command_line } = sections;
                for range in [Some(linux), initrd, microcode, command_line].into_iter().flatten() {
                    prop_assert!(range.start <= range.end && range.end <= size);
                }
            }
            let _ = fetched_quietly(&bytes);
        }

        #[test]
        fn any_bytes_are_an_image_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            let _ = Sections::read(&bytes, bytes.len() as u64);
        }
    }

    fn fetched_quietly(image: &[u8]) -> Result<Content, UkiError> {
        Part::Script.open(file(image).path())
    }
}
