//! The answer to a claim, in messages of a bounded size.

use std::collections::VecDeque;

use proto::internal::{Claimed, DispatchedEvent, EventPlace, ShardAge, ShardEpoch};

use crate::gate::{self, Taken};

const EVENTS_MAX: usize = 256;
const BYTES_MAX: usize = 256 << 10;
const PLACES_MAX: usize = 4_096;

/// An answer that is on its way up.
#[derive(Debug)]
pub(super) struct Answer {
    /// Interest up to here goes before it.
    pub(super) version: u64,
    round: u64,
    stale: Vec<ShardEpoch>,
    events: VecDeque<DispatchedEvent>,
    places: Vec<EventPlace>,
    dispatched: Vec<ShardAge>,
}

impl Answer {
    /// The answer to a claim that came when the interest had this version.
    pub(super) fn new(taken: Taken, version: u64) -> Self {
        let Taken { round, stale, events, places, dispatched } = taken;
        Self { version, round, stale, events: events.into(), places, dispatched }
    }

    /// The next message; the last one says that no more follows.
    pub(super) fn next(&mut self) -> Claimed {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while let Some(event) = self.events.pop_front_if(|event| {
            bytes += gate::bytes(event);
            events.is_empty() || (events.len() < EVENTS_MAX && bytes <= BYTES_MAX)
        }) {
            events.push(event);
        }
        let stale = std::mem::take(&mut self.stale);
        let dispatched = std::mem::take(&mut self.dispatched);
        let places = self.places.split_off(self.places.len().saturating_sub(PLACES_MAX));
        let more = !self.events.is_empty() || !self.places.is_empty();
        Claimed { round: self.round, stale, events, more, places, dispatched }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(data: &[usize]) -> Vec<usize> {
        sizes_beside(data, 0)
    }

    fn sizes_beside(data: &[usize], mut places: usize) -> Vec<usize> {
        let event = |bytes: &usize| DispatchedEvent {
            data: vec![b'1'; *bytes].into(),
            ..DispatchedEvent::default()
        };
        let stale = vec![ShardEpoch::default()];
        let events = data.iter().map(event).collect();
        let told = vec![EventPlace::default(); places];
        let taken = Taken { round: 3, stale, events, places: told, ..Taken::default() };
        let mut answer = Answer::new(taken, 1);
        let mut sizes = Vec::new();
        loop {
            let message = answer.next();
            assert_eq!(message.stale.len(), usize::from(sizes.is_empty()), "once");
            sizes.push(message.events.len());
            assert!(message.places.len() <= PLACES_MAX);
            places -= message.places.len();
            if !message.more {
                assert_eq!(places, 0, "all are told");
                return sizes;
            }
        }
    }

    #[test]
    fn messages_are_bounded() {
        assert_eq!(sizes(&[]), [0], "there is an answer although there is nothing to tell");
        assert_eq!(sizes(&[1; 600]), [256, 256, 88]);
        assert_eq!(sizes(&[100 << 10; 5]), [2, 2, 1]);
        assert_eq!(sizes(&[1 << 20, 1, 1 << 20]), [1, 1, 1], "one is larger than a message");
        assert_eq!(sizes_beside(&[1; 300], 2 * PLACES_MAX + 1), [256, 44, 0]);
    }
}
