//! A hashed timer wheel: when to look at which socket again.

use std::time::{Duration, Instant};

use crate::SocketKey;

/// A slot that held more than this gives its memory back when it has run empty.
const KEPT: usize = 64;

/// Sockets by the time at which they want to be looked at, in steps of one tick. Entries are never
/// cancelled: who inserts bounds their number, and recognises stale keys by their generation.
#[derive(Debug)]
pub struct Wheel {
    start: Instant,
    tick: Duration,
    slots: Vec<Vec<Entry>>,
    entries: usize,
    /// The last tick whose slot has been emptied.
    done: u64,
    /// No entry is due before this tick.
    due_min: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: SocketKey,
    due: u64,
}

impl Wheel {
    /// A wheel that turns once in `tick` times `slots`. Entries may be further away than a turn;
    /// they are passed over until their turn comes.
    #[must_use]
    pub fn new(start: Instant, tick: Duration, slots: usize) -> Self {
        assert!(!tick.is_zero() && slots > 0, "a wheel needs a tick and a slot");
        Self { start, tick, slots: vec![Vec::new(); slots], entries: 0, done: 0, due_min: u64::MAX }
    }

    /// Adds an entry: it expires at the first tick that is not before `at`.
    pub fn insert(&mut self, key: SocketKey, at: Instant) {
        let due = self.ticks(at, u128::div_ceil).max(self.done + 1);
        let slot = self.slot(due);
        self.slots[slot].push(Entry { key, due });
        self.entries += 1;
        self.due_min = self.due_min.min(due);
    }

    /// Appends all entries that have expired to `expired`, and forgets them.
    pub fn advance(&mut self, now: Instant, expired: &mut Vec<SocketKey>) {
        let now = self.ticks(now, |elapsed, tick| elapsed / tick);
        if now < self.due_min {
            self.done = self.done.max(now);
            return;
        }
        let turn = self.slots.len() as u64;
        let first = self.due_min.max((now + 1).saturating_sub(turn));
        for tick in first..=now {
            let slot = self.slot(tick);
            self.entries -= expire(&mut self.slots[slot], now, expired);
        }
        self.done = now;
        self.due_min = self.first_occupied();
    }

    /// When to call [`Wheel::advance`] next: no entry expires earlier. `None` where there is none.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        if self.entries == 0 {
            return None;
        }
        let nanos = self.tick.as_nanos().saturating_mul(u128::from(self.due_min));
        Some(self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The next tick whose slot holds something, for this turn or a later one.
    fn first_occupied(&self) -> u64 {
        if self.entries == 0 {
            return u64::MAX;
        }
        let turn = self.done + 1..=self.done + self.slots.len() as u64;
        turn.into_iter()
            .find(|tick| !self.slots[self.slot(*tick)].is_empty())
            .expect("some slot holds an entry, and a turn passes all slots")
    }

    fn slot(&self, tick: u64) -> usize {
        (tick % self.slots.len() as u64) as usize
    }

    fn ticks(&self, at: Instant, divide: impl Fn(u128, u128) -> u128) -> u64 {
        let elapsed = at.saturating_duration_since(self.start).as_nanos();
        u64::try_from(divide(elapsed, self.tick.as_nanos())).unwrap_or(u64::MAX - 1)
    }
}

/// Moves what is due out of a slot and returns how many entries that were.
fn expire(slot: &mut Vec<Entry>, now: u64, expired: &mut Vec<SocketKey>) -> usize {
    let before = slot.len();
    slot.retain(|entry| {
        let due = entry.due <= now;
        if due {
            expired.push(entry.key);
        }
        !due
    });
    if slot.is_empty() && slot.capacity() > KEPT {
        *slot = Vec::new();
    }
    before - slot.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
        Instant::now()
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn key(index: u32) -> SocketKey {
        SocketKey { index, generation: 0 }
    }

    #[test]
    fn expires_at_the_first_tick_not_before_the_time() {
        let start = start();
        let mut wheel = Wheel::new(start, ms(10), 4);
        let mut expired = Vec::new();
        assert_eq!(wheel.next(), None);
        wheel.insert(key(1), start + ms(11));
        wheel.insert(key(2), start + ms(20));
        wheel.insert(key(3), start);
        assert_eq!(wheel.next(), Some(start + ms(10)));
        wheel.advance(start + ms(10), &mut expired);
        assert_eq!(expired, [key(3)]);
        assert_eq!(wheel.next(), Some(start + ms(20)));
        wheel.advance(start + ms(19), &mut expired);
        assert_eq!(expired, [key(3)]);
        wheel.advance(start + ms(20), &mut expired);
        assert_eq!(expired, [key(3), key(1), key(2)]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn entries_of_later_turns_are_passed_over() {
        let start = start();
        let mut wheel = Wheel::new(start, ms(10), 4);
        let mut expired = Vec::new();
        wheel.insert(key(1), start + ms(100));
        wheel.insert(key(2), start + ms(20));
        let mut wakes = Vec::new();
        while let Some(at) = wheel.next() {
            let before = expired.len();
            wheel.advance(at, &mut expired);
            wakes.push((at - start, expired.len() - before));
        }
        assert_eq!(expired, [key(2), key(1)]);
        assert_eq!(wakes, [(ms(20), 1), (ms(60), 0), (ms(100), 1)]);
    }

    #[test]
    fn a_late_advance_finds_everything() {
        let start = start();
        let mut wheel = Wheel::new(start, ms(10), 4);
        (0..10).for_each(|index| wheel.insert(key(index), start + ms(10 * u64::from(index))));
        let mut expired = Vec::new();
        wheel.advance(start + ms(1_000_000), &mut expired);
        expired.sort_unstable_by_key(|key| key.index);
        assert_eq!(expired, (0..10).map(key).collect::<Vec<_>>());
        wheel.insert(key(1), start);
        assert_eq!(wheel.next(), Some(start + ms(1_000_010)));
    }
}
