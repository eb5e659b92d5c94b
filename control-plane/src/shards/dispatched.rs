//! What was dispatched lately: an event that comes again has the place that it had.
//!
//! A publisher that was given up may be heard after all, long after the next try has been dispatched:
//! its link was cut and healed, its process stopped and went on. Nodes that had the event know it by its
//! id. One in which somebody has come to the channel since then does not, and must not deliver it behind
//! what is newer: it goes by the place.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use foldhash::HashMap;
use proto::{
    convert,
    internal::{DataForm, DispatchedEvent, EventPlace},
    stamp::{Stamp, UNSTABLE_MAX},
};

/// As long as nodes keep events: who publishes one again after it was refused may wait for seconds, and a
/// call that arrives later than two seconds after it was made is refused.
const REMEMBERED: Duration = UNSTABLE_MAX;
/// Of one shard at most so many: what a hot channel publishes in that time. The oldest go.
const EVENTS_MAX: usize = 50_000;

/// The places of the events of a shard.
#[derive(Debug, Default)]
pub(super) struct Lately {
    places: HashMap<u128, (Stamp, Instant)>,
    order: VecDeque<(Instant, u128)>,
}

impl Lately {
    /// Remembers the place of an event, or gives it the one that it had.
    pub(super) fn note(&mut self, event: &mut DispatchedEvent, now: Instant) {
        // What clients publish is sent once.
        if event.data_form() != DataForm::Unspecified {
            return;
        }
        let Some(id) = convert::id_from_bytes(&event.message_id) else { return };
        match self.places.get(&id) {
            Some((place, at)) => {
                let age = now.saturating_duration_since(*at).as_millis();
                event.origin = Some(place.origin(age.try_into().unwrap_or(u32::MAX)));
            }
            None => self.insert(id, (Stamp::of(event), now), now),
        }
    }

    /// Remembers where an event of a former owner stood: the first place that a node knows of.
    pub(super) fn inherit(&mut self, told: &EventPlace, now: Instant) {
        let Some(id) = convert::id_from_bytes(&told.message_id) else { return };
        let Some(origin) = told.origin else { return };
        let age = Duration::from_millis(origin.age_ms.into());
        let place = (Stamp::from(origin), now.checked_sub(age).unwrap_or(now));
        match self.places.get_mut(&id) {
            Some(known) if known.0 > place.0 => *known = place,
            Some(_) => {}
            None => self.insert(id, place, now),
        }
    }

    fn insert(&mut self, id: u128, place: (Stamp, Instant), now: Instant) {
        self.places.insert(id, place);
        self.order.push_back((now, id));
        if self.order.len() > EVENTS_MAX {
            self.forget_first();
        }
    }

    /// Forgets what is old.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_old = |at: Instant| now.saturating_duration_since(at) >= REMEMBERED;
        while self.order.front().is_some_and(|(at, _)| is_old(*at)) {
            self.forget_first();
        }
        if self.order.is_empty() {
            *self = Self::default();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.places.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::internal::Origin;

    use super::*;

    fn event(id: u128, serial: u64) -> DispatchedEvent {
        let message_id = convert::id_bytes(id);
        DispatchedEvent { message_id, epoch: 1, owner: 1, serial, ..DispatchedEvent::default() }
    }

    #[test]
    fn an_event_that_comes_again_has_its_place() {
        let now = tokio::time::Instant::now().into_std();
        let mut lately = Lately::default();
        let mut note = |id, serial, after| {
            let mut event = event(id, serial);
            lately.note(&mut event, now + Duration::from_millis(after));
            lately.expire(now + Duration::from_millis(after));
            event.origin.map(|origin| (origin.serial, origin.age_ms))
        };
        assert_eq!(note(7, 1, 0), None);
        assert_eq!(note(8, 2, 10), None);
        assert_eq!(note(7, 3, 1_500), Some((1, 1_500)));
        assert_eq!(note(9, 4, 8_005), None);
        assert_eq!(note(7, 5, 8_006), None, "forgotten");
        assert_eq!(note(8, 6, 8_007), Some((2, 7_997)));
    }

    #[test]
    fn what_a_former_owner_dispatched_has_its_first_place() {
        let now = tokio::time::Instant::now().into_std();
        let mut lately = Lately::default();
        let told = |epoch, serial, age_ms| EventPlace {
            message_id: convert::id_bytes(7),
            origin: Some(Origin { epoch, owner: 9, serial, age_ms }),
            ..EventPlace::default()
        };
        lately.inherit(&told(2, 1, 100), now);
        lately.inherit(&told(1, 8, 300), now);
        lately.inherit(&told(3, 2, 50), now);
        let mut again = DispatchedEvent { epoch: 4, ..event(7, 1) };
        lately.note(&mut again, now + Duration::from_millis(20));
        assert_eq!(again.origin, Some(Origin { epoch: 1, owner: 9, serial: 8, age_ms: 320 }));
        lately.expire(now + REMEMBERED);
        assert!(lately.places.is_empty());
    }

    #[test]
    fn the_oldest_of_too_many_go() {
        let now = tokio::time::Instant::now().into_std();
        let mut lately = Lately::default();
        for id in 0..EVENTS_MAX as u128 + 10 {
            lately.note(&mut event(id, 1), now);
        }
        assert_eq!((lately.order.len(), lately.places.len()), (EVENTS_MAX, EVENTS_MAX));
        let mut first = event(0, 2);
        lately.note(&mut first, now);
        assert_eq!(first.origin, None);
    }
}
