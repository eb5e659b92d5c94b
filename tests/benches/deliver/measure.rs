//! One measurement: what it cost, and the median of several.

use std::time::{Duration, Instant};

use crate::part;

/// What some events cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) events: u64,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

impl Cost {
    /// Measures `pids` while `work` publishes so many events.
    pub(crate) fn of(
        pids: &[u32],
        events: u64,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let (began, before) = (now(), part::cpu(pids)?);
        work()?;
        Ok(Self { events, cpu: part::cpu(pids)?.saturating_sub(before), wall: now() - began })
    }

    /// CPU time per event, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        micros(self.cpu) / self.events as f64
    }

    /// Time per event, in microseconds.
    pub(crate) fn wall_us(&self) -> f64 {
        micros(self.wall) / self.events as f64
    }
}

/// The one whose CPU time is in the middle.
pub(crate) fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by_key(|cost| cost.cpu);
    costs[costs.len() / 2]
}

/// The ratio in the middle of those of each cost to its neighbour.
pub(crate) fn median_ratio(costs: &[Cost], others: &[Cost]) -> f64 {
    let pairs = costs.iter().zip(others);
    let mut ratios: Vec<f64> = pairs.map(|(one, other)| one.cpu_us() / other.cpu_us()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
