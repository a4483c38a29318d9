//! Text that somebody else wrote, made fit to be shown.

/// Without what a terminal would take for a command, or would let stand in another order. Lines stay lines.
pub fn printable(text: &str) -> String {
    replace(text, |c| c != '\n' && c != '\t')
}

/// The same on one line, so that it can't pass for a line of ours.
pub fn one_line(text: &str) -> String {
    replace(text, |_| true)
}

fn replace(text: &str, of: impl Fn(char) -> bool) -> String {
    text.chars().map(|c| if is_command(c) && of(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn is_command(c: char) -> bool {
    // Unicode's separators of lines, and what sets the direction (UAX #9, section 2).
    const INVISIBLE: [std::ops::RangeInclusive<char>; 4] =
        ['\u{61c}'..='\u{61c}', '\u{200e}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    c.is_control() || INVISIBLE.iter().any(|range| range.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_can_not_command_a_terminal() {
        assert_eq!(printable("a\x1b]0;evil\x07\tb\nc\u{9b}2J"), "a\u{fffd}]0;evil\u{fffd}\tb\nc\u{fffd}2J");
        assert_eq!(printable("sda\u{202e}knalb"), "sda\u{fffd}knalb");
        assert_eq!(one_line("PC\n● all is well\r"), "PC\u{fffd}● all is well\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_text_is_made_printable_and_what_was_stays(text in ".*") {
            let (lines, line) = (printable(&text), one_line(&text));
            prop_assert!(lines.chars().all(|c| !is_command(c) || c == '\n' || c == '\t'));
            prop_assert!(!line.chars().any(is_command));
            prop_assert_eq!(lines.chars().count(), text.chars().count());
            prop_assert_eq!(printable(&lines), lines);
        }
    }
}
