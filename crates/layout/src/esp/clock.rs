//! The date of everything we write. Always the same one, so that the same arguments give the same bytes.

use fatfs::{Date, DateTime, Time, TimeProvider};

/// FAT's first day. Without it fatfs writes zeros, month 0 and day 0: no date at all. EDK2's FAT driver
/// then refuses systemd-boot's rename of the entry (`EFI_INVALID_PARAMETER`), and no boot is counted.
const FIRST_DAY: Date = Date { year: 1980, month: 1, day: 1 };

#[derive(Debug)]
pub(super) struct FirstDay;

impl TimeProvider for FirstDay {
    fn get_current_date(&self) -> Date {
        FIRST_DAY
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: FIRST_DAY, time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}
