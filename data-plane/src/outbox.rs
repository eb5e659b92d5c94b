//! The bounded queue in front of one socket.

use std::{collections::VecDeque, io::IoSlice, rc::Rc};

/// Bytes that many sockets share: one WebSocket frame, header included. Server frames are not masked,
/// so the same bytes serve every socket of a shard thread.
pub type Frame = Rc<[u8]>;

/// Frames that one write takes at most.
pub const WRITE_FRAMES_MAX: usize = 64;
/// A queue that has grown beyond this is given back when it is empty.
const CAPACITY_KEPT: usize = 16;

/// The outbox is full: its reader does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What waits to be written; bounded by frames and by bytes.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Bytes of the first frame that are written already.
    written: usize,
}

/// The bounds of an outbox.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Frames.
    pub frames: usize,
    /// Bytes; a single larger frame is let into an empty outbox.
    pub bytes: usize,
}

impl Outbox {
    /// Puts a frame behind those that wait.
    pub fn push(&mut self, frame: Frame, limits: OutboxLimits) -> Result<(), Full> {
        let full = self.frames.len() >= limits.frames
            || (self.bytes + frame.len() > limits.bytes && !self.frames.is_empty());
        if full && !cfg!(feature = "bug-unbounded-outbox") {
            return Err(Full);
        }
        self.bytes += frame.len();
        self.frames.push_back(frame);
        Ok(())
    }

    /// Whether a quarter of the room is taken.
    #[must_use]
    pub fn is_pressed(&self, limits: OutboxLimits) -> bool {
        4 * self.frames.len() >= limits.frames || 4 * self.bytes >= limits.bytes
    }

    /// Drops what waits, but for a frame that is half written: without its rest nothing behind it
    /// could be read.
    pub fn clear(&mut self) {
        self.frames.truncate(usize::from(self.written > 0));
        self.bytes = self.frames.iter().map(|frame| frame.len()).sum();
    }

    /// Frames and bytes that wait.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.frames.len(), self.bytes)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that wait, those of a half-written frame included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What to write next, as slices; returns how many are filled in.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; WRITE_FRAMES_MAX]) -> usize {
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            let from = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&frame[from..]);
            count += 1;
        }
        count
    }

    /// That many bytes were written.
    pub fn advance(&mut self, written: usize) {
        self.written += written;
        while let Some(first) = self.frames.front()
            && self.written >= first.len()
        {
            self.written -= first.len();
            self.bytes -= first.len();
            self.frames.pop_front();
        }
        if self.frames.is_empty() && self.frames.capacity() > CAPACITY_KEPT {
            self.frames = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits { frames: 3, bytes: 10 };

    fn frame(bytes: usize) -> Frame {
        vec![b'x'; bytes].into()
    }

    #[test]
    fn bounded_by_frames_and_by_bytes() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(frame(20), LIMITS), Ok(()), "a large frame alone");
        assert_eq!(outbox.push(frame(1), LIMITS), Err(Full));
        outbox.advance(20);
        assert!(outbox.is_empty());
        assert!(!outbox.is_pressed(LIMITS));
        for _ in 0..3 {
            assert_eq!(outbox.push(frame(1), LIMITS), Ok(()));
        }
        assert!(outbox.is_pressed(LIMITS));
        assert_eq!(outbox.push(frame(1), LIMITS), Err(Full));
    }

    #[test]
    fn partial_writes_go_on_where_they_stopped() {
        let mut outbox = Outbox::default();
        for text in ["abc", "def", "g"] {
            outbox.push(text.as_bytes().into(), LIMITS).unwrap();
        }
        let waiting = |outbox: &Outbox| {
            let mut slices = [IoSlice::new(&[]); WRITE_FRAMES_MAX];
            let count = outbox.slices(&mut slices);
            let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(waiting(&outbox), "abcdefg");
        outbox.advance(4);
        assert_eq!(waiting(&outbox), "efg");
        outbox.clear();
        assert_eq!(waiting(&outbox), "ef", "the rest of a half-written frame stays");
        outbox.advance(2);
        assert!(outbox.is_empty());
    }
}
