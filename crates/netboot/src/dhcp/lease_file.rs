//! The leases' file: what makes the table outlive a restart. Text, written and read by this program alone.
//!
//! ```text
//! cairn leases 1
//! 1764100800 10.77.0.120 01525400123456
//! end 1
//! ```
//!
//! One line for each lease: until when by the wall clock (seconds since 1970), the address, and the client's key in
//! hexadecimal. The table itself counts from the server's start, so that a clock that is set while it runs changes no
//! lease; only across a restart the wall clock is all there is.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::config::POOL_LIMIT;

const FIRST: &str = "cairn leases 1";
/// Pool and reservations.
const RECORDS: usize = 2 * POOL_LIMIT as usize;
/// Option 61 is no longer.
const LONGEST_KEY: usize = 255;
/// The longest file that can be right: each line with the longest number, address and key.
pub const LONGEST: u64 = 64 + RECORDS as u64 * (20 + 1 + 15 + 1 + 2 * LONGEST_KEY as u64 + 1);

/// One lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What is lent.
    pub address: Ipv4Addr,
    /// To whom.
    pub key: Vec<u8>,
    /// For how long still.
    pub left: Duration,
}

/// A file that is not believed, as a whole: half a table would lend addresses that others have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// Another program's, or cut at its start.
    #[error("it does not begin as a file of leases does")]
    Start,
    /// A line that was not written so.
    #[error("its line {0} is damaged")]
    Line(usize),
    /// Cut off, or put together from two.
    #[error("its end is missing")]
    End,
}

/// The file's text at `unix_seconds`.
pub fn write(records: &[Record], unix_seconds: u64) -> String {
    let mut text = format!("{FIRST}\n");
    for Record { address, key, left } in records {
        let until = unix_seconds.saturating_add(left.as_secs());
        // Writing to a string can't fail.
        let _ = write!(text, "{until} {address} ");
        key.iter().for_each(|byte| _ = write!(text, "{byte:02x}"));
        text.push('\n');
    }
    let _ = writeln!(text, "end {}", records.len());
    text
}

/// What the file says at `unix_seconds`. Leases that have run out are left out.
///
/// # Errors
/// When it is not as [`write`] makes it.
pub fn parse(bytes: &[u8], unix_seconds: u64) -> Result<Vec<Record>, Damaged> {
    let text = std::str::from_utf8(bytes).map_err(|_| Damaged::Start)?;
    let body = text.strip_prefix(FIRST).and_then(|rest| rest.strip_prefix('\n')).ok_or(Damaged::Start)?;
    let body = body.strip_suffix('\n').ok_or(Damaged::End)?;
    let mut records = Vec::new();
    for (number, line) in (2..).zip(body.split('\n')) {
        if let Some(count) = line.strip_prefix("end ") {
            let whole = count.parse() == Ok(number - 2) && body.split('\n').count() == number - 1;
            return if whole { Ok(records) } else { Err(Damaged::End) };
        }
        if number - 2 >= RECORDS {
            return Err(Damaged::Line(number));
        }
        let (until, record) = record(line).ok_or(Damaged::Line(number))?;
        if let Some(left) = until.checked_sub(unix_seconds).filter(|left| *left > 0) {
            records.push(Record { left: Duration::from_secs(left), ..record });
        }
    }
    Err(Damaged::End)
}

fn record(line: &str) -> Option<(u64, Record)> {
    let (until, rest) = line.split_once(' ')?;
    let (address, key) = rest.split_once(' ')?;
    let record = Record { address: address.parse().ok()?, key: unhex(key)?, left: Duration::ZERO };
    Some((until.parse().ok()?, record))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    let length_fits = (2..=2 * LONGEST_KEY).contains(&text.len());
    text.as_bytes().chunks(2).map(pair).collect::<Option<_>>().filter(|_| length_fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_764_100_000;

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let one = (any::<u32>(), prop::collection::vec(any::<u8>(), 1..=LONGEST_KEY), 1u64..1_000_000);
        let made = one.prop_map(|(address, key, left)| Record {
            address: Ipv4Addr::from_bits(address),
            key,
            left: Duration::from_secs(left),
        });
        prop::collection::vec(made, 0..20)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_what_ran_out_meanwhile_is_not(all in records(), later in 0u64..2_000_000) {
            let text = write(&all, NOW);
            prop_assert!(text.len() as u64 <= LONGEST);
            prop_assert_eq!(parse(text.as_bytes(), NOW), Ok(all.clone()));
            let left = parse(text.as_bytes(), NOW + later).unwrap();
            let running = all.into_iter().filter(|record| record.left.as_secs() > later);
            let expected: Vec<Record> =
                running.map(|it| Record { left: it.left - Duration::from_secs(later), ..it }).collect();
            prop_assert_eq!(left, expected);
        }

        #[test]
        fn a_file_that_is_cut_anywhere_is_not_believed(all in records(), cut: prop::sample::Index) {
            let text = write(&all, NOW);
            prop_assert!(parse(&text.as_bytes()[..cut.index(text.len())], NOW).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "(cairn leases 1\n)?[0-9a-f .\nend]{0,80}") {
            let _ = (parse(&bytes, NOW), parse(text.as_bytes(), NOW));
        }
    }

    #[test]
    fn damage_is_told_by_its_place() {
        let of = |text: &str| parse(text.as_bytes(), NOW);
        assert_eq!(of(""), Err(Damaged::Start));
        assert_eq!(of("other leases 1\nend 0\n"), Err(Damaged::Start));
        assert_eq!(of("cairn leases 1\nend 0\n"), Ok(Vec::new()));
        assert_eq!(of("cairn leases 1\n99 10.0.0.1 zz\nend 1\n"), Err(Damaged::Line(2)));
        assert_eq!(of("cairn leases 1\n99 10.0.0.1 01\nend 2\n"), Err(Damaged::End));
        assert_eq!(of("cairn leases 1\nend 0\nend 0\n"), Err(Damaged::End));
    }
}
