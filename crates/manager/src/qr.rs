//! An address as a QR code, for the page and for a terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};
use std::fmt::Write as _;

/// White around the code, in modules (ISO/IEC 18004).
const QUIET: usize = 4;
/// Black on white whatever the terminal's own colours are.
const PAPER: &str = "\u{1b}[38;5;16;48;5;231m";
const PLAIN: &str = "\u{1b}[0m";

/// Black squares on white ones.
pub struct Qr {
    /// Of the whole picture, in modules.
    pub side: usize,
    /// The black ones, as the path of an SVG.
    pub path: String,
}

fn code(text: &str) -> Option<QrCode> {
    QrCode::with_error_correction_level(text, EcLevel::M).ok()
}

/// `None` when the text is too long for one.
pub fn qr(text: &str) -> Option<Qr> {
    let code = code(text)?;
    let width = code.width();
    let mut path = String::new();
    for (at, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let (x, y) = (at % width + QUIET, at / width + QUIET);
            write!(path, "M{x} {y}h1v1h-1z").ok()?;
        }
    }
    Some(Qr { side: width + 2 * QUIET, path })
}

/// The same for a terminal, two rows of squares in one of text; `None` when the text is too long.
pub fn for_terminal(text: &str) -> Option<String> {
    let picture = code(text)?.render::<Dense1x2>().quiet_zone(true).build();
    Some(picture.lines().map(|line| format!("{PAPER}{line}{PLAIN}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://192.168.1.5:4243";

    fn read(width: usize, dark: impl Fn(usize, usize) -> bool) -> String {
        // A camera sees more than one point of each module.
        let zoom = 4;
        let mut seen = rqrr::PreparedImage::prepare_from_bitmap(width * zoom, width * zoom, |x, y| {
            dark(x / zoom, y / zoom)
        });
        let grids = seen.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    #[test]
    fn another_program_reads_the_address_from_the_pages_picture() {
        let made = qr(URL).unwrap();
        let squares: Vec<String> = made.path.split('z').map(str::to_owned).collect();
        assert_eq!(read(made.side, |x, y| squares.contains(&format!("M{x} {y}h1v1h-1"))), URL);
    }

    #[test]
    fn another_program_reads_the_address_from_the_terminals_picture() {
        let text = for_terminal(URL).unwrap();
        let plain = text.replace(PAPER, "").replace(PLAIN, "");
        let lines: Vec<Vec<char>> = plain.lines().map(|line| line.chars().collect()).collect();
        let width = lines[0].len();
        let dark = |x: usize, y: usize| {
            let half = if y.is_multiple_of(2) { "\u{2580}\u{2588}" } else { "\u{2584}\u{2588}" };
            lines.get(y / 2).and_then(|line| line.get(x)).is_some_and(|it| half.contains(*it))
        };
        assert_eq!(read(width, dark), URL);
    }

    #[test]
    fn what_is_too_long_is_no_picture() {
        assert!(qr(&"a".repeat(9000)).is_none() && for_terminal(&"a".repeat(9000)).is_none());
    }
}
