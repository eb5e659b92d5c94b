//! Which events were queued lately: one that comes again is queued once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use foldhash::{HashSet, HashSetExt as _};
use proto::{convert, internal::DispatchedEvent};

/// Ids remembered at most.
const IDS_MAX: usize = 500_000;
/// How long an id is remembered where the event does not say.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The ids of events that were queued, each for its time.
#[derive(Debug)]
pub(super) struct MessageIds {
    ids: HashSet<u128>,
    /// The same, by the second in which they are forgotten.
    ends: BTreeMap<u64, Vec<u128>>,
    began: Instant,
    max: usize,
}

impl MessageIds {
    pub(super) fn new(now: Instant) -> Self {
        Self { ids: HashSet::new(), ends: BTreeMap::new(), began: now, max: IDS_MAX }
    }

    /// Remembers an event; returns whether it was there already.
    pub(super) fn has_seen(&mut self, event: &DispatchedEvent, now: Instant) -> bool {
        let Some(id) = id_of(event) else {
            return false;
        };
        if !self.ids.insert(id) {
            return !cfg!(feature = "bug-no-message-ids");
        }
        let remembered = match event.remember_ms {
            0 => REMEMBERED,
            milliseconds => Duration::from_millis(milliseconds.into()),
        };
        let end = (now + remembered).saturating_duration_since(self.began).as_secs() + 1;
        self.ends.entry(end).or_default().push(id);
        false
    }

    /// Whether an event was there already; it is not remembered for that.
    pub(super) fn knows(&self, event: &DispatchedEvent) -> bool {
        id_of(event).is_some_and(|id| self.ids.contains(&id))
            && !cfg!(feature = "bug-no-message-ids")
    }

    /// Forgets those whose time is over, and the oldest of too many; returns how many those were.
    pub(super) fn expire(&mut self, now: Instant) -> u64 {
        let second = now.saturating_duration_since(self.began).as_secs();
        while let Some(first) = self.ends.first_entry().filter(|first| *first.key() <= second) {
            for id in first.remove() {
                self.ids.remove(&id);
            }
        }
        let mut evicted = 0;
        while self.ids.len() > self.max {
            let Some(mut first) = self.ends.first_entry() else {
                break;
            };
            let over = self.ids.len() - self.max;
            let oldest = first.get().len().min(over);
            for id in first.get_mut().drain(..oldest) {
                self.ids.remove(&id);
            }
            evicted += oldest as u64;
            if first.get().is_empty() {
                first.remove();
            }
        }
        evicted
    }
}

/// By what an event is known. Notices, which are the truth of their time, may come as often as they like.
fn id_of(event: &DispatchedEvent) -> Option<u128> {
    match event.notice {
        Some(_) => None,
        None => convert::id_from_bytes(&event.message_id),
    }
}

#[cfg(test)]
mod tests {
    use proto::internal::Notice;

    use super::*;

    fn event(id: u128, remember_ms: u32) -> DispatchedEvent {
        let message_id = convert::id_bytes(id);
        DispatchedEvent { message_id, remember_ms, ..DispatchedEvent::default() }
    }

    #[test]
    fn an_event_is_seen_once_in_its_time() {
        let now = crate::shard::clock();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut ids = MessageIds::new(now);
        assert!(!ids.has_seen(&event(1, 0), now) && !ids.has_seen(&event(2, 120_000), now));
        assert!(ids.has_seen(&event(1, 0), now) && ids.has_seen(&event(2, 0), now));
        ids.expire(after(10));
        assert!(ids.has_seen(&event(1, 0), after(10)));
        ids.expire(after(12));
        assert!(!ids.has_seen(&event(1, 0), after(12)));
        assert!(ids.has_seen(&event(2, 0), after(12)));
        ids.expire(after(200));
        assert!(ids.ids.is_empty() && ids.ends.is_empty());
    }

    #[test]
    fn notices_and_events_without_an_id_are_not_remembered() {
        let now = crate::shard::clock();
        let mut ids = MessageIds::new(now);
        let notice = DispatchedEvent { notice: Some(Notice::default()), ..event(1, 0) };
        for event in [notice, DispatchedEvent::default()] {
            assert!(!ids.has_seen(&event, now) && !ids.has_seen(&event, now));
        }
        assert!(ids.ids.is_empty());
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let now = crate::shard::clock();
        let mut ids = MessageIds { max: 10, ..MessageIds::new(now) };
        for id in 0..15 {
            assert!(!ids.has_seen(&event(id, if id % 2 == 0 { 0 } else { 60_000 }), now));
        }
        assert_eq!(ids.expire(now), 5);
        assert!(!ids.has_seen(&event(0, 0), now) && ids.has_seen(&event(1, 0), now));
        assert!(ids.has_seen(&event(14, 0), now));
    }
}
