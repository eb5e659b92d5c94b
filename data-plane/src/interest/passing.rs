//! Which events of a channel were here: one that is dispatched again has its place among them.

use std::time::{Duration, Instant};

use proto::{internal::DispatchedEvent, stamp::Stamp};

/// What passed in one channel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    /// The latest.
    last: Stamp,
    /// When the interest began; before that nobody was here to miss anything.
    begun: Option<Instant>,
}

/// What becomes of an event that was not here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is delivered.
    Next,
    /// What is behind it was here already, and nobody missed it: it is dropped.
    Over,
    /// What is behind it was here already, and somebody has missed it.
    Missed,
}

impl Passed {
    /// Somebody is interested from here on.
    pub(super) fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
    }

    /// Whether somebody was interested at that time.
    pub(super) fn begun_before(&self, at: Instant) -> bool {
        self.begun.is_none_or(|begun| begun <= at)
    }

    /// Takes note of an event.
    pub(super) fn pass(&mut self, event: &DispatchedEvent, now: Instant) -> Turn {
        if event.notice.is_some() {
            return Turn::Next;
        }
        let stamp = Stamp::of(event);
        let last = self.last;
        self.last = last.max(stamp);
        match event.origin {
            // A stream gives a channel's events in order: what was to come here in it has come.
            Some(_) if stamp.is_of_one_stream(&last) && stamp <= last => Turn::Over,
            Some(origin) if stamp < last => {
                let age = Duration::from_millis(origin.age_ms.into());
                let was_here = now.checked_sub(age).is_none_or(|at| self.begun_before(at));
                if was_here { Turn::Missed } else { Turn::Over }
            }
            Some(_) | None => Turn::Next,
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::internal::Origin;

    use super::*;

    fn event(epoch: u64, serial: u64) -> DispatchedEvent {
        DispatchedEvent { epoch, owner: epoch, serial, ..DispatchedEvent::default() }
    }

    fn again(epoch: u64, serial: u64, age_ms: u32) -> DispatchedEvent {
        let origin = Some(Origin { epoch, owner: epoch, serial, age_ms });
        DispatchedEvent { origin, ..event(9, 1) }
    }

    #[test]
    fn what_is_dispatched_again_has_its_place() {
        let began = crate::shard::clock();
        let now = began + Duration::from_secs(3);
        let mut passed = Passed::default();
        passed.begin(began);
        let mut pass = |event: &DispatchedEvent| passed.pass(event, now);
        assert_eq!(pass(&again(1, 4, 2_000)), Turn::Next, "nothing was here");
        assert_eq!(pass(&event(1, 7)), Turn::Next);
        assert_eq!(pass(&again(1, 6, 2_000)), Turn::Over, "had it been for us, it were here");
        assert_eq!(pass(&again(1, 8, 2_000)), Turn::Next);
        assert_eq!(pass(&event(2, 1)), Turn::Next);
        assert_eq!(pass(&again(1, 9, 2_999)), Turn::Missed);
        assert_eq!(pass(&again(1, 9, 3_001)), Turn::Over, "nobody was here then");
        assert_eq!(pass(&again(2, 1, 0)), Turn::Over);
        assert_eq!(pass(&again(3, 1, 0)), Turn::Next);
        assert_eq!(pass(&event(2, 5)), Turn::Next, "the fence judges these");
        assert_eq!(pass(&again(2, 9, 0)), Turn::Missed, "a lower stamp lowers nothing");
    }
}
