//! Numbers and states as people read them.

use super::ui::Tone;
use crate::api::{MachineStatus, NodeStatus, Status};
use cairn_model::inventory::Disk;
use cairn_model::phase::{ConditionKind, Phase};
use cairn_model::vitals::ServiceState;
use maud::{Markup, html};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a phase means to the owner.
pub fn phase(phase: Phase) -> Tone {
    match phase {
        Phase::Running => Tone::Good,
        Phase::Joining | Phase::Installing | Phase::Restarting | Phase::Starting => Tone::Working,
        Phase::Discovered | Phase::Locked => Tone::Attention,
        Phase::Unreachable => Tone::Failed,
        Phase::Absent => Tone::Off,
    }
}

/// A node that runs with a fault is no good node.
pub fn node(node: &NodeStatus) -> Tone {
    let fault = node.conditions.iter().any(|condition| condition.kind == ConditionKind::Fault);
    if fault { phase(node.phase).max(Tone::Attention) } else { phase(node.phase) }
}

/// It only wants the owner's word: that the code is the same, or which disk its installer stick may take.
pub fn awaits_approval(machine: &MachineStatus) -> bool {
    (machine.code.is_some() || machine.waits_for_disk) && machine.unfit.is_none() && !machine.approved
}

pub fn waiting_machines(status: &Status) -> usize {
    status.machines.iter().filter(|machine| awaits_approval(machine)).count()
}

/// As memory and transfers are counted, with three digits.
pub fn bytes(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, bits)| bytes >> bits > 0) {
        None => format!("{bytes} B"),
        Some((unit, bits)) => {
            let tenths = (u128::from(bytes) * 10) >> bits;
            match tenths {
                0..100 => format!("{}.{} {unit}", tenths / 10, tenths % 10),
                _ => format!("{} {unit}", tenths / 10),
            }
        }
    }
}

/// As disks are sold.
pub fn gigabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000_000;
    match tenths {
        0..100 => format!("{}.{} GB", tenths / 10, tenths % 10),
        100..10_000 => format!("{} GB", tenths / 10),
        _ => format!("{}.{} TB", tenths / 10_000, tenths / 1000 % 10),
    }
}

pub fn percent(done: u64, total: u64) -> Option<u64> {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    (total > 0).then(|| u64::try_from(percent.min(100)).unwrap_or(100))
}

pub fn disk_kind(disk: &Disk) -> &'static str {
    match (disk.removable, disk.rotational) {
        (true, _) => "removable",
        (_, true) => "hard disk",
        _ => "solid state",
    }
}

pub fn service(state: ServiceState) -> Tone {
    match state {
        ServiceState::Active | ServiceState::Reloading => Tone::Good,
        ServiceState::Activating | ServiceState::Deactivating => Tone::Working,
        ServiceState::Failed => Tone::Failed,
        ServiceState::Inactive | ServiceState::Unknown => Tone::Off,
    }
}

/// As long as a machine has been up, in its greatest unit.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How much longer, no more exactly than it is known.
pub fn left(seconds: u64) -> String {
    match seconds {
        0..=90 => format!("{seconds} s left"),
        91..=5400 => format!("{} min left", seconds.div_ceil(60)),
        _ => format!("{} h left", seconds.div_ceil(3600)),
    }
}

pub fn ago(seconds: u64) -> String {
    match seconds {
        0..=4 => "just now".to_owned(),
        5..=90 => format!("{seconds} s ago"),
        91..=5400 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago", seconds / 3600),
    }
}

/// A moment, in UTC; the page's script makes the reader's own time of it.
pub fn time(unix_seconds: u64) -> Markup {
    let moment = i64::try_from(unix_seconds).ok().and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
    let Some(text) = moment.and_then(|it| it.format(&Rfc3339).ok()) else { return Markup::default() };
    html! { time datetime=(text) { (text.replace('T', " ").replace('Z', " UTC")) } }
}

/// `one machine`, `3 machines`.
pub fn count(number: usize, one: &str) -> String {
    match number {
        0 => format!("no {one}s"),
        1 => format!("one {one}"),
        _ => format!("{number} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_at_a_glance() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (300 << 20, "300 MiB"),
            (u64::MAX, "17179869183 GiB"),
        ];
        for (size, words) in cases {
            assert_eq!(bytes(size), words);
        }
        assert_eq!([left(7), left(100), left(9000)], ["7 s left", "2 min left", "3 h left"]);
        assert_eq!([ago(0), ago(60), ago(600), ago(7300)], ["just now", "60 s ago", "10 min ago", "2 h ago"]);
        assert_eq!([span(9), span(300), span(7300), span(400_000)], ["9 s", "5 min", "2 h", "4 days"]);
        let moment = time(1_700_000_000).into_string();
        assert_eq!(moment, "<time datetime=\"2023-11-14T22:13:20Z\">2023-11-14 22:13:20 UTC</time>");
        assert_eq!(time(u64::MAX).into_string(), "");
        assert_eq!(gigabytes(256_060_514_304), "256 GB");
        assert_eq!(gigabytes(4_000_787_030_016), "4.0 TB");
        assert_eq!((percent(1, 4), percent(9, 4), percent(1, 0)), (Some(25), Some(100), None));
        assert_eq!(percent(u64::MAX, u64::MAX), Some(100));
    }
}
