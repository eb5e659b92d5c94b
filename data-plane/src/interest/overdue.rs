//! Channels that somebody was let into before all attached control planes had taken note.
//!
//! What such a control plane dispatched between the two does not come. It says with its acknowledgement when
//! that was last, and who was in by then is told.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Instant};

use model::ShardId;

use super::ChannelKey;

/// By the version in which the channel's interest began; a channel has one.
#[derive(Debug, Default)]
pub(super) struct Overdue {
    channels: BTreeMap<u64, (ChannelKey, Instant)>,
}

impl Overdue {
    /// Somebody is let into a channel; the first one counts.
    pub(super) fn note(&mut self, since: u64, channel: &ChannelKey, now: Instant) {
        self.channels.entry(since).or_insert_with(|| (channel.clone(), now));
    }

    /// Channels in whose shard something was dispatched after somebody had been let in, among those whose
    /// interest began in these versions.
    pub(super) fn missed<'a>(
        &'a self,
        versions: RangeInclusive<u64>,
        by_shard: &'a [Option<Instant>],
    ) -> impl Iterator<Item = (u64, &'a ChannelKey)> {
        let some = (!versions.is_empty()).then(|| self.channels.range(versions));
        some.into_iter().flatten().filter_map(|(since, (key, at))| {
            let shard = ShardId::of(&key.0, key.1.as_str()).index();
            let last = by_shard.get(shard).copied().flatten()?;
            (last >= *at).then_some((*since, key))
        })
    }

    /// All attached control planes have taken note of everything up to this version.
    pub(super) fn settle(&mut self, version: u64) {
        let later = self.channels.split_off(&version.saturating_add(1));
        self.channels = later;
    }

    /// The interest that began in this version has ended.
    pub(super) fn forget(&mut self, since: u64) {
        self.channels.remove(&since);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }
}
