//! What subscribers have received: together, and each one where it differs.
//!
//! Subscribers who get the same events (all without a filter, all with the same one) share a
//! [`Trail`]. A [`Position`] only tells since when a subscriber follows it, so that delivering an
//! event changes nothing per subscriber; the few events from which one was left out stand in it
//! until the next event with their key.

use std::fmt;

use smallvec::SmallVec;

use super::DeltaFormat;

/// The number of one message. No two messages of a node have the same one, whatever their channel and
/// key; larger ones are later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// No message.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What subscribers who get the same events have received last, by key.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    marks: SmallVec<[Mark; 1]>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    pub(super) sequence: Sequence,
    /// Deltas in a row that may have led here.
    pub(super) deltas: u32,
}

impl Trail {
    pub(super) fn mark(&mut self, slot: usize) -> &mut Mark {
        if self.marks.len() <= slot {
            self.marks.resize(slot + 1, Mark::default());
        }
        &mut self.marks[slot]
    }
}

/// What an event is for the followers of one trail.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The message that a delta would be based on; none where the frame must be full.
    pub(super) base: Sequence,
    /// A full frame is due for those who would not tell that they have lost one.
    pub(super) due: bool,
}

/// What one subscription has received. It exists where deltas are agreed on.
#[derive(Clone, Debug)]
pub struct Position {
    since: Sequence,
    format: DeltaFormat,
    /// By slot, the last message received of a key whose later ones did not come.
    behind: Option<Box<Behind>>,
}

type Behind = SmallVec<[(usize, Sequence); 2]>;

impl Position {
    /// Keys in which a subscription may be behind; with one more it begins anew.
    const BEHIND_MAX: usize = 8;

    /// A subscription that has received nothing before `next`.
    #[must_use]
    pub fn new(format: DeltaFormat, next: Sequence) -> Self {
        Self { since: next, format, behind: None }
    }

    /// How its deltas are written.
    #[must_use]
    pub fn format(&self) -> DeltaFormat {
        self.format
    }

    /// Forgets what was received before `next`: after a sync error, and when the subscription has
    /// another filter. The next frame of each key is full.
    pub fn reset(&mut self, next: Sequence) {
        (self.since, self.behind) = (next, None);
    }

    /// The base for this subscription; none where its frame must be full.
    #[inline]
    pub(super) fn base(&mut self, step: Step, slot: usize) -> Sequence {
        if self.behind.is_some() {
            return self.catch_up(step, slot);
        }
        if step.base < self.since || self.is_due(step) { Sequence::NONE } else { step.base }
    }

    fn is_due(&self, step: Step) -> bool {
        step.due && !self.format.tells_losses()
    }

    #[cold]
    fn catch_up(&mut self, step: Step, slot: usize) -> Sequence {
        let behind = self.behind.as_deref_mut();
        let own = behind.and_then(|behind| {
            let place = behind.iter().position(|(other, _)| *other == slot)?;
            Some(behind.swap_remove(place).1)
        });
        if self.behind.as_ref().is_some_and(|behind| behind.is_empty()) {
            self.behind = None;
        }
        let base = own.unwrap_or(step.base);
        let full = step.base == Sequence::NONE || base < self.since || self.is_due(step);
        if full { Sequence::NONE } else { base }
    }

    /// This subscription alone does not receive the event.
    pub(super) fn leave_out(&mut self, step: Step, slot: usize, sequence: Sequence) {
        let behind = self.behind.get_or_insert_default();
        if behind.iter().any(|(other, _)| *other == slot) {
            return;
        }
        if behind.len() == Self::BEHIND_MAX {
            return self.reset(sequence.next());
        }
        behind.push((slot, if step.base < self.since { Sequence::NONE } else { step.base }));
    }
}
