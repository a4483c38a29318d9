//! How a member of etcd does, and what it needs of its machine.

use serde::{Deserialize, Serialize};

/// A leader says so often that it is there. SD cards stall for up to 411 ms (measured), so the tail decides, not the mean:
/// etcd's default of 100 ms and 1,000 ms would elect a leader at every stall. The same on all members.
pub const HEARTBEAT_MS: u32 = 500;
/// A member that hears nothing for so long calls for an election.
pub const ELECTION_MS: u32 = 5_000;
/// On 512 MB the whole database has to stay in the page cache. At this size etcd takes no more writes.
pub const QUOTA_BYTES: u32 = 256 << 20;
/// Within so long 99 of 100 writes to the log have to be on the drive: a tenth of the heartbeat, as etcd's guide to hardware
/// has it with 10 ms for a heartbeat of 100 ms.
pub const GOOD_WRITE_US: u64 = HEARTBEAT_MS as u64 * 1000 / 10;

/// As etcd itself measures since it started. What has not happened yet is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct EtcdVitals {
    /// The drive, measured before the machine became a member.
    pub drive: Option<WriteLatency>,
    /// Microseconds, within which 99 of 100 writes to the log reached the drive.
    pub log_p99_us: Option<u64>,
    /// Microseconds, within which 99 of 100 questions to the slowest other member were answered.
    pub round_trip_p99_us: Option<u64>,
    /// Bytes of the database's file.
    pub database: u64,
    /// Bytes of it that hold something.
    pub database_in_use: u64,
    pub leader_changes: u64,
    /// Other members that this one is connected with.
    pub peers: u32,
}

/// How long an append of 2,300 bytes, which is what etcd writes, took until it was on the drive, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WriteLatency {
    pub median_us: u64,
    /// 99 of 100 took at most so long.
    pub p99_us: u64,
    pub slowest_us: u64,
}

/// Whether etcd can live on a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suits {
    Well,
    /// It waits for the drive.
    Slowly,
    /// A stall may cost the leader its place.
    Badly,
}

impl WriteLatency {
    /// From single times, in microseconds and any order; `None` without any.
    pub fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        let at = |hundredths: usize| times.get(times.len().saturating_sub(1) * hundredths / 100).copied();
        Some(Self { median_us: at(50)?, p99_us: at(99)?, slowest_us: *times.last()? })
    }

    pub fn suits(&self) -> Suits {
        match (self.p99_us <= GOOD_WRITE_US, self.slowest_us > u64::from(ELECTION_MS) * 1000 / 2) {
            (_, true) => Suits::Badly,
            (true, false) => Suits::Well,
            (false, false) => Suits::Slowly,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_is_judged_by_its_tail() {
        let of = |times: &[u64]| WriteLatency::of(times.to_vec()).map(|latency| latency.suits());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[900; 200]), Some(Suits::Well));
        let stall = |slowest| [vec![900; 150], vec![slowest; 50]].concat();
        assert_eq!(of(&stall(400_000)), Some(Suits::Slowly));
        assert_eq!(of(&stall(2_600_000)), Some(Suits::Badly));
        let latency = WriteLatency::of((1..=200).rev().collect()).unwrap();
        assert_eq!(latency, WriteLatency { median_us: 100, p99_us: 198, slowest_us: 200 });
    }
}
