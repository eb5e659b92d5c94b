//! Events of which nobody has said that all nodes have them: who takes their shards dispatches them
//! again.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use foldhash::{HashSet, HashSetExt as _};
use proto::{
    internal::{DataForm, DispatchedEvent, EventPlace},
    stamp::UNSTABLE_MAX,
};

use super::places::Places;

/// Bytes of all of them at most.
const BYTES_MAX: usize = 8 << 20;
/// An event costs this much besides its texts.
const OVERHEAD_BYTES: usize = 300;

/// Events by who dispatched them, each in the order in which it was received.
#[derive(Debug, Default)]
pub(super) struct Unstable {
    by_owner: BTreeMap<u64, VecDeque<Kept>>,
    received: u64,
    bytes: usize,
    /// Of those that are with all nodes, and of those that had to go.
    places: Places,
}

#[derive(Debug)]
struct Kept {
    position: u64,
    /// Its place among all that were received.
    number: u64,
    at: Instant,
    event: DispatchedEvent,
}

impl Kept {
    /// The event as the next owner is told of it.
    fn told(&self, now: Instant) -> DispatchedEvent {
        let mut event = self.event.clone();
        event.keep_origin(now.saturating_duration_since(self.at).as_millis() as u32);
        event
    }
}

impl Unstable {
    /// Keeps what a backend has published; returns how many others had to go for it.
    pub(super) fn keep(
        &mut self,
        owner: u64,
        event: &DispatchedEvent,
        (position, now): (u64, Instant),
    ) -> u64 {
        if event.notice.is_some() || event.data_form() != DataForm::Unspecified {
            return 0;
        }
        self.received += 1;
        self.bytes += bytes(event);
        let kept = Kept { position, number: self.received, at: now, event: event.clone() };
        self.by_owner.entry(owner).or_default().push_back(kept);
        let mut dropped = 0;
        while self.bytes > BYTES_MAX && self.drop_oldest() {
            dropped += 1;
        }
        dropped
    }

    /// All that an owner has dispatched up to here is with every node.
    pub(super) fn settle(&mut self, owner: u64, position: u64) {
        self.drop_while(owner, |kept| kept.position <= position);
    }

    /// Gives up what has been kept for long enough; returns how many places had to go before.
    pub(super) fn expire(&mut self, now: Instant) -> u64 {
        let owners: Vec<u64> = self.by_owner.keys().copied().collect();
        for owner in owners {
            self.drop_while(owner, |kept| now.saturating_duration_since(kept.at) >= UNSTABLE_MAX);
        }
        self.places.expire(now)
    }

    /// What owners other than `claimant` have dispatched in some shards: by shard, in the order in which
    /// it was received; each event once.
    pub(super) fn claimed(
        &self,
        claimant: u64,
        shards: &HashSet<u32>,
        now: Instant,
    ) -> Vec<DispatchedEvent> {
        let others = self.by_owner.iter().filter(|(owner, _)| **owner != claimant);
        let kept = others.flat_map(|(_, kept)| kept);
        let mut found: Vec<&Kept> =
            kept.filter(|kept| shards.contains(&kept.event.shard)).collect();
        found.sort_unstable_by_key(|kept| (kept.event.shard, kept.number));
        let mut named = HashSet::new();
        let first = found.into_iter().filter(|kept| named.insert(&kept.event.message_id));
        first.map(|kept| kept.told(now)).collect()
    }

    /// Where those stood in some shards that are kept no longer.
    pub(super) fn places(&self, shards: &HashSet<u32>, now: Instant) -> Vec<EventPlace> {
        self.places.told(shards, now)
    }

