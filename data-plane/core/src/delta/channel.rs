//! One channel: its numbers and its bases.

use std::{borrow::Cow, collections::VecDeque};

use bytes::Bytes;
use foldhash::HashMap;
use model::Tags;

use super::{DeltaSettings, DeltaWriter, Sequence, Shared, frame::Base, turn::Turn};

/// An event as it is sent to all subscribers.
#[derive(Clone, Copy, Debug)]
pub struct Published<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its data, before it became a JSON string.
    pub data: &'a str,
    /// Those tags that clients receive.
    pub tags: Option<&'a Tags>,
    /// Delta compression of this event: forced, forbidden, or as the channel has it.
    pub delta: Option<bool>,
    /// The frame without header and markers: what [`crate::frame::event`] returns.
    pub text: &'a Bytes,
    /// What this event has in common with itself on other threads of the node.
    pub shared: &'a Shared,
}

/// The deltas of one channel with at least one subscriber who can read them.
#[derive(Debug)]
pub struct DeltaChannel {
    pub(super) name: Box<str>,
    pub(super) settings: DeltaSettings,
    /// Whether it began with conflation: its numbers are long ones.
    conflation: bool,
    last: Sequence,
    slots: Vec<Slot>,
    places: HashMap<Box<str>, usize>,
    /// Where the search for a slot to give away goes on.
    hand: usize,
    /// Bases kept per key: one, until somebody falls behind.
    kept: usize,
    bases_bytes: usize,
}

/// What is kept of one key. A key that was given up leaves its slot to another one; who still knows
/// a number of the first finds no such base.
#[derive(Debug, Default)]
struct Slot {
    key: Box<str>,
    bases: VecDeque<Base>,
    /// Published to since the hand came by.
    used: bool,
}

impl DeltaChannel {
    /// A channel without history.
    #[must_use]
    pub fn new(name: &str, settings: DeltaSettings) -> Self {
        Self {
            name: name.into(),
            conflation: settings.conflation_key.is_some(),
            settings,
            last: Sequence::NONE,
            slots: Vec::new(),
            places: HashMap::default(),
            hand: 0,
            kept: 1,
            bases_bytes: 0,
        }
    }

    /// The least number that the next message can have: where new positions begin.
    #[must_use]
    pub fn next(&self) -> Sequence {
        self.last.next()
    }

    /// How the channel is compressed.
    #[must_use]
    pub fn settings(&self) -> &DeltaSettings {
        &self.settings
    }

    /// Changes how the channel is compressed, from the next event on.
    pub fn change_settings(&mut self, settings: DeltaSettings) {
        if settings.conflation_key != self.settings.conflation_key {
            self.slots.clear();
            self.places.clear();
            (self.hand, self.bases_bytes) = (0, 0);
        }
        self.settings = settings;
    }

