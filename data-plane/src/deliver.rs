//! What came down, made into steps for the shard threads: events encoded once for the node, news of
//! channels applied to their states.

use std::{
    sync::{Arc, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use data_plane_core::{CloseCode, frame};
use model::{AppId, ChannelDelta, ChannelName, UserId, UserInfo};
use proto::{
    convert::Hex,
    internal::{DataForm, DispatchedEvent, Member, MemberVerdict, notice::Notice},
    plane::traces::Span,
    v1::CachedEvent,
};
use tracing::debug;

use crate::{
    inbox::{Delivery, Published, Step},
    interest::{ChannelKey, Threads},
    node::Node,
    states::{Batches, Cached, States, Whole, has_state},
    wire,
};

/// One message from a control plane on its way to the shard threads. While it is made, the states it
/// touches are locked: what it says of them is in the inboxes before anybody can read them.
#[derive(Debug)]
pub struct Batch<'a> {
    node: &'a Node,
    states: Option<MutexGuard<'a, States>>,
    steps: Batches,
    now: Instant,
}

impl<'a> Batch<'a> {
    /// For these events.
    #[must_use]
    pub fn new(node: &'a Node, events: &[DispatchedEvent], now: Instant) -> Self {
        let touches = |event: &DispatchedEvent| event.notice.is_some() || has_state(&event.channel);
        let states = events.iter().any(touches).then(|| node.states());
        Self { node, states, steps: node.batches(), now }
    }

    /// Adds an event for the threads that have subscribers.
    pub fn add(&mut self, mut event: DispatchedEvent, threads: Threads) {
        if let Some(notice) = event.notice.take().and_then(|notice| notice.notice) {
            return self.apply(&event, notice, threads);
        }
        if threads == 0 && event.cache_ttl_ms == 0 {
            return;
        }
        let tags_shown = event.tags.is_some() && shows_tags(self.node, &event);
        let Some(frame) = encode(&event, tags_shown) else {
            return;
        };
        if event.cache_ttl_ms > 0 {
            self.keep(&event, &frame, tags_shown);
        }
        let from_backend = event.data_form() == DataForm::Unspecified;
        let span = span(&event);
        let (message_id, app_id) = (Hex(&event.message_id), &*event.app_id);
        debug!(%message_id, app_id, channel = event.channel, "event delivered");
        let DispatchedEvent { app_id: app, channel, excluded, name, data, tags, delta, .. } = event;
        let tags = tags.map(|tags| tags.pairs);
        let shared = self.node.numbers.next();
        let event =
            from_backend.then_some(Published { name, data, tags, tags_shown, delta, shared, span });
        let excluded = excluded.map(Into::into);
        self.push(Delivery { app, channel, excluded, frame, event }, threads);
    }

    /// What later subscribers of a cache channel see: it shows no tags.
    fn keep(&mut self, event: &DispatchedEvent, frame: &Bytes, tags_shown: bool) {
        let Some((app, channel)) = event.names() else {
            return;
        };
        let frame = match tags_shown {
            true => encode(event, false),
            false => Some(frame.clone()),
        };
        let until = self.now + Duration::from_millis(event.cache_ttl_ms.into());
        if let Some((states, frame)) = self.states.as_mut().zip(frame) {
            let tags = event.tags.as_ref().map(|tags| tags.pairs.clone());
            states.keep((&app, &channel), Cached { frame, tags, until });
        }
    }

    /// Gives each thread its steps through `send`, and ends.
    pub fn send(self, mut send: impl FnMut(usize, Vec<Step>)) {
        for (thread, steps) in self.steps.into_iter().enumerate() {
            if !steps.is_empty() {
                send(thread, steps);
            }
        }
    }

    fn push(&mut self, delivery: Delivery, threads: Threads) {
        let delivery = Arc::new(delivery);
        self.step(threads, || Step::Push(Arc::clone(&delivery)));
    }

    fn step(&mut self, threads: Threads, step: impl Fn() -> Step) {
        for (thread, steps) in self.steps.iter_mut().enumerate() {
            if threads & (1 << thread) != 0 {
                steps.push(step());
            }
        }
    }

    fn apply(&mut self, event: &DispatchedEvent, notice: Notice, threads: Threads) {
        let Some((app, channel)) = event.names() else {
            return;
        };
        match notice {
            Notice::State(state) => {
                let heard = state.heard;
                let members = state.members.into_iter().map(member).collect();
                let cached = state.cached.map(|cached| self.cached(&channel, cached));
                if let Some(states) = &mut self.states {
                    let interest = self.node.interest();
                    let is_heard = |user: &UserId| {
                        let since = interest.member_since((&app, &channel), user);
                        since.is_some_and(|since| since <= heard)
                    };
                    let all = Whole { members, cached, is_heard: &is_heard };
                    states.replace((&app, &channel), all, &mut self.steps);
                }
                self.let_in(&app, &channel);
            }
            Notice::Roster(change) => {
                let joined = change.joined.into_iter().map(member).collect();
                let left = change.left.iter().map(|user| UserId::trusted(user)).collect();
                if let Some(states) = &mut self.states {
                    states.change((&app, &channel), (joined, left), &mut self.steps);
                }
            }
            Notice::Verdict(verdict) => self.judge((&app, &channel), &verdict),
            Notice::Count(count) => {
                let text = frame::subscription_count(channel.as_str(), count.subscriptions);
                let frame = wire::text(&text).into();
                let (app, channel) = (app.to_string(), channel.to_string());
                let delivery = Delivery { app, channel, excluded: None, frame, event: None };
                self.push(delivery, threads);
            }
            Notice::Occupancy(occupancy) => self.occupy((app, channel), occupancy.occupied),
            Notice::Termination(_) => self.close((app, channel), CloseCode::Terminated, threads),
        }
    }

    /// Tells all subscribers of a channel to come back: they have missed something.
    pub fn tell_of_hole(&mut self, channel: ChannelKey, threads: Threads) {
        self.close(channel, CloseCode::Drain, threads);
    }

    fn close(&mut self, (app, channel): ChannelKey, code: CloseCode, threads: Threads) {
        self.step(threads, || {
            let (app, channel) = (app.clone(), channel.clone());
            Step::Close { app, channel, code }
        });
    }

    fn let_in(&mut self, app: &AppId, channel: &ChannelName) {
        if let Some(states) = &mut self.states {
            states.let_in((app, channel), self.now, &mut self.steps);
        }
    }

    fn judge(&mut self, (app, channel): (&AppId, &ChannelName), verdict: &MemberVerdict) {
        let Some(states) = &mut self.states else {
            return;
        };
        let user = UserId::trusted(&verdict.user_id);
        // It may have left and come again: then the answer to that is still to come.
        if self.node.interest().member_since((app, channel), &user) != Some(verdict.since) {
            return;
        }
        let judged = (&user, verdict.full);
        if let Some(left) = states.judge((app, channel), judged, &mut self.steps) {
            let mut interest = self.node.interest();
            interest.set_member((app, channel), &user, None);
            for (thread, subscriptions) in left.iter().enumerate() {
                let when = (self.now, false);
                interest.set_subscriptions(thread, (app, channel), *subscriptions, when);
            }
        }
        self.let_in(app, channel);
    }

    fn occupy(&mut self, (app, channel): (AppId, ChannelName), online: bool) {
        if let Some(states) = &mut self.states {
            states.set_occupied(&app, &channel, online);
        }
        let threads = self.node.interest().watching_threads(app.as_str(), channel.as_str());
        self.step(threads, || {
            let (app, channel) = (app.clone(), channel.clone());
            Step::Watched { app, channel, online }
        });
    }

    fn cached(&self, channel: &ChannelName, cached: CachedEvent) -> Cached {
        let frame = wire::text_with(|buffer| {
            frame::event_into(buffer, &cached.name, channel.as_str(), &cached.data, None);
        });
        let tags = cached.tags.map(|tags| tags.pairs);
        Cached { frame, tags, until: self.now + Duration::from_millis(cached.ttl_ms.into()) }
    }
}

/// From here until the last shard thread has queued the event for its sockets.
fn span(event: &DispatchedEvent) -> Span {
    let mut span = Span::child("node deliver", &event.traceparent);
    span.set("carillon.message_id", || Hex(&event.message_id).to_string());
    span
}

fn member(member: Member) -> (UserId, UserInfo) {
    let info = String::from_utf8(member.user_info.into()).unwrap_or_default();
    (UserId::trusted(&member.user_id), info.into())
}

/// Whether clients see the tags of an event: as its channel's settings say, or its app's.
fn shows_tags(node: &Node, event: &DispatchedEvent) -> bool {
    let apps = node.apps.borrow();
    let Some(app) = apps.as_ref().and_then(|apps| apps.by_id(&event.app_id)) else {
        return false;
    };
    let channel = ChannelDelta::find(&app.channel_deltas, &event.channel);
    let shown = channel.and_then(|channel| channel.tags_delivered);
    app.features.tag_filtering && shown.unwrap_or(app.features.tags_delivered)
}

/// The frame, encoded here once for the whole node.
fn encode(event: &DispatchedEvent, tags_shown: bool) -> Option<Bytes> {
    let data = std::str::from_utf8(&event.data).ok()?;
    let (name, channel, user) = (&*event.name, &*event.channel, event.user_id.as_deref());
    Some(wire::text_with(|buffer| match event.data_form() {
        DataForm::Unspecified => {
            let tags = event.tags.as_ref().filter(|_| tags_shown).map(|tags| &tags.pairs);
            frame::event_into(buffer, name, channel, data, tags);
        }
        DataForm::Json => frame::client_event_into(buffer, name, channel, Some(data), user),
        DataForm::Absent => frame::client_event_into(buffer, name, channel, None, user),
    }))
}
