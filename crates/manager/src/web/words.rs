//! Numbers and states as people read them.

use super::ui::Tone;
use crate::api::{MachineStatus, NodeStatus, Status};
use cairn_model::phase::{ConditionKind, Phase};

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

/// It only wants the owner's word.
pub fn awaits_approval(machine: &MachineStatus) -> bool {
    machine.code.is_some() && !machine.approved
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
        assert_eq!(gigabytes(256_060_514_304), "256 GB");
        assert_eq!(gigabytes(4_000_787_030_016), "4.0 TB");
        assert_eq!((percent(1, 4), percent(9, 4), percent(1, 0)), (Some(25), Some(100), None));
        assert_eq!(percent(u64::MAX, u64::MAX), Some(100));
    }
}
