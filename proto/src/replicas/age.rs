//! How old a call is when it arrives. A link that was cut and healed, or a process that was stopped and
//! went on, lets calls through that their callers gave up long ago: what they publish would come behind
//! what is newer. So a caller says when it calls, by the clock of the one it calls, as far as that is
//! known from its answers; no two clocks have to agree.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicI64, Ordering},
};

use http::{HeaderValue, Request};
use tonic::{body::Body, metadata::MetadataMap};
use tower::{ServiceExt as _, util::BoxCloneSyncService};

use crate::link::Link;

/// Carries the time of a call.
const HEADER: &str = "carillon-clock-ms";
/// Callers give up sooner: when the called one is silent for 750 ms.
const AGE_MAX_MS: u64 = 2_000;

/// What a clock shows at first. From here on its varint is five bytes long, for a year: the processes of a
/// simulation begin at times that chance gives, and what they send shall be as long all the same.
const FIRST_MS: u64 = 1 << 28;

/// Milliseconds since this process first asked, and some; never 0.
#[must_use]
pub fn clock_ms() -> u64 {
    static START: OnceLock<tokio::time::Instant> = OnceLock::new();
    let start = START.get_or_init(tokio::time::Instant::now);
    FIRST_MS.saturating_add(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// What another process's clock shows, from what it said last; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ClockThere(Arc<AtomicI64>);

impl ClockThere {
    /// It said that its clock shows this.
    pub fn set(&self, there_ms: u64) {
        if there_ms > 0 {
            self.0.store(there_ms as i64 - clock_ms() as i64, Ordering::Relaxed);
        }
    }

    /// What it shows; 0 where it never said anything.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match self.0.load(Ordering::Relaxed) {
            0 => 0,
            offset => u64::try_from(clock_ms() as i64 + offset).unwrap_or(0),
        }
    }

    /// A link whose calls say when they were made.
    #[must_use]
    pub fn stamp(&self, link: Link) -> Link {
        let now = self.now_ms();
        if now == 0 {
            return link;
        }
        BoxCloneSyncService::new(link.map_request(move |mut request: Request<Body>| {
            request.headers_mut().insert(HEADER, HeaderValue::from(now));
            request
        }))
    }
}

/// Whether a call of this time is too old to be served.
#[must_use]
pub fn is_stale(called_ms: u64) -> bool {
    called_ms > 0 && clock_ms().saturating_sub(called_ms) > AGE_MAX_MS
}

/// When a call was made, by this process's clock; 0 where it does not say.
#[must_use]
pub fn called_ms(metadata: &MetadataMap) -> u64 {
    let said = metadata.get(HEADER).and_then(|value| value.to_str().ok());
    said.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_called_long_ago_is_stale() {
        let there = ClockThere::default();
        assert_eq!(there.now_ms(), 0);
        assert!(!is_stale(there.now_ms()), "nobody knows how old it is");
        there.set(clock_ms() + 1_000_000);
        assert_eq!(there.now_ms(), clock_ms() + 1_000_000, "clocks need not agree");
        let called = clock_ms();
        tokio::time::advance(std::time::Duration::from_millis(AGE_MAX_MS)).await;
        assert!(!is_stale(called));
        tokio::time::advance(std::time::Duration::from_millis(1)).await;
        assert!(is_stale(called));
    }
}
