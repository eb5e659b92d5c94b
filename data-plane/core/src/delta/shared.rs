//! What the threads of a node share of one event: its number, and each frame that one of them needed.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use smallvec::SmallVec;

use super::{DeltaFormat, Sequence};

/// Numbers for all events of a node, in their order. What is numbered by one place for all threads is
/// the same frame on each of them, so that one of them makes it for all.
#[derive(Debug)]
pub struct Numbers {
    next: AtomicU64,
    /// What long numbers have and short ones have not.
    high: u64,
}

/// Short numbers begin below this, long ones below the other: a number is the same in its last bits,
/// be it long or short.
const SHORT_END: u64 = 1 << 30;
const LONG_END: u64 = 1 << 40;

impl Numbers {
    /// Numbers that begin at some place of their own, for a node that has used none.
    ///
    /// A client keeps its bases over a reconnect, so a node that begins again, and another node, must
    /// not use the same numbers. With conflation clients find bases by number among the last 30 of a
    /// key: 12 digits make a second use as good as impossible. Without it they only ever use the last
    /// one, and 9 digits keep frames shorter.
    #[must_use]
    pub fn new(random: u64) -> Self {
        let begin = random % LONG_END;
        Self { next: AtomicU64::new(begin % SHORT_END + 1), high: begin - begin % SHORT_END }
    }

    /// What is shared of the next event.
    #[must_use]
    pub fn next(&self) -> Shared {
        let short = self.next.fetch_add(1, Ordering::Relaxed);
        Shared { short, high: self.high, made: Mutex::default() }
    }
}

/// One event's number, and its frames for those who read deltas.
#[derive(Debug)]
pub struct Shared {
    short: u64,
    high: u64,
    made: Mutex<Made>,
}

/// What was asked for, and what came of it.
type Made = SmallVec<[(Needed, Option<Bytes>); 1]>;

/// Which frame. Two with the same need are the same, whoever makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needed {
    pub(super) sequence: Sequence,
    /// The base and how the difference is written; `None`: the full frame.
    pub(super) delta: Option<(Sequence, DeltaFormat)>,
    pub(super) key: Option<Box<str>>,
}

impl Shared {
    /// The event's number in a channel with conflation, or without.
    pub(super) fn sequence(&self, conflation: bool) -> Sequence {
        Sequence(if conflation { self.high + self.short } else { self.short })
    }

    /// The frame that is needed, or that there is none. The first thread to ask makes it, and others
    /// wait for it: that is shorter than to make it again.
    pub(super) fn frame(
        &self,
        needed: Needed,
        make: impl FnOnce() -> Option<Bytes>,
    ) -> Option<Bytes> {
        let mut made = self.made.lock().expect("no frame panics in the making");
        if let Some((_, frame)) = made.iter().find(|(other, _)| *other == needed) {
            return frame.clone();
        }
        let frame = make();
        made.push((needed, frame.clone()));
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_from_a_place_of_their_own() {
        let numbers = Numbers::new(1 << 50 | 5 << 30 | 7);
        let sequences = [(); 3].map(|()| {
            let shared = numbers.next();
            (shared.sequence(false).0, shared.sequence(true).0)
        });
        assert_eq!(sequences, [8, 9, 10].map(|short| (short, 5 << 30 | short)));
    }

    #[test]
    fn a_frame_is_made_once_for_all_threads() {
        let shared = Numbers::new(0).next();
        let needed =
            |key: &str| Needed { sequence: Sequence(1), delta: None, key: Some(key.into()) };
        let make = || shared.frame(needed("a"), || Some(Bytes::from(vec![7; 9])));
        let frames = std::thread::scope(|scope| {
            let threads = [scope.spawn(make), scope.spawn(make)];
            threads.map(|thread| thread.join().expect("it only asks"))
        });
        let places = frames.map(|frame| frame.expect("it was made").as_ptr());
        assert_eq!(places[0], places[1]);
        assert_eq!(shared.frame(needed("b"), || None), None);
        assert_eq!(shared.frame(needed("b"), || unreachable!("it was asked for before")), None);
    }
}
