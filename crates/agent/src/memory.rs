//! What the node and the agent itself use, for the report.

/// Bytes of a `Name:   123 kB` line in a file below `/proc`.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Memory that is not available to new programs (proc_meminfo(5): `MemTotal` less `MemAvailable`).
pub fn used() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let get = |name| kilobytes(&text, name).unwrap_or(0);
    get("MemTotal").saturating_sub(get("MemAvailable"))
}

/// All memory that the kernel manages.
pub fn total() -> u64 {
    kilobytes(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal").unwrap_or(0)
}

/// What this process occupies (`VmRSS` of proc_pid_status(5)).
pub fn own() -> u64 {
    kilobytes(&std::fs::read_to_string("/proc/self/status").unwrap_or_default(), "VmRSS").unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read_in_bytes() {
        let text = "MemTotal:  2048 kB\nMemAvailable:\t1024 kB\nHugepagesize: junk\n";
        assert_eq!(kilobytes(text, "MemTotal"), Some(2 << 20));
        assert_eq!(kilobytes(text, "MemAvailable"), Some(1 << 20));
        assert_eq!(kilobytes(text, "Hugepagesize"), None);
        assert!(own() > 0 && used() < total());
    }
}
