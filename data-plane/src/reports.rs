//! What happened on sockets and is on its way up: a queue per stream, bounded together.
//!
//! A queue is open while its stream is. A message goes to the control plane that owns its channel, else to
//! any that is there, which sends it on. Client events are best effort: one that finds the queues full or
//! closed is refused, which its sender hears.

use std::collections::VecDeque;

use proto::internal::attach_request::Up;

use crate::interest::{STREAMS_MAX, Slot};

/// Messages that wait at most, in all queues.
const MESSAGES_MAX: usize = 16_384;
/// Bytes that wait at most, in all queues.
const BYTES_MAX: usize = 8 << 20;
/// A message costs this much besides its text.
const OVERHEAD_BYTES: usize = 200;

/// The queues.
#[derive(Debug, Default)]
pub struct Reports {
    queues: [Option<Queue>; STREAMS_MAX],
    messages: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    /// Whose stream it is.
    owner: u64,
    waiting: VecDeque<Up>,
}

/// The queues take no more for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Reports {
    /// The stream of a control plane begins.
    pub fn open(&mut self, slot: Slot, owner: u64) {
        self.close(slot);
        self.queues[slot] = Some(Queue { owner, waiting: VecDeque::new() });
    }

    /// A stream has ended: what waited for it waits for another one, or is lost with the last.
    pub fn close(&mut self, slot: Slot) {
        let Some(closed) = self.queues[slot].take() else {
            return;
        };
        if let Some(queue) = self.queues.iter_mut().flatten().next() {
            queue.waiting.extend(closed.waiting);
        } else {
            self.messages = 0;
            self.bytes = 0;
        }
    }

    /// Puts a message behind those that wait for its channel's owner, or for whoever is there.
    pub fn push(&mut self, owner: Option<u64>, up: Up) -> Result<(), Full> {
        let bytes = bytes(&up);
        let full =
            self.messages >= MESSAGES_MAX || (self.bytes + bytes > BYTES_MAX && self.messages > 0);
        if full {
            return Err(Full);
        }
        let open = || self.queues.iter().position(Option::is_some);
        let is_owners = |queue: &Queue| Some(queue.owner) == owner;
        let owners = self.queues.iter().position(|queue| queue.as_ref().is_some_and(is_owners));
        let slot = owners.or_else(open).ok_or(Full)?;
        if let Some(queue) = &mut self.queues[slot] {
            queue.waiting.push_back(up);
        }
        self.messages += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// Messages and bytes that wait, for all streams.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.messages, self.bytes)
    }

    /// Takes the message that has waited longest for this stream.
    pub fn pop(&mut self, slot: Slot) -> Option<Up> {
        let up = self.queues[slot].as_mut()?.waiting.pop_front()?;
        self.messages -= 1;
        self.bytes -= bytes(&up);
        Some(up)
    }
}

fn bytes(up: &Up) -> usize {
    let text = match up {
        Up::ClientEvent(event) => {
            event.name.len()
                + event.channel.len()
                + event.data.as_ref().map_or(0, bytes::Bytes::len)
        }
        Up::CacheMiss(miss) => miss.channel.len(),
        Up::Hello(_)
        | Up::Interest(_)
        | Up::SnapshotEnd(_)
        | Up::Delivered(_)
        | Up::Draining(_)
        | Up::Claimed(_)
        | Up::Sockets(_) => 0,
    };
    OVERHEAD_BYTES + text
}

#[cfg(test)]
mod tests {
    use proto::internal::ClientEvent;

    use super::*;

    fn event(bytes: usize) -> Up {
        Up::ClientEvent(ClientEvent {
            data: Some(vec![b'1'; bytes].into()),
            ..ClientEvent::default()
        })
    }

    #[test]
    fn they_are_bounded_by_messages_and_by_bytes() {
        let mut reports = Reports::default();
        assert_eq!(reports.push(None, event(1)), Err(Full), "nobody is there to hear it");
        reports.open(0, 10);
        reports.open(1, 11);
        for place in 0..MESSAGES_MAX {
            reports.push(Some(10 + place as u64 % 2), event(1)).unwrap();
        }
        assert_eq!(reports.push(None, event(1)), Err(Full));
        reports.close(0);
        reports.close(1);
        assert_eq!((reports.messages, reports.bytes), (0, 0));
        reports.open(0, 10);
        reports.push(None, event(BYTES_MAX)).unwrap();
        assert_eq!(reports.push(None, event(1)), Err(Full));
        assert!(reports.pop(0).is_some());
        reports.push(None, event(1)).unwrap();
        assert!(reports.pop(0).is_some() && reports.pop(0).is_none());
        assert_eq!((reports.messages, reports.bytes), (0, 0));
    }

    #[test]
    fn they_go_to_the_owner_or_to_who_is_there_in_order() {
        let mut reports = Reports::default();
        reports.open(3, 10);
        reports.open(5, 11);
        let sizes = |reports: &mut Reports, slot| -> Vec<usize> {
            let popped = std::iter::from_fn(|| reports.pop(slot));
            popped.map(|up| bytes(&up) - OVERHEAD_BYTES).collect()
        };
        for (owner, size) in [(Some(11), 1), (Some(10), 2), (Some(99), 3), (None, 4), (Some(11), 5)]
        {
            reports.push(owner, event(size)).unwrap();
        }
        assert_eq!(sizes(&mut reports, 5), [1, 5]);
        reports.push(Some(11), event(6)).unwrap();
        reports.close(3);
        assert_eq!(sizes(&mut reports, 5), [6, 2, 3, 4], "what waited for the other one");
        assert_eq!((reports.messages, reports.bytes), (0, 0));
    }
}
