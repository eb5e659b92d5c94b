//! What the frames in all outboxes of a thread take: each is counted once, however many sockets wait
//! for it.

use crate::outbox::Frame;

/// The books are gone through after at least this much has come in.
const SWEEP_BYTES_MIN: usize = 1 << 20;
const SWEEP_FRAMES_MIN: usize = 4_096;

/// The frames that some socket of the thread may still wait for.
#[derive(Debug)]
pub struct Ledger {
    bytes_max: usize,
    frames: Vec<Frame>,
    bytes: usize,
    /// Frames and bytes at which the books are gone through.
    sweep_at: (usize, usize),
}

impl Ledger {
    /// No frames yet; `bytes_max` may wait.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let sweep_at = (SWEEP_FRAMES_MIN, SWEEP_BYTES_MIN);
        Self { bytes_max, frames: Vec::new(), bytes: 0, sweep_at }
    }

    /// Notes a frame, once: one that is in no outbox is struck out with the next sweep.
    pub fn enter(&mut self, frame: &Frame) {
        self.bytes += frame.len();
        self.frames.push(Frame::clone(frame));
    }

    /// Whether the frames that wait take too much. Costs nothing until enough has come in: then what
    /// nobody waits for any more is struck out, which each frame pays for with a constant share.
    pub fn is_over(&mut self) -> bool {
        let (frames, bytes) = self.sweep_at;
        if self.frames.len() >= frames || self.bytes >= bytes {
            self.sweep();
        }
        self.bytes > self.bytes_max
    }

    /// Whether so much has gone that closing sockets can end: below three quarters.
    pub fn is_relieved(&mut self) -> bool {
        self.sweep();
        self.bytes <= self.bytes_max / 4 * 3
    }

    fn sweep(&mut self) {
        self.frames.retain(|frame| Frame::strong_count(frame) > 1);
        self.bytes = self.frames.iter().map(|frame| frame.len()).sum();
        let (frames, bytes) = (self.frames.len(), self.bytes);
        self.frames.shrink_to((frames * 2).max(SWEEP_FRAMES_MIN));
        self.sweep_at = (frames * 5 / 4 + SWEEP_FRAMES_MIN, bytes * 5 / 4 + SWEEP_BYTES_MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn frame(bytes: usize) -> Frame {
        vec![0; bytes].into()
    }

    #[test]
    fn a_frame_counts_once_and_only_while_somebody_waits_for_it() {
        let mut ledger = Ledger::new(4 * MIB);
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let one = frame(MIB);
            ledger.enter(&one);
            waiting.extend([Frame::clone(&one), one]);
            assert!(!ledger.is_over());
        }
        for _ in 0..20 {
            ledger.enter(&frame(MIB));
            ledger.sweep();
            assert!(!ledger.is_over(), "nobody waits for it");
        }
        let last = frame(1);
        ledger.enter(&last);
        assert!(ledger.is_over());
        waiting.truncate(4);
        assert!(ledger.is_relieved());
    }

    #[test]
    fn the_books_stay_short() {
        let mut ledger = Ledger::new(MIB);
        for _ in 0..100_000 {
            ledger.enter(&frame(1_000));
            assert!(!ledger.is_over() || ledger.bytes < 3 * MIB);
            assert!(ledger.frames.len() <= SWEEP_FRAMES_MIN && ledger.bytes <= 2 * SWEEP_BYTES_MIN);
        }
    }
}
