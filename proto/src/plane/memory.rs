//! How much memory this process may use.

use std::fs::read_to_string;

/// What the control group allows, or else what the machine has; in bytes. `None` where nobody says.
#[must_use]
pub fn limit() -> Option<u64> {
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = group.iter().filter_map(|path| read_to_string(path).ok()?.trim().parse().ok());
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    group.chain(machine).min()
}

/// The first line of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_how_much_it_has() {
        assert_eq!(total("MemTotal:       24689768 kB\nMemFree: 1 kB\n"), Some(25_282_322_432));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(
            limit().is_some_and(|bytes| bytes > 64 << 20),
            "a machine that runs tests has some"
        );
    }
}
