//! What goes down to nodes: events of backends, events of clients, notices.

use std::{sync::Arc, time::Instant};

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
    fn event(self, (app, channel): Key<'_>, serial: u64) -> DispatchedEvent {
        DispatchedEvent {
            shard: u32::from(self.shard.number()),
            epoch: self.epoch,
            owner: self.owner.0,
            serial,
            app_id: app.to_string(),
            channel: channel.to_string(),
            ..DispatchedEvent::default()
        }
    }
}

/// What a backend publishes to one of its channels.
pub(super) fn published(
    (place, serial): (Place, u64),
    app: &AppId,
    (publish, index): (&Publish, usize),
    cache_ttl_ms: u32,
) -> DispatchedEvent {
    DispatchedEvent {
        message_id: convert::id_bytes(channel_message_id(publish.message_id, index).0),
        name: publish.event.name.0.clone(),
        data: publish.event.data.clone(),
        tags: publish.event.tags.clone().map(|pairs| v1::EventTags { pairs }),
        delta: publish.event.delta,
        excluded: publish.excluded.map(Into::into),
        cache_ttl_ms,
        traceparent: publish.traceparent.clone(),
        ..place.event((app, &publish.channels[index]), serial)
    }
}

/// Each channel of a publish has its own id: the publish's, with the channel's place in its upper bits.
fn channel_message_id(id: MessageId, index: usize) -> MessageId {
    MessageId(id.0 ^ ((index as u128) << 112))
}

/// What a client publishes to the others in its channel.
pub(super) fn relayed(
    (place, serial): (Place, u64),
    key: Key<'_>,
    said: &internal::ClientEvent,
    id: MessageId,
) -> DispatchedEvent {
    let form = if said.data.is_some() { DataForm::Json } else { DataForm::Absent };
    DispatchedEvent {
        message_id: convert::id_bytes(id.0),
        name: said.name.clone(),
        data: said.data.clone().unwrap_or_default(),
        data_form: form.into(),
        excluded: said.socket,
        user_id: said.user_id.clone(),
        ..place.event(key, serial)
    }
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
        Arc::new(DispatchedEvent { notice, ..self.place.event(self.key, 0) })
    }

    /// The whole of a channel.
    pub(super) fn state<'m>(
        &self,
        members: impl Iterator<Item = (&'m UserId, &'m UserInfo)>,
        cached: Option<v1::CachedEvent>,
    ) -> Arc<DispatchedEvent> {
        let members = members.map(|(user, info)| member(user, info)).collect();
        self.notice(Kind::State(internal::ChannelState { members, cached }))
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
    pub(super) fn verdict(&self, user: &UserId, full: bool) -> Arc<DispatchedEvent> {
        self.notice(Kind::Verdict(MemberVerdict { user_id: user.to_string(), full }))
    }

    /// How many sockets are subscribed.
    pub(super) fn count(&self, subscriptions: u32) -> Arc<DispatchedEvent> {
        self.notice(Kind::Count(SubscriptionCount { subscriptions }))
    }

    /// Whether anybody is signed in as the channel's user.
    pub(super) fn occupancy(&self, occupied: bool) -> Arc<DispatchedEvent> {
        self.notice(Kind::Occupancy(Occupancy { occupied }))
    }

    /// The end of the channel's sockets.
    pub(super) fn termination(&self) -> Arc<DispatchedEvent> {
        self.notice(Kind::Termination(Termination {}))
    }
}

fn member(user: &UserId, info: &UserInfo) -> internal::Member {
    let user_info = Bytes::copy_from_slice(info.as_bytes());
    internal::Member { user_id: user.to_string(), user_info }
}
