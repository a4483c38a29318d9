//! Where kernel, initrd and command line lie inside a unified kernel image (UKI).
//!
//! They are sections of a PE file (UAPI group, "Unified Kernel Image"), so whoever has the one file has all of them:
//! network boot serves them to iPXE as ranges of its bytes, and a Raspberry Pi's card gets them as files.
//!
//! It neither opens files nor starts, checks or changes an image: it reads the headers, and says where to look.

#![forbid(unsafe_code)]

#[cfg(any(test, feature = "sample"))]
pub mod sample;

use object::LittleEndian;
use object::pe::{ImageDosHeader, ImageNtHeaders64};
use object::read::pe::ImageNtHeaders;
use std::ops::Range;

/// PE headers and section table end well before; no more of a file is read to find the sections.
pub const HEADERS: u64 = 64 * 1024;

/// Why a file is no such image.
#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    /// No PE headers, or damaged ones.
    #[error("the image is no 64-bit EFI program: build it again")]
    NoProgram(#[source] object::Error),
    /// A section that a UKI has.
    #[error("the image has no section {0}: it is no unified kernel image, or one without that part")]
    Missing(&'static str),
    /// The file ends before the section does.
    #[error("the image's section {0} lies outside of the file, which was cut off: build it again")]
    CutOff(&'static str),
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
    /// Reads the beginning (at most [`HEADERS`]) of a file that has `size` bytes.
    ///
    /// # Errors
    /// When it is no UKI, or not all of one.
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

#[cfg(test)]
mod tests {
    use super::sample::{image, usual};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_parts_of_an_image_are_its_sections_without_their_padding() {
        let image = usual();
        let Sections { linux, initrd, microcode, command_line } =
            Sections::read(&image, image.len() as u64).unwrap();
        let bytes =
            |range: Range<u64>| image.get(range.start as usize..range.end as usize).unwrap_or_default();
        assert_eq!(bytes(linux), b"the kernel");
        assert_eq!(bytes(initrd.unwrap()), b"the initrd");
        assert_eq!(bytes(microcode.unwrap()), b"microcode");
        assert_eq!(bytes(command_line.unwrap()), b"root=/dev/mapper/root ro\0");
    }

    #[test]
    fn what_is_no_whole_image_is_told_by_what_is_missing() {
        let said = |image: &[u8]| Sections::read(image, image.len() as u64).unwrap_err().to_string();
        assert!(said(b"MZ").contains("no 64-bit EFI program"));
        assert!(said(b"").contains("no 64-bit EFI program"));
        assert!(said(&image(&[(".text", b"x")])).contains(".linux"));
        assert!(said(usual().get(..2000).unwrap()).contains("cut off"));
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
        }

        #[test]
        fn any_bytes_are_an_image_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            let _ = Sections::read(&bytes, bytes.len() as u64);
        }
    }
}
