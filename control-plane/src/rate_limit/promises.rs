//! Who was told when to come back.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::content::Content;

/// Promises of one bucket. When there are as many, no more are given, and those that were are kept.
const PROMISES_MAX: usize = 4_096;
/// How long a promise is kept from when it is due: callers of the REST API wait in whole seconds.
const KEPT: Duration = Duration::from_secs(3);

/// Calls that were refused, and the time from which each will be admitted.
#[derive(Debug, Default)]
pub(super) struct Promises {
    due: HashMap<Content, Instant>,
    /// In the order in which they were given.
    given: VecDeque<(Content, Instant)>,
}

impl Promises {
    /// From when the call is admitted; `None` where it was promised nothing.
    pub(super) fn due(&self, call: Content, now: Instant) -> Option<Instant> {
        self.due.get(&call).copied().filter(|due| *due + KEPT > now)
    }

    /// The call has been admitted.
    pub(super) fn redeem(&mut self, call: Content) {
        self.due.remove(&call);
    }

    /// From `due` on the call will be admitted.
    pub(super) fn give(&mut self, call: Content, now: Instant, due: Instant) {
        self.forget_expired(now);
        if self.given.len() < PROMISES_MAX {
            self.due.insert(call, due);
            self.given.push_back((call, due));
        }
    }

    pub(super) fn forget_expired(&mut self, now: Instant) {
        while let Some(&(call, due)) = self.given.front()
            && due + KEPT <= now
        {
            self.given.pop_front();
            // It may have been redeemed and given anew.
            if self.due.get(&call) == Some(&due) {
                self.due.remove(&call);
            }
        }
        if self.given.is_empty() {
            *self = Self::default();
        }
    }
}
