//! The last event of each cache channel, for those who subscribe later.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use foldhash::HashMap;
use model::{AppId, ChannelName, Tags};
use prometheus_client::metrics::counter::Counter;
use proto::{
    internal::DispatchedEvent,
    v1::{CachedEvent, EventTags},
};

use super::Key;

/// A kept event costs this much besides its text.
const OVERHEAD_BYTES: usize = 300;

/// What the caches of all shards may take together, and for how long.
#[derive(Debug)]
pub struct Budget {
    /// How long an event is shown.
    pub ttl: Duration,
    /// Bytes of all kept events; when there are more, the oldest ones of a shard go.
    pub bytes_max: usize,
    /// Events that went before their time.
    pub evicted: Counter,
    used: AtomicUsize,
}

/// The kept events of one shard.
#[derive(Debug, Default)]
pub(super) struct Cache {
    events: HashMap<(AppId, ChannelName), Kept>,
    /// Oldest first; as nearly all are shown for the same time, these are also the first to expire.
    order: BTreeMap<u64, (AppId, ChannelName)>,
    stored: u64,
}

#[derive(Debug)]
struct Kept {
    name: String,
    data: Bytes,
    tags: Option<Tags>,
    until: Instant,
    bytes: usize,
    place: u64,
}

impl Budget {
    /// Nothing is used yet.
    #[must_use]
    pub fn new(ttl: Duration, bytes_max: usize, evicted: Counter) -> Self {
        Self { ttl, bytes_max, evicted, used: AtomicUsize::new(0) }
    }

    /// Bytes of all kept events.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether something has to go.
    pub(super) fn is_over(&self) -> bool {
        self.used() > self.bytes_max
    }
}

impl Cache {
    /// Keeps the event in place of the channel's former one. Older ones make room for it.
    pub(super) fn store(
        &mut self,
        (app, channel): Key<'_>,
        event: &DispatchedEvent,
        now: Instant,
        budget: &Budget,
    ) {
        let key = (app.clone(), channel.clone());
        self.forget(&key, budget);
        let tags: Option<Tags> = event.tags.as_ref().map(|tags| tags.pairs.clone());
        let tag_bytes = tags.iter().flatten().map(|(key, value)| key.len() + value.len());
        let text = event.name.len() + event.data.len() + app.as_str().len();
        let bytes = text + channel.as_str().len() + tag_bytes.sum::<usize>() + OVERHEAD_BYTES;
        self.stored += 1;
        let kept = Kept {
            name: event.name.clone(),
            data: event.data.clone(),
            tags,
            until: now + Duration::from_millis(event.cache_ttl_ms.into()),
            bytes,
            place: self.stored,
        };
        self.order.insert(kept.place, key.clone());
        self.events.insert(key, kept);
        budget.used.fetch_add(bytes, Ordering::Relaxed);
        while budget.is_over() && self.order.len() > 1 {
            self.evict(budget);
        }
    }

    /// What a channel shows.
    pub(super) fn get(&self, (app, channel): Key<'_>, now: Instant) -> Option<CachedEvent> {
        let kept = self.events.get(&(app.clone(), channel.clone()))?;
        let left = kept.until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(CachedEvent {
            name: kept.name.clone(),
            data: String::from_utf8_lossy(&kept.data).into_owned(),
            tags: kept.tags.clone().map(|pairs| EventTags { pairs }),
            ttl_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX),
        })
    }

    /// All that is kept, as it is told to another control plane.
    pub(super) fn all(&self, now: Instant) -> impl Iterator<Item = DispatchedEvent> {
        self.events.iter().filter_map(move |((app, channel), kept)| {
            let left = kept.until.checked_duration_since(now)?;
            Some(DispatchedEvent {
                app_id: app.to_string(),
                channel: channel.to_string(),
                name: kept.name.clone(),
                data: kept.data.clone(),
                tags: kept.tags.clone().map(|pairs| EventTags { pairs }),
                cache_ttl_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX),
                ..DispatchedEvent::default()
            })
        })
    }

    /// Drops what is shown no longer.
    pub(super) fn sweep(&mut self, now: Instant, budget: &Budget) {
        while let Some(key) = self.order.values().next() {
            if self.events.get(key).is_some_and(|kept| kept.until > now) {
                return;
            }
            let key = key.clone();
            self.forget(&key, budget);
        }
    }

    /// Drops the oldest; `false` where there is none.
    pub(super) fn evict(&mut self, budget: &Budget) -> bool {
        let Some(key) = self.order.values().next().cloned() else {
            return false;
        };
        self.forget(&key, budget);
        budget.evicted.inc();
        true
    }

    fn forget(&mut self, key: &(AppId, ChannelName), budget: &Budget) {
        if let Some(kept) = self.events.remove(key) {
            self.order.remove(&kept.place);
            budget.used.fetch_sub(kept.bytes, Ordering::Relaxed);
        }
    }
}
