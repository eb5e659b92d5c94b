//! What the system and `/metrics` say of a process.

use std::{collections::BTreeMap, fs, time::Duration};

/// What a process takes of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Resident memory.
    pub resident_kib: u64,
    /// Open files.
    pub files: usize,
    /// Processor time since it began.
    pub cpu: Duration,
}

/// Linux counts processor time for `/proc` in hundredths of a second, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

impl Vitals {
    /// Those of a process; `None` where it is gone.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let status = read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let resident_kib = line.split_whitespace().next()?.parse().ok()?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        Some(Self { resident_kib, files, cpu: cpu(&read("stat")?)? })
    }
}

/// User and system time of a `/proc/…/stat`. The program's name may contain anything but ends with
/// the last parenthesis.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}

/// Name (with labels) and value of each line of `/metrics`; buckets are left out.
pub(super) fn counters(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{"));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
    }

    #[test]
    fn counters_are_read_by_their_names() {
        let text = "# HELP x y\ncarillon_a_total 5\nb_bucket{le=\"1\"} 2\nc{code=\"4200\"} 1.5\n";
        let expected = [("carillon_a_total", 5.0), ("c{code=\"4200\"}", 1.5)];
        assert_eq!(counters(text), expected.map(|(name, value)| (name.to_owned(), value)).into());
    }
}