    /// Begins to deliver an event. `None`: everybody gets the plain frame, and no position changes.
    pub fn begin<'a>(
        &'a mut self,
        event: Published<'a>,
        writer: &'a mut DeltaWriter,
    ) -> Option<Turn<'a>> {
        // Clients cut the marker out of the whole frame: a tag of that name would go with it.
        let ambiguous =
            event.tags.is_some_and(|tags| tags.keys().any(|key| key.ends_with("__conflation_key")));
        if ambiguous || !event.delta.unwrap_or(self.settings.enabled) {
            return None;
        }
        let path = self.settings.conflation_key.as_ref();
        let key = path.map(|path| path.key(event.name, event.data, event.tags));
        let slot = self.slot(key.as_deref().unwrap_or_default());
        let sequence = event.shared.sequence(self.conflation);
        self.last = self.last.max(sequence);
        Some(Turn::new(self, writer, event, (key, slot, sequence)))
    }

    /// Bytes of all bases.
    #[must_use]
    pub fn bases_bytes(&self) -> usize {
        self.bases_bytes
    }

    /// The slot of a key: its own, a new one, or that of a key with no message for long.
    fn slot(&mut self, key: &str) -> usize {
        if let Some(slot) = self.places.get(key) {
            self.slots[*slot].used = true;
            return *slot;
        }
        let slot = if self.slots.len() < self.settings.conflation_keys_max {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        } else {
            self.give_up()
        };
        self.slots[slot] = Slot { key: key.into(), bases: VecDeque::new(), used: true };
        self.places.insert(key.into(), slot);
        slot
    }

    /// Empties a slot that was not used for a whole round of the hand.
    fn give_up(&mut self) -> usize {
        loop {
            let place = self.hand;
            self.hand = (place + 1) % self.slots.len();
            let slot = &mut self.slots[place];
            if !std::mem::take(&mut slot.used) {
                self.places.remove(&slot.key);
                self.bases_bytes -= slot.bases.iter().map(|base| base.text.len()).sum::<usize>();
                return place;
            }
        }
    }

    pub(super) fn base(&self, slot: usize, sequence: Sequence) -> Option<&Base> {
        self.slots[slot].bases.iter().rev().find(|base| base.sequence == sequence)
    }

    /// Somebody is behind: from here on more than the last base is of use.
    pub(super) fn remember_more(&mut self) {
        self.kept = self.settings.messages_per_key_max;
    }

    pub(super) fn keep(&mut self, slot: usize, base: Base) {
        self.bases_bytes += base.text.len();
        let bases = &mut self.slots[slot].bases;
        bases.push_back(base);
        while bases.len() > self.kept
            && let Some(oldest) = bases.pop_front()
        {
            self.bases_bytes -= oldest.text.len();
        }
        if self.bases_bytes > self.settings.bases_bytes_max {
            self.forget_oldest();
        }
    }

    /// Forgets the oldest bases, a quarter more of them than need be, so that this is rare.
    #[cold]
    fn forget_oldest(&mut self) {
        let bases = self.slots.iter().flat_map(|slot| &slot.bases);
        let mut ages: Vec<_> = bases.map(|base| (base.sequence, base.text.len())).collect();
        ages.sort_unstable_by_key(|(sequence, _)| *sequence);
        let room = self.settings.bases_bytes_max / 4 * 3;
        let mut first = Sequence::NONE;
        for (sequence, bytes) in ages {
            if self.bases_bytes <= room {
                break;
            }
            self.bases_bytes -= bytes;
            first = sequence.next();
        }
        for slot in &mut self.slots {
            slot.bases.retain(|base| base.sequence >= first);
        }
    }
}

/// A key as it stands in the frames of one event.
pub(super) type Key<'a> = Option<Cow<'a, str>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(keys_max: usize) -> DeltaChannel {
        let settings = DeltaSettings {
            conflation_keys_max: keys_max,
            bases_bytes_max: 1_000,
            ..DeltaSettings::default()
        };
        DeltaChannel::new("market", settings)
    }

    fn keep(channel: &mut DeltaChannel, key: &str, sequence: u64, bytes: usize) {
        let slot = channel.slot(key);
        channel.keep(slot, Base { sequence: Sequence(sequence), text: vec![b'x'; bytes].into() });
    }

    fn held(channel: &DeltaChannel) -> Vec<u64> {
        let bases = channel.slots.iter().flat_map(|slot| &slot.bases);
        let mut held: Vec<u64> = bases.map(|base| base.sequence.0).collect();
        held.sort_unstable();
        let bytes = channel.slots.iter().flat_map(|slot| &slot.bases).map(|base| base.text.len());
        assert_eq!(channel.bases_bytes, bytes.sum::<usize>());
        held
    }

    #[test]
    fn one_base_per_key_until_somebody_is_behind() {
        let mut channel = channel(10);
        (1..=4).for_each(|sequence| keep(&mut channel, "a", sequence, 1));
        keep(&mut channel, "b", 5, 1);
        assert_eq!(held(&channel), [4, 5]);
        channel.remember_more();
        (6..=20).for_each(|sequence| keep(&mut channel, "a", sequence, 1));
        assert_eq!(held(&channel), [5, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    }

    #[test]
    fn a_key_without_messages_gives_way() {
        let mut channel = channel(3);
        for (place, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
            keep(&mut channel, key, place as u64 + 1, 1);
        }
        assert_eq!(held(&channel), [2, 3, 4]);
        keep(&mut channel, "b", 5, 1);
        keep(&mut channel, "e", 6, 1);
        assert_eq!(held(&channel), [4, 5, 6]);
        assert_eq!(channel.places.len(), 3);
    }

    #[test]
    fn the_oldest_bases_are_forgotten_first() {
        let mut channel = channel(10);
        channel.remember_more();
        for sequence in 1..=10 {
            keep(&mut channel, ["a", "b"][sequence as usize % 2], sequence, 100);
        }
        assert_eq!(held(&channel).len(), 10);
        keep(&mut channel, "c", 11, 100);
        assert_eq!(held(&channel), [5, 6, 7, 8, 9, 10, 11]);
        // One that is larger than the room is not kept at all.
        keep(&mut channel, "c", 12, 2_000);
        assert!(held(&channel).is_empty());
    }
}
