//! Which events of a channel were here: one that is dispatched again has its place among them.

use std::time::{Duration, Instant};

use proto::{
    internal::{DispatchedEvent, Origin},
    stamp::Stamp,
};

/// What passed in one channel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    /// The latest.
    last: Stamp,
    /// The latest that came in its own stream, and so behind all that this stream had for us.
    in_stream: Stamp,
    /// When it passed.
    at: Option<Instant>,
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
        let turn = match event.origin {
            None => Turn::Next,
            Some(_) if stamp.is_of_one_stream(&self.in_stream) && stamp <= self.in_stream => {
                Turn::Over
            }
            Some(Origin { age_ms, .. }) => self.turn_of_late(stamp, age_ms, now),
        };
        // What comes again is known by its place where it is not by its id.
        let forgets = cfg!(feature = "bug-no-message-ids");
        let turn = if forgets && turn == Turn::Over { Turn::Next } else { turn };
        if turn == Turn::Next {
            (self.last, self.at) = (self.last.max(stamp), Some(now));
            if event.is_first() {
                self.in_stream = self.in_stream.max(stamp);
            }
        }
        turn
    }

    fn turn_of_late(&self, stamp: Stamp, age_ms: u32, now: Instant) -> Turn {
        let first = now.checked_sub(Duration::from_millis(age_ms.into()));
        let is_behind = match stamp.is_of_one_stream(&self.last) {
            true => stamp <= self.last,
            // While the cluster was split, two owners dispatched: the other's may have been published
            // when this one was acknowledged.
            false => {
                let passed_since = |at| first.is_none_or(|first| first < at);
                stamp < self.last || self.at.is_some_and(passed_since)
            }
        };
        match is_behind {
            true if first.is_none_or(|first| self.begun_before(first)) => Turn::Missed,
            true => Turn::Over,
            false => Turn::Next,
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

    #[test]
    fn what_was_refused_comes_again_in_any_order() {
        let began = crate::shard::clock();
        let now = began + Duration::from_secs(3);
        let mut passed = Passed::default();
        passed.begin(began);
        assert_eq!(passed.pass(&event(1, 7), now - Duration::from_secs(1)), Turn::Next);
        assert_eq!(passed.pass(&again(2, 3, 10), now), Turn::Next, "refused, and sent again");
        assert_eq!(passed.pass(&again(2, 2, 20), now), Turn::Missed, "refused as well");
        assert_eq!(passed.pass(&again(2, 2, 3_001), now), Turn::Over, "nobody was here then");
        assert_eq!(
            passed.pass(&again(1, 6, 30), now),
            Turn::Over,
            "had it been for us, it were here"
        );
        let mut queued = event(2, 5);
        queued.keep_origin(40);
        assert_eq!(passed.pass(&queued, now), Turn::Next);
        assert_eq!(passed.pass(&again(2, 4, 50), now), Turn::Over, "its stream has come further");
    }

    #[test]
    fn what_is_older_than_another_owners_is_behind_it() {
        let began = crate::shard::clock();
        let after = |milliseconds| began + Duration::from_millis(milliseconds);
        let mut passed = Passed::default();
        passed.begin(began);
        assert_eq!(passed.pass(&event(1, 1), after(1_000)), Turn::Next);
        assert_eq!(passed.pass(&again(1, 2, 900), after(1_100)), Turn::Next, "of one stream");
        assert_eq!(
            passed.pass(&again(2, 1, 100), after(1_300)),
            Turn::Next,
            "nothing was meanwhile"
        );
        let both_halves = [again(3, 1, 500), again(3, 2, 400)];
        for late in both_halves {
            assert_eq!(passed.pass(&late, after(1_600)), Turn::Missed, "the other half went on");
        }
        assert_eq!(passed.pass(&again(3, 3, 1_700), after(1_600)), Turn::Over, "nobody was here");
        assert_eq!(passed.pass(&event(3, 4), after(1_600)), Turn::Next);
    }
}
