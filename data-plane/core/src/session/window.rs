//! What a connection may do how often.

use std::time::{Duration, Instant};

/// A fixed window: so many, then none until it has passed.
#[derive(Debug)]
pub(super) struct Window {
    started: Instant,
    admitted: u32,
}

/// The windows of a connection; most apps limit neither, and most connections send nothing.
#[derive(Debug)]
pub(super) struct Windows {
    pub(super) messages: Window,
    pub(super) client_events: Window,
}

impl Windows {
    /// Both begin.
    pub(super) fn new(now: Instant) -> Self {
        let window = || Window { started: now, admitted: 0 };
        Self { messages: window(), client_events: window() }
    }
}

impl Window {
    /// Whether one more is allowed.
    pub(super) fn admit(&mut self, limit: u32, length: Duration, now: Instant) -> bool {
        if now.saturating_duration_since(self.started) >= length {
            *self = Self { started: now, admitted: 0 };
        }
        let admitted = self.admitted < limit;
        self.admitted += u32::from(admitted);
        admitted
    }
}
