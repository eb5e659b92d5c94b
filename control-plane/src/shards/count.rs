//! How often subscribers hear the number of subscriptions.

use std::time::{Duration, Instant};

/// Up to this many subscriptions each change is told.
const EACH_MAX: u32 = 100;
/// Above it, this is the time between two tellings.
const QUIET: Duration = Duration::from_secs(5);
/// A node's queue had no room: try again after this.
const DEFERRED: Duration = Duration::from_millis(500);

/// What was told of one channel's number, and when the next may be.
#[derive(Debug, Default)]
pub(super) struct Count {
    quiet_until: Option<Instant>,
    owed: bool,
}

/// When a changed number is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// At once.
    Now,
    /// Then, whatever it is then.
    At(Instant),
    /// When it was said before.
    Arranged,
}

impl Count {
    /// Whether a number this large needs no memory of what was told.
    pub(super) fn is_small(subscriptions: u32) -> bool {
        subscriptions <= EACH_MAX
    }

    /// The number has changed.
    pub(super) fn changed(&mut self, subscriptions: u32, now: Instant) -> Telling {
        if Self::is_small(subscriptions) {
            *self = Self::default();
            return Telling::Now;
        }
        match self.quiet_until {
            Some(until) if now < until => {
                let arranged = std::mem::replace(&mut self.owed, true);
                if arranged { Telling::Arranged } else { Telling::At(until) }
            }
            Some(_) | None => {
                *self = Self { quiet_until: Some(now + QUIET), owed: false };
                Telling::Now
            }
        }
    }

    /// Somebody could not be told. Returns when to try again.
    pub(super) fn defer(&mut self, now: Instant) -> Instant {
        let at = now + DEFERRED;
        *self = Self { quiet_until: Some(at), owed: true };
        at
    }

    /// Whether the number is to be told because its time has come.
    pub(super) fn due(&mut self, now: Instant) -> bool {
        let due = self.owed && self.quiet_until.is_some_and(|until| until <= now);
        if due {
            *self = Self { quiet_until: Some(now + QUIET), owed: false };
        }
        due
    }

    /// Whether nothing has to be remembered.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        !self.owed && self.quiet_until.is_none_or(|until| until <= now)
    }
}