    /// How many, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.by_owner.values().map(VecDeque::len).sum(), self.bytes)
    }

    fn drop_oldest(&mut self) -> bool {
        let first = |(owner, kept): (&u64, &VecDeque<Kept>)| Some((kept.front()?.number, *owner));
        let Some((number, owner)) = self.by_owner.iter().filter_map(first).min() else {
            return false;
        };
        self.drop_while(owner, |kept| kept.number == number);
        true
    }

    fn drop_while(&mut self, owner: u64, mut condition: impl FnMut(&Kept) -> bool) {
        let Some(kept) = self.by_owner.get_mut(&owner) else {
            return;
        };
        while let Some(gone) = kept.pop_front_if(|kept| condition(kept)) {
            self.bytes -= bytes(&gone.event);
            self.places.keep(&gone.event, gone.at);
        }
        if kept.is_empty() {
            self.by_owner.remove(&owner);
        }
    }
}

/// What an event takes in memory, about.
pub(super) fn bytes(event: &DispatchedEvent) -> usize {
    let DispatchedEvent { app_id, channel, name, data, tags, .. } = event;
    let tags = tags.iter().flat_map(|tags| &tags.pairs);
    let tags: usize = tags.map(|(key, value)| key.len() + value.len() + 64).sum();
    OVERHEAD_BYTES + app_id.len() + channel.len() + name.len() + data.len() + tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(shard: u32, name: &str) -> DispatchedEvent {
        let message_id = name.as_bytes().to_vec().into();
        DispatchedEvent { shard, name: name.into(), message_id, ..DispatchedEvent::default() }
    }

    fn claimed(unstable: &Unstable, claimant: u64, shards: &[u32]) -> Vec<String> {
        let shards = shards.iter().copied().collect();
        let events = unstable.claimed(claimant, &shards, crate::shard::clock());
        events.into_iter().map(|event| event.name).collect()
    }

    #[test]
    fn who_takes_a_shard_is_told_what_others_dispatched_there() {
        let now = crate::shard::clock();
        let mut unstable = Unstable::default();
        let events = [(1, 7, "a"), (2, 3, "b"), (1, 7, "c"), (2, 7, "a"), (2, 7, "d"), (1, 9, "e")];
        for (position, (owner, shard, name)) in (1..).zip(events) {
            unstable.keep(owner, &event(shard, name), (position, now));
        }
        assert_eq!(claimed(&unstable, 5, &[7, 3]), ["b", "a", "c", "d"], "each once");
        assert_eq!(claimed(&unstable, 1, &[7, 3]), ["b", "a", "d"]);
        assert_eq!(claimed(&unstable, 5, &[1]), [""; 0]);
        unstable.settle(1, 3);
        assert_eq!(claimed(&unstable, 5, &[7, 9]), ["a", "d", "e"]);
        unstable.expire(now + UNSTABLE_MAX / 2);
        assert_eq!(unstable.size().0, 4);
        unstable.expire(now + UNSTABLE_MAX);
        assert_eq!(unstable.size(), (0, 0));
    }

    #[test]
    fn clients_events_and_notices_are_not_dispatched_again() {
        let now = crate::shard::clock();
        let mut unstable = Unstable::default();
        let client =
            DispatchedEvent { data_form: DataForm::Json.into(), ..DispatchedEvent::default() };
        let notice = DispatchedEvent { notice: Some(Default::default()), ..event(1, "a") };
        unstable.keep(1, &client, (1, now));
        unstable.keep(1, &notice, (2, now));
        assert_eq!(unstable.size(), (0, 0));
    }

    #[test]
    fn the_oldest_go_when_they_are_too_large() {
        let now = crate::shard::clock();
        let mut unstable = Unstable::default();
        let large = |name: &str| {
            let data = vec![b'1'; BYTES_MAX / 4].into();
            DispatchedEvent { data, ..event(1, name) }
        };
        let mut dropped = 0;
        for (position, name) in (1..).zip(["a", "b", "c", "d", "e"]) {
            dropped += unstable.keep(position % 2, &large(name), (position, now));
        }
        assert_eq!(dropped, 2);
        assert_eq!(claimed(&unstable, 9, &[1]), ["c", "d", "e"]);
        assert!(unstable.size().1 <= BYTES_MAX);
    }
}
