//! What happened on sockets and is on its way up: a bounded queue.
//!
//! It is open while the node is attached. Client events are best effort: one that finds the queue full
//! or closed is refused, which its sender hears.

use std::collections::VecDeque;

use proto::internal::attach_request::Up;

/// Messages that wait at most.
const MESSAGES_MAX: usize = 16_384;
/// Bytes that wait at most.
const BYTES_MAX: usize = 8 << 20;
/// A message costs this much besides its text.
const OVERHEAD_BYTES: usize = 200;

/// The queue.
#[derive(Debug, Default)]
pub struct Reports {
    open: bool,
    waiting: VecDeque<Up>,
    bytes: usize,
}

/// The queue takes no more for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Reports {
    /// A stream begins: what was left of an earlier one is too old.
    pub fn open(&mut self) {
        *self = Self { open: true, ..Self::default() };
    }

    /// The stream has ended.
    pub fn close(&mut self) {
        *self = Self::default();
    }

    /// Puts a message behind those that wait.
    pub fn push(&mut self, up: Up) -> Result<(), Full> {
        let bytes = bytes(&up);
        let full = self.waiting.len() >= MESSAGES_MAX
            || (self.bytes + bytes > BYTES_MAX && !self.waiting.is_empty());
        if !self.open || full {
            return Err(Full);
        }
        self.bytes += bytes;
        self.waiting.push_back(up);
        Ok(())
    }

    /// Messages and bytes that wait.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting.len(), self.bytes)
    }

    /// Takes the message that has waited longest.
    pub fn pop(&mut self) -> Option<Up> {
        let up = self.waiting.pop_front()?;
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
        | Up::Draining(_) => 0,
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
    fn it_is_bounded_by_messages_and_by_bytes() {
        let mut reports = Reports::default();
        assert_eq!(reports.push(event(1)), Err(Full), "nobody is there to hear it");
        reports.open();
        for _ in 0..MESSAGES_MAX {
            reports.push(event(1)).unwrap();
        }
        assert_eq!(reports.push(event(1)), Err(Full));
        reports.open();
        reports.push(event(BYTES_MAX)).unwrap();
        assert_eq!(reports.push(event(1)), Err(Full));
        assert!(reports.pop().is_some());
        reports.push(event(1)).unwrap();
        assert!(reports.pop().is_some() && reports.pop().is_none());
        assert_eq!(reports.bytes, 0);
    }
}
