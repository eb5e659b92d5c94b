//! What goes down to nodes: events of backends, events of clients, notices. Who dispatches it, in which
//! epoch and with which serial, is added by the shard.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use model::{AppId, ChannelName, MessageId, OwnerId, Publish, ShardId, UserId, UserInfo};
use proto::{
    convert,
    internal::{
        self, DataForm, DispatchedEvent, MemberVerdict, Notice, Occupancy, RosterChange,
        SubscriptionCount, Termination, notice::Notice as Kind,
    },
    v1,
};

use super::Key;

/// Who dispatches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) shard: ShardId,
    pub(super) epoch: u64,
    pub(super) owner: OwnerId,
}

impl Place {
    /// Gives an event its place among those of its channel.
    pub(super) fn stamp(self, event: &mut DispatchedEvent, serial: u64) {
        event.shard = u32::from(self.shard.number());
        event.epoch = self.epoch;
        event.owner = self.owner.0;
        event.serial = serial;
    }
}

fn about((app, channel): Key<'_>) -> DispatchedEvent {
    DispatchedEvent {
        app_id: app.to_string(),
        channel: channel.to_string(),
        ..DispatchedEvent::default()
    }
}

/// How long an event matters to those who come later, or again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    /// As the last event of its cache channel; of other channels nothing is kept.
    pub cached: Duration,
    /// The publisher may come again with the same key; zero where it gave none.
    pub remembered: Duration,
}

/// What a backend publishes to one of its channels.
#[must_use]
pub fn published(app: &AppId, (publish, index): (&Publish, usize), kept: Kept) -> DispatchedEvent {
    let channel = &publish.channels[index];
    let cached = if channel.is_cache() { kept.cached } else { Duration::ZERO };
    DispatchedEvent {
        message_id: convert::id_bytes(channel_message_id(publish.message_id, index).0),
        name: publish.event.name.0.clone(),
        data: publish.event.data.clone(),
        tags: publish.event.tags.clone().map(|pairs| v1::EventTags { pairs }),
        delta: publish.event.delta,
        excluded: publish.excluded.map(Into::into),
        traceparent: publish.traceparent.clone(),
        cache_ttl_ms: milliseconds(cached),
        remember_ms: milliseconds(kept.remembered),
        ..about((app, channel))
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Each channel of a publish has its own id: the publish's, with the channel's place in its upper bits.
fn channel_message_id(id: MessageId, index: usize) -> MessageId {
    MessageId(id.0 ^ ((index as u128) << 112))
}

/// What a client publishes to the others in its channel.
#[must_use]
pub fn relayed(key: Key<'_>, said: &internal::ClientEvent, id: MessageId) -> DispatchedEvent {
    let form = if said.data.is_some() { DataForm::Json } else { DataForm::Absent };
    DispatchedEvent {
        message_id: convert::id_bytes(id.0),
        name: said.name.clone(),
        data: said.data.clone().unwrap_or_default(),
        data_form: form.into(),
        excluded: said.socket,
        user_id: said.user_id.clone(),
        ..about(key)
    }
}

/// The end of all sockets of a user's channel.
#[must_use]
pub fn terminated(key: Key<'_>) -> DispatchedEvent {
    let notice = Some(Notice { notice: Some(Kind::Termination(Termination {})) });
    DispatchedEvent { notice, ..about(key) }
}

/// What a notice is about, who gives it, when.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) place: Place,
    pub(super) key: Key<'a>,
    pub(super) now: Instant,
}

impl About<'_> {
    pub(super) fn channel(&self) -> &ChannelName {
        self.key.1
    }

    /// A notice takes no serial: it is not missed where only some nodes get it.
    fn notice(&self, kind: Kind) -> Arc<DispatchedEvent> {
        let notice = Some(Notice { notice: Some(kind) });
        let mut event = DispatchedEvent { notice, ..about(self.key) };
        self.place.stamp(&mut event, 0);
        Arc::new(event)
    }

    /// The whole of a channel.
    pub(super) fn state<'m>(
        &self,
        members: impl Iterator<Item = (&'m UserId, &'m UserInfo)>,
        cached: Option<v1::CachedEvent>,
    ) -> Arc<DispatchedEvent> {
        let members = members.map(|(user, info)| member(user, info)).collect();
        self.notice(Kind::State(internal::ChannelState { members, cached, heard: 0 }))
    }

    /// A user came.
    pub(super) fn joined(&self, user: &UserId, info: &UserInfo) -> Arc<DispatchedEvent> {
        let joined = vec![member(user, info)];
        self.notice(Kind::Roster(RosterChange { joined, left: Vec::new() }))
    }

    /// Users went.
    pub(super) fn left(&self, users: &[UserId]) -> Arc<DispatchedEvent> {
        let left = users.iter().map(ToString::to_string).collect();
        self.notice(Kind::Roster(RosterChange { joined: Vec::new(), left }))
    }

    /// A user may be in, or not.
    pub(super) fn verdict(
        &self,
        user: &UserId,
        (full, since): (bool, u64),
    ) -> Arc<DispatchedEvent> {
        self.notice(Kind::Verdict(MemberVerdict { user_id: user.to_string(), full, since }))
    }

    /// How many sockets are subscribed.
    pub(super) fn count(&self, subscriptions: u32) -> Arc<DispatchedEvent> {
        self.notice(Kind::Count(SubscriptionCount { subscriptions }))
    }

    /// Whether anybody is signed in as the channel's user.
    pub(super) fn occupancy(&self, occupied: bool) -> Arc<DispatchedEvent> {
        self.notice(Kind::Occupancy(Occupancy { occupied }))
    }
}

fn member(user: &UserId, info: &UserInfo) -> internal::Member {
    let user_info = Bytes::copy_from_slice(info.as_bytes());
    internal::Member { user_id: user.to_string(), user_info }
}
