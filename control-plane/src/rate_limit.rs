//! A token bucket; the time is an argument.

use std::time::{Duration, Instant};

use model::Quota;

/// Admits `per_second` on average and that many at once.
#[derive(Clone, Debug)]
pub struct Bucket {
    per_second: u32,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, tokens: f64::from(per_second), at: now }
    }

    /// The limit was changed: what has been used stays used.
    pub fn set_limit(&mut self, per_second: u32, now: Instant) {
        if per_second != self.per_second {
            self.refill(now);
            self.tokens = (self.tokens + f64::from(per_second) - f64::from(self.per_second))
                .min(f64::from(per_second));
            self.per_second = per_second;
        }
    }

    /// Takes `cost` tokens, or none. A cost above the whole bucket is admitted when the bucket is
    /// full, and leaves a debt: it must be possible at all.
    pub fn take(&mut self, cost: u32, now: Instant) -> Result<Quota, Quota> {
        self.refill(now);
        let cost = f64::from(cost);
        let needed = cost.min(f64::from(self.per_second));
        if self.tokens < needed {
            return Err(self.quota(needed));
        }
        self.tokens -= cost;
        Ok(self.quota(f64::from(self.per_second)))
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at);
        let full = f64::from(self.per_second);
        self.tokens = (self.tokens + elapsed.as_secs_f64() * full).min(full);
        self.at = now;
    }

    /// The state, with the time until `wanted` tokens are there.
    fn quota(&self, wanted: f64) -> Quota {
        let missing = (wanted - self.tokens).max(0.0);
        let wait = Duration::from_secs_f64(missing / f64::from(self.per_second.max(1)));
        Quota {
            limit: self.per_second,
            remaining: self.tokens.max(0.0) as u32,
            reset_ms: wait.as_micros().div_ceil(1_000) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn admits_the_limit_then_refuses_then_refills() {
        let now = start();
        let mut bucket = Bucket::new(10, now);
        assert_eq!(bucket.take(10, now), Ok(Quota { limit: 10, remaining: 0, reset_ms: 1_000 }));
        assert_eq!(bucket.take(1, now), Err(Quota { limit: 10, remaining: 0, reset_ms: 100 }));
        let later = now + Duration::from_millis(100);
        assert!(bucket.take(1, later).is_ok());
        assert!(bucket.take(1, later).is_err());
    }

    #[test]
    fn waiting_as_told_is_enough() {
        let mut now = start();
        let mut bucket = Bucket::new(7, now);
        for cost in [7, 3, 5, 7, 1, 20, 6] {
            if let Err(quota) = bucket.take(cost, now) {
                now += Duration::from_millis(quota.reset_ms.into());
                assert!(bucket.take(cost, now).is_ok(), "cost {cost}");
            }
        }
    }

    #[test]
    fn a_second_admits_at_most_the_limit_after_the_burst() {
        let mut now = start();
        let mut bucket = Bucket::new(100, now);
        let mut admitted = 0;
        for _ in 0..10_000 {
            now += Duration::from_millis(1);
            admitted += u32::from(bucket.take(1, now).is_ok());
        }
        assert!((1_090..=1_101).contains(&admitted), "{admitted}");
    }

    #[test]
    fn a_changed_limit_is_in_force_at_once() {
        let now = start();
        let mut bucket = Bucket::new(5, now);
        bucket.take(5, now).unwrap();
        bucket.set_limit(8, now);
        assert!(bucket.take(3, now).is_ok());
        assert!(bucket.take(1, now).is_err());
    }
}
