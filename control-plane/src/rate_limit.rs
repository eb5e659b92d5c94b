//! A token bucket that keeps its word; the time is an argument.
//!
//! What is admitted in any ten seconds stays within a tenth of the limit: the bucket holds half a
//! second's tokens. A caller that is refused is told when to come back, and that is a promise: the
//! same call is then admitted, if need be on credit, which later callers pay off. So nobody who waits
//! as told is refused twice in a row, however many others there are, as long as the promises that are
//! redeemed stay within the credit.

mod buckets;
mod demand;
mod promises;

use std::time::{Duration, Instant};

use model::Quota;

use crate::content::Content;
pub use buckets::Buckets;
use promises::Promises;

/// What the bucket holds, as a share of a second's tokens.
const BURST: f64 = 0.5;
/// Smaller limits may be used up at once: whoever may publish five a second publishes five.
const BURST_MIN: f64 = 10.0;
/// What promises may take beyond the bucket's tokens, as a share of a second's tokens; at least one.
const CREDIT: f64 = 0.2;
/// The share of new tokens that pays off what promises took. Promises are given out at this rate.
const REPAYMENT: f64 = 0.5;
/// Promises are spread over the window that callers are told of; when there are more, they are given
/// all the same.
const HORIZON: Duration = Duration::from_secs(1);
/// A limit of nothing makes nobody wait for longer than a limit of this many per second.
const RATE_MIN: f64 = 0.1;

/// Admits a share of `limit` per second on average.
#[derive(Debug)]
pub struct Bucket {
    limit: u32,
    /// Tokens per second: of several control planes each has a share of the limit.
    per_second: f64,
    tokens: f64,
    credit: f64,
    at: Instant,
    /// The earliest time for which the next promise is given.
    slot: Instant,
    promises: Promises,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        let promises = Promises::default();
        let (limit, per_second) = (per_second, f64::from(per_second));
        let tokens = capacity(per_second);
        Self { limit, per_second, tokens, credit: 0.0, at: now, slot: now, promises }
    }

    /// The limit was changed, or the share of it that is given here: what has been used stays used.
    pub fn set_limit(&mut self, limit: u32, share: f64, now: Instant) {
        let per_second = f64::from(limit) * share;
        self.limit = limit;
        if (per_second - self.per_second).abs() > f64::EPSILON {
            self.refill(now);
            self.tokens += capacity(per_second) - capacity(self.per_second);
            self.per_second = per_second;
        }
    }

    /// Takes `cost` tokens, or none. A cost above the whole bucket is admitted when the bucket is
    /// full, and leaves a debt: it must be possible at all. The error is a refusal without a promise:
    /// see [`Bucket::take_as_promised`].
    pub fn take(&mut self, cost: u32, now: Instant) -> Result<Quota, Quota> {
        self.refill(now);
        let cost = f64::from(cost);
        let needed = self.needed(cost);
        if self.tokens < needed {
            return Err(self.quota(self.wait(needed)));
        }
        self.tokens -= cost;
        Ok(self.state())
    }

    /// As [`Bucket::take`], for a call that is recognised: it is admitted when it was refused before
    /// and has waited as told. If it is refused now, it is told a time at which it will be admitted.
    pub fn take_as_promised(
        &mut self,
        cost: u32,
        call: Content,
        now: Instant,
    ) -> Result<Quota, Quota> {
        if let Ok(quota) = self.take(cost, now) {
            return Ok(quota);
        }
        let cost = f64::from(cost);
        match self.promises.due(call, now) {
            Some(due) if due > now => return Err(self.quota(due - now)),
            Some(_) if self.credit == 0.0 || self.credit + cost <= self.credit_max() => {
                self.promises.redeem(call);
                self.credit += cost;
                return Ok(self.state());
            }
            Some(_) | None => {}
        }
        let wait = self.next_slot(cost, now);
        self.promises.give(call, now, now + wait);
        Err(self.quota(wait))
    }

    /// The state; takes nothing.
    pub fn look(&mut self, now: Instant) -> Quota {
        self.refill(now);
        self.state()
    }

    /// Forgets promises that nobody came back for.
    pub fn forget_expired(&mut self, now: Instant) {
        self.promises.forget_expired(now);
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        let new = elapsed * self.per_second;
        let repaid = (new * REPAYMENT).min(self.credit);
        self.tokens += new - repaid;
        self.credit -= repaid;
        let spare = (self.tokens - capacity(self.per_second)).max(0.0);
        self.tokens -= spare;
        self.credit = (self.credit - spare).max(0.0);
        self.at = self.at.max(now);
    }

    fn needed(&self, cost: f64) -> f64 {
        cost.min(capacity(self.per_second))
    }

    fn credit_max(&self) -> f64 {
        (self.per_second * CREDIT).max(1.0)
    }

    /// The time until `needed` tokens are there, if nobody takes any, in whole milliseconds.
    fn wait(&self, needed: f64) -> Duration {
        let rate = self.per_second.max(RATE_MIN);
        let missing = (needed - self.tokens).max(0.0);
        // Half of what comes in goes elsewhere until the credit is paid off.
        let slowed = (self.credit / REPAYMENT).min(missing / (1.0 - REPAYMENT));
        let wait = (missing + slowed * REPAYMENT) / rate;
        Duration::from_millis((wait * 1_000.0).ceil() as u64)
    }

    /// The time until the next promise is due: when there are tokens, and behind earlier promises.
    fn next_slot(&mut self, cost: f64, now: Instant) -> Duration {
        let wait = self.wait(self.needed(cost));
        let due = self.slot.max(now + wait);
        if due > now + HORIZON {
            return wait.max(HORIZON);
        }
        let spacing = cost / (self.per_second.max(RATE_MIN) * REPAYMENT);
        self.slot = due + Duration::from_secs_f64(spacing);
        // What is told is whole milliseconds, and must not be too early.
        Duration::from_millis((due - now).as_micros().div_ceil(1_000) as u64)
    }

    fn state(&self) -> Quota {
        self.quota(self.wait(capacity(self.per_second)))
    }

    fn quota(&self, reset: Duration) -> Quota {
        Quota {
            limit: self.limit,
            remaining: self.tokens.max(0.0) as u32,
            reset_ms: u32::try_from(reset.as_micros().div_ceil(1_000)).unwrap_or(u32::MAX),
        }
    }
}

/// Tokens of a full bucket.
fn capacity(per_second: f64) -> f64 {
    (per_second * BURST).max(per_second.min(BURST_MIN))
}

#[cfg(test)]
mod tests;
