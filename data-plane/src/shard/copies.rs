//! Frames of one event that some sockets of a thread share: each is copied once.

use std::rc::Rc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::outbox::Frame;

/// The frames so far, by where their bytes are.
#[derive(Debug, Default)]
pub(super) struct Copies {
    frames: SmallVec<[(usize, Frame); 4]>,
    last: usize,
}

impl Copies {
    /// The thread's copy of a frame. The frame must live as long as this does: a frame is known by
    /// its place.
    pub(super) fn of(&mut self, frame: &Bytes) -> &Frame {
        let place = frame.as_ptr() as usize;
        if self.frames.get(self.last).is_none_or(|(other, _)| *other != place) {
            let found = self.frames.iter().position(|(other, _)| *other == place);
            self.last = found.unwrap_or_else(|| {
                self.frames.push((place, Rc::from(&frame[..])));
                self.frames.len() - 1
            });
        }
        &self.frames[self.last].1
    }

    /// All frames so far.
    pub(super) fn all(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().map(|(_, frame)| frame)
    }
}
