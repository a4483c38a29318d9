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

use cairn_uki::{HEADERS, Sections};

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
    /// It is no UKI, or not all of one.
    #[error(transparent)]
    Image(#[from] cairn_uki::UkiError),
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
                let range = sections.command_line.clone().ok_or(cairn_uki::UkiError::Missing(".cmdline"))?;
                let length = range.end - range.start;
                let length = usize::try_from(length.min(LONGEST_COMMAND_LINE + 1)).unwrap_or(0);
                let mut text = vec![0; length];
                file.read_exact_at(&mut text, range.start)?;
                return Ok(Content::Text(script(&sections, &text)?));
            }
            Self::Image => 0..size,
            Self::Linux => sections.linux,
            Self::Microcode => sections.microcode.ok_or(cairn_uki::UkiError::Missing(".ucode"))?,
            Self::Initrd => sections.initrd.ok_or(cairn_uki::UkiError::Missing(".initrd"))?,
        };
        Ok(Content::Bytes(file, range))
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

    pub(crate) use cairn_uki::sample::{image, usual};

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
}
