//! Processor time, memory and descriptors of the process, as the Prometheus libraries name them.

use std::{fs, path::Path};

use prometheus_client::registry::{Registry, Unit};

use super::reading::{self, Name};

/// Linux counts processor time for user space in hundredths of a second, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;
/// Of what `/proc/self/statm` counts.
const PAGE_BYTES: f64 = 4_096.0;

/// Registers `process_…`.
pub fn register(registry: &mut Registry) {
    let name = Name::of("process_cpu", "Processor time of all threads", Unit::Seconds);
    reading::counter(registry, name, cpu_seconds);
    let name = Name::of("process_resident_memory", "Memory in use", Unit::Bytes);
    reading::gauge(registry, name, resident_bytes);
    let name = Name::new("process_open_fds", "Open file descriptors");
    reading::gauge(registry, name, || Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64));
    let name = Name::new("process_max_fds", "File descriptors that may be open");
    reading::gauge(registry, name, fds_max);
    let name = Name::new("process_threads", "Threads");
    reading::gauge(registry, name, || stat_field(17));
}

/// User and system time.
fn cpu_seconds() -> Option<f64> {
    Some((stat_field(11)? + stat_field(12)?) / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * PAGE_BYTES)
}

fn fds_max() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A number of `/proc/self/stat`, counted behind the program's name, which may have spaces in it.
fn stat_field(place: usize) -> Option<f64> {
    let stat = fs::read_to_string(Path::new("/proc/self/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_says_what_a_process_takes() {
        let mut spun = 0_u64;
        while cpu_seconds().unwrap() < 0.05 {
            spun = std::hint::black_box(spun + 1);
        }
        assert!(resident_bytes().unwrap() > 1e6 && resident_bytes().unwrap() < 1e9);
        assert!(fds_max().unwrap() >= 3.0);
        assert!(stat_field(17).unwrap() >= 1.0);
    }
}
