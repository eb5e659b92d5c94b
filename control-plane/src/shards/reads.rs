//! What is asked of channels: which are occupied, by how many, by whom, what they show.

use std::time::Instant;

use model::{AppId, ChannelKind, ChannelName, SHARDS, ShardId, UserId};
use proto::v1::CachedEvent;

use super::{Shards, channel::Channel};

/// A channel as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelNow {
    /// Sockets subscribed, over all nodes.
    pub subscriptions: u32,
    /// Users; of presence channels alone.
    pub users: Option<u32>,
}

/// The last channel of a page; the next page goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its shard.
    pub shard: u16,
    /// Its name.
    pub channel: String,
}

impl ChannelNow {
    fn of(name: &ChannelName, channel: Option<&Channel>) -> Self {
        let presence = name.kind() == ChannelKind::Presence;
        Self {
            subscriptions: channel.map_or(0, Channel::subscriptions),
            users: presence.then(|| channel.map_or(0, Channel::users) as u32),
        }
    }
}

impl Shards {
    /// Occupied channels of an app whose names begin with `prefix`, by shard and then by name: at most
    /// `limit` behind `after`, and where the next page begins, if there is one. Channels of users are
    /// left out.
    #[must_use]
    pub fn list(
        &self,
        app: &AppId,
        prefix: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> (Vec<(ChannelName, ChannelNow)>, Option<Cursor>) {
        let mut page: Vec<(ChannelName, ChannelNow)> = Vec::new();
        let mut last = None;
        let first = after.map_or(0, |cursor| cursor.shard);
        for id in (first..SHARDS).filter_map(|number| ShardId::new(number.into())) {
            let after = after.filter(|cursor| cursor.shard == id.number());
            let found = self.list_shard(id, app, prefix, after);
            let room = limit.max(1) - page.len();
            if found.is_empty() {
                continue;
            }
            if room == 0 {
                return (page, last);
            }
            let more = found.len() > room;
            page.extend(found.into_iter().take(room));
            last = page
                .last()
                .map(|(name, _)| Cursor { shard: id.number(), channel: name.to_string() });
            if more {
                return (page, last);
            }
        }
        (page, None)
    }

    /// The same within one shard, without a limit.
    fn list_shard(
        &self,
        id: ShardId,
        app: &AppId,
        prefix: &str,
        after: Option<&Cursor>,
    ) -> Vec<(ChannelName, ChannelNow)> {
        let shard = self.shard(id);
        let channels = shard.apps.get(app.as_str()).into_iter().flatten();
        let mut found: Vec<_> = channels
            .filter(|(name, _)| {
                let behind = after.is_none_or(|cursor| name.as_str() > &*cursor.channel);
                behind && name.as_str().starts_with(prefix) && name.kind() != ChannelKind::User
            })
            .map(|(name, channel)| (name.clone(), ChannelNow::of(name, Some(channel))))
            .filter(|(_, now)| now.subscriptions > 0)
            .collect();
        drop(shard);
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// One channel, occupied or not.
    #[must_use]
    pub fn channel(&self, app: &AppId, channel: &ChannelName) -> ChannelNow {
        let shard = self.shard_of((app, channel));
        ChannelNow::of(channel, shard.find((app, channel)))
    }

    /// Users of a presence channel by id: at most `limit` behind `after`.
    #[must_use]
    pub fn users(
        &self,
        app: &AppId,
        channel: &ChannelName,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<UserId> {
        let shard = self.shard_of((app, channel));
        let extra = shard.find((app, channel)).and_then(|channel| channel.extra.as_ref());
        let users = extra.into_iter().flat_map(|extra| extra.users.users());
        let behind = |user: &&UserId| after.is_none_or(|after| user.as_str() > after);
        users.map(|(user, _)| user).filter(behind).take(limit).cloned().collect()
    }

    /// What a cache channel shows.
    #[must_use]
    pub fn cached(&self, app: &AppId, channel: &ChannelName, now: Instant) -> Option<CachedEvent> {
        self.shard_of((app, channel)).cache.get((app, channel), now)
    }
}
