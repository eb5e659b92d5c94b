//! The answer to a claim, in messages of a bounded size.

use std::collections::VecDeque;

use proto::internal::{Claimed, DispatchedEvent, ShardEpoch};

use crate::gate::{self, Taken};

const EVENTS_MAX: usize = 256;
const BYTES_MAX: usize = 256 << 10;

/// An answer that is on its way up.
#[derive(Debug)]
pub(super) struct Answer {
    /// Interest up to here goes before it.
    pub(super) version: u64,
    round: u64,
    stale: Vec<ShardEpoch>,
    events: VecDeque<DispatchedEvent>,
}

impl Answer {
    /// The answer to a claim that came when the interest had this version.
    pub(super) fn new(taken: Taken, version: u64) -> Self {
        let Taken { round, stale, events } = taken;
        Self { version, round, stale, events: events.into() }
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
        Claimed { round: self.round, stale, events, more: !self.events.is_empty() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(data: &[usize]) -> Vec<usize> {
        let event = |bytes: &usize| DispatchedEvent {
            data: vec![b'1'; *bytes].into(),
            ..DispatchedEvent::default()
        };
        let stale = vec![ShardEpoch::default()];
        let taken = Taken { round: 3, stale, events: data.iter().map(event).collect() };
        let mut answer = Answer::new(taken, 1);
        let mut sizes = Vec::new();
        loop {
            let message = answer.next();
            assert_eq!(message.stale.len(), usize::from(sizes.is_empty()), "once");
            sizes.push(message.events.len());
            if !message.more {
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
    }
}
