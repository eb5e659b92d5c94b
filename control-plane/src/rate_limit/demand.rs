//! How much is asked of a limit: tokens per second, smoothed.

use std::time::{Duration, Instant};

/// What is asked for is averaged over at least this.
const WINDOW: Duration = Duration::from_millis(100);
/// The weight of the latest window.
const LATEST: f64 = 0.3;
/// The part of a limit that each control plane counts as asked for in any case, so that one that has
/// been asked for nothing lately does not refuse the first calls.
const RESERVE: f64 = 0.05;

/// What one app asks for here.
#[derive(Debug)]
pub(super) struct Demand {
    asked: f64,
    rate: f64,
    since: Instant,
}

impl Demand {
    /// Nothing was asked for yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { asked: 0.0, rate: 0.0, since: now }
    }

    /// Tokens are asked for, whether they are given or not.
    pub(super) fn ask(&mut self, cost: u32) {
        self.asked += f64::from(cost);
    }

    /// Tokens per second.
    pub(super) fn rate(&mut self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= WINDOW {
            let latest = self.asked / elapsed.as_secs_f64();
            self.rate += (latest - self.rate) * LATEST;
            (self.asked, self.since) = (0.0, now);
        }
        self.rate
    }
}

/// The share of a limit that is given here: as much of it as of what is asked for everywhere. All shares
/// together are one, as far as the control planes have heard of each other.
pub(super) fn share(limit: u32, here: f64, (elsewhere, peers): (f64, usize)) -> f64 {
    let reserve = (f64::from(limit) * RESERVE).max(f64::MIN_POSITIVE);
    (here + reserve) / (here + elsewhere + reserve * (peers as f64 + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_what_is_asked_for_and_add_up() {
        let two = |here, elsewhere| share(1_000, here, (elsewhere, 1));
        assert!((two(0.0, 0.0) - 0.5).abs() < 1e-9);
        assert!(two(2_000.0, 0.0) > 0.97);
        for (here, there) in [(0.0, 10.0), (500.0, 1_500.0), (2_000.0, 1.0)] {
            assert!((two(here, there) + two(there, here) - 1.0).abs() < 1e-9);
        }
        assert!((share(5, 0.0, (0.0, 0)) - 1.0).abs() < 1e-9, "alone it has all of it");
        assert!(share(0, 0.0, (0.0, 2)).is_finite());
    }

    #[test]
    fn the_rate_is_smooth() {
        let start = tokio::time::Instant::now().into_std();
        let mut demand = Demand::new(start);
        for step in 1..=20 {
            demand.ask(100);
            demand.rate(start + step * WINDOW);
        }
        let steady = demand.rate(start + 20 * WINDOW);
        assert!((990.0..1_000.1).contains(&steady), "{steady}");
        assert!(demand.rate(start + 30 * WINDOW) < steady * 0.71, "nothing was asked for");
    }
}
