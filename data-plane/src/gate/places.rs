//! Where events stood that every node has: a publisher that was not answered may send one again, to an
//! owner that does not know it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use foldhash::HashSet;
use proto::{
    convert,
    internal::{DispatchedEvent, EventPlace},
    stamp::{Stamp, UNSTABLE_MAX},
};

/// As long as an owner remembers its own.
const KEPT: Duration = UNSTABLE_MAX;
/// The oldest of more than these go: five MiB.
const PLACES_MAX: usize = 65_536;

/// Places, in about the order in which events were received.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: VecDeque<Place>,
    /// How many had to go for others.
    dropped: u64,
}

#[derive(Debug)]
struct Place {
    shard: u32,
    id: u128,
    stamp: Stamp,
    /// When the event was dispatched first, as far as is known here.
    at: Instant,
}

impl Places {
    /// Keeps the place of an event that was received at that time.
    pub(super) fn keep(&mut self, event: &DispatchedEvent, received: Instant) {
        let Some(id) = convert::id_from_bytes(&event.message_id) else { return };
        let age = event.origin.map_or(0, |origin| origin.age_ms);
        let at = received.checked_sub(Duration::from_millis(age.into())).unwrap_or(received);
        self.places.push_back(Place { shard: event.shard, id, stamp: Stamp::of(event), at });
        if self.places.len() > PLACES_MAX {
            self.places.pop_front();
            self.dropped += 1;
        }
    }

    /// Those of some shards.
    pub(super) fn told(&self, shards: &HashSet<u32>, now: Instant) -> Vec<EventPlace> {
        let there =
            self.places.iter().filter(|place| shards.contains(&place.shard) && !place.is_old(now));
        there.map(|place| place.told(now)).collect()
    }

    /// Forgets what is old; returns how many had to go before since the last time.
    pub(super) fn expire(&mut self, now: Instant) -> u64 {
        while self.places.pop_front_if(|place| place.is_old(now)).is_some() {}
        if self.places.is_empty() {
            self.places = VecDeque::new();
        }
        std::mem::take(&mut self.dropped)
    }
}

impl Place {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    fn is_old(&self, now: Instant) -> bool {
        self.age(now) >= KEPT
    }

    fn told(&self, now: Instant) -> EventPlace {
        let age = self.age(now).as_millis() as u32;
        EventPlace {
            shard: self.shard,
            message_id: convert::id_bytes(self.id),
            origin: Some(self.stamp.origin(age)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::internal::Origin;

    use super::*;

    fn event(shard: u32, id: u8, serial: u64) -> DispatchedEvent {
        let message_id = vec![id; 16].into();
        DispatchedEvent { shard, message_id, epoch: 1, owner: 2, serial, ..Default::default() }
    }

    #[test]
    fn places_are_told_by_shard_and_for_a_while() {
        let now = crate::shard::clock();
        let after = |milliseconds| now + Duration::from_millis(milliseconds);
        let mut places = Places::default();
        places.keep(&event(7, 1, 5), now);
        places.keep(&event(8, 2, 6), now);
        let origin = Origin { epoch: 1, owner: 1, serial: 3, age_ms: 1_000 };
        places.keep(&DispatchedEvent { origin: Some(origin), ..event(7, 3, 7) }, after(500));
        let told = |places: &Places, after_ms| {
            let told = places.told(&[7].into_iter().collect(), after(after_ms)).into_iter();
            told.map(|place| (place.message_id[0], place.origin.unwrap())).collect::<Vec<_>>()
        };
        let own = |age_ms| Origin { epoch: 1, owner: 2, serial: 5, age_ms };
        let former = |age_ms| Origin { age_ms, ..origin };
        assert_eq!(told(&places, 600), [(1, own(600)), (3, former(1_100))]);
        assert_eq!(told(&places, 7_700), [(1, own(7_700))]);
        places.expire(after(8_000));
        assert!(told(&places, 8_000).is_empty() && places.places.is_empty());
    }

    #[test]
    fn the_oldest_of_too_many_go() {
        let now = crate::shard::clock();
        let mut places = Places::default();
        for serial in 0..PLACES_MAX as u64 + 10 {
            places.keep(&event(7, 1, serial), now);
        }
        assert_eq!(places.places.len(), PLACES_MAX);
        assert_eq!((places.expire(now), places.expire(now)), (10, 0));
        assert_eq!(
            places.places.front().map(|place| place.stamp),
            Some(Stamp::of(&event(7, 1, 10)))
        );
    }
}
