//! Who is in which channel: subscribing, leaving, signing in, watching.
//!
//! A plain channel is confirmed for all its sockets at once, when the control plane has acknowledged
//! the node's interest. In a presence or cache channel each socket is let in by itself, with the state
//! that it is told ([`crate::states`]); until then the hub does not know it.

use std::time::Instant;

use data_plane_core::{
    CloseCode, Member, Session, SocketKey, Subscribed, Subscription, TagList, Terms, Unsubscribed,
    delta::DeltaSettings, frame,
};
use model::{AppId, ChannelName, SocketId, UserId};

use super::Shard;
use crate::{
    interest::ChannelKey,
    states::{Cached, Join, Place, has_state},
};

impl Shard {
    pub(super) fn session_of(&mut self, key: SocketKey) -> Option<(AppId, SocketId)> {
        let session = self.socket(key)?.session.as_ref()?;
        Some((session.app().id.clone(), session.id()))
    }

    fn place(&self, key: SocketKey) -> Place {
        Place { thread: self.thread, key }
    }

    /// What the hub must know of a socket that subscribes on these terms.
    fn subscription(
        &mut self,
        key: SocketKey,
        channel: &ChannelName,
        terms: Terms,
    ) -> Option<(AppId, Subscription)> {
        let session = self.socket(key)?.session.as_ref()?;
        let (app, id) = (session.app(), session.id());
        let deltas = terms.delta.and_then(|_| DeltaSettings::of(app, channel));
        Some((app.id.clone(), Subscription { key, id, terms, deltas }))
    }

    pub(super) fn subscribe(
        &mut self,
        key: SocketKey,
        channel: &ChannelName,
        (member, terms): (Option<&Member>, Terms),
        now: Instant,
    ) {
        let Some((app, subscription)) = self.subscription(key, channel, terms) else {
            return;
        };
        if has_state(channel.as_str()) {
            // It gets other terms at once where it is in; if it is not, those of its session count
            // when it is let in.
            self.hub.set_terms(&app, channel, subscription);
            return self.node.join(self.place(key), (&app, channel), member, now);
        }
        match self.hub.subscribe(&app, channel, subscription) {
            Subscribed::Again => self.tell_subscribed(key, channel, now),
            Subscribed::Joined { channel, subscriptions } => {
                self.set_interest((&app, &channel), subscriptions, now);
                self.tell_subscribed(key, &channel, now);
            }
            Subscribed::Waiting { subscriptions, .. } => {
                if self.set_interest((&app, channel), subscriptions, now) {
                    self.confirm(&(app, channel.clone()));
                }
            }
        }
    }

    pub(super) fn set_terms(&mut self, key: SocketKey, channel: &ChannelName, terms: Terms) {
        if let Some((app, subscription)) = self.subscription(key, channel, terms) {
            self.hub.set_terms(&app, channel, subscription);
        }
    }

    /// The client has lost what it had received of a channel.
    pub(super) fn resync(&mut self, key: SocketKey, channel: &ChannelName) {
        if let Some((app, _)) = self.session_of(key) {
            self.hub.resync(&app, channel, key);
        }
    }

    /// Returns whether events of the channel arrive for certain.
    fn set_interest(
        &self,
        (app, channel): (&AppId, &ChannelName),
        subscriptions: u32,
        now: Instant,
    ) -> bool {
        let mut interest = self.node.interest();
        let wait = subscriptions > 0 && !self.hub.is_confirmed(app.as_str(), channel.as_str());
        let certain =
            interest.set_subscriptions(self.thread, (app, channel), subscriptions, (now, wait));
        drop(interest);
        self.node.report();
        certain
    }

    /// The channel's waiting subscribers are subscribed from here on.
    pub(super) fn confirm(&mut self, (app, channel): &ChannelKey) {
        let mut joined = Vec::new();
        self.hub.confirm(app, channel, &mut joined);
        let now = super::clock();
        for key in joined {
            self.tell_subscribed(key, channel, now);
        }
    }

    fn tell_subscribed(&mut self, key: SocketKey, channel: &ChannelName, now: Instant) {
        self.with_session(key, now, |session, effects| {
            session.handle_subscribed(channel, now, effects);
        });
    }

    /// A socket is let into a channel with a state, unless it has left again.
    pub(super) fn join(&mut self, join: &Join, now: Instant) {
        let Join { key, app, channel, user, success, shown } = join;
        let session = self.socket(*key).and_then(|socket| socket.session.as_ref());
        let Some(session) = session.filter(|session| is_still(session, channel, user.as_ref()))
        else {
            return;
        };
        let terms = session.terms(channel);
        let wanted = shown.as_ref().filter(|shown| wants(&terms, shown));
        let Some((_, subscription)) = self.subscription(*key, channel, terms) else {
            return;
        };
        self.hub.subscribe(app, channel, subscription);
        self.hub.confirm(app, channel, &mut Vec::new());
        self.send_frame(*key, success[..].into(), now);
        match wanted {
            Some(shown) => self.send_frame(*key, shown.frame[..].into(), now),
            None if channel.is_cache() => {
                self.send(*key, &frame::cache_miss(channel.as_str()), now);
                self.node.report_miss((app, channel));
            }
            None => {}
        }
        self.with_session(*key, now, |session, effects| {
            session.handle_joined(channel, effects);
        });
    }

    /// A socket is not let into a presence channel.
    pub(super) fn refuse_full(
        &mut self,
        key: SocketKey,
        (channel, user): (&ChannelName, &UserId),
        now: Instant,
    ) {
        let session = self.socket(key).and_then(|socket| socket.session.as_ref());
        let Some(session) = session.filter(|session| is_still(session, channel, Some(user))) else {
            return;
        };
        let app = session.app().id.clone();
        self.hub.unsubscribe(&app, channel, key);
        self.with_session(key, now, |session, effects| {
            let limit = session.app().limits.presence_members_max;
            session.handle_full(channel, limit, effects);
        });
    }

    pub(super) fn unsubscribe(
        &mut self,
        key: SocketKey,
        channel: &ChannelName,
        user: Option<&UserId>,
        now: Instant,
    ) {
        if let Some((app, _)) = self.session_of(key) {
            self.leave(key, (&app, channel), user, now);
        }
    }

    pub(super) fn leave(
        &mut self,
        key: SocketKey,
        (app, channel): (&AppId, &ChannelName),
        user: Option<&UserId>,
        now: Instant,
    ) {
        let left = self.hub.unsubscribe(app, channel, key);
        if has_state(channel.as_str()) {
            return self.node.leave(self.place(key), (app, channel), user, now);
        }
        match left {
            Unsubscribed::NotThere => {}
            Unsubscribed::Left { subscriptions } => {
                self.set_interest((app, channel), subscriptions, now);
            }
        }
    }

    /// A socket has proven to be a user's: it is in the user's channel from here on.
    pub(super) fn sign_in(&mut self, key: SocketKey, channel: &ChannelName, now: Instant) {
        self.subscribe(key, channel, (None, Terms::default()), now);
    }

    /// A socket wants to hear when these users come and go.
    pub(super) fn watch(&mut self, key: SocketKey, users: &[UserId], now: Instant) {
        let Some((app, _)) = self.session_of(key) else {
            return;
        };
        for user in users {
            let channel = ChannelName::of_user(user.as_str());
            let watchers = self.watchers.add(&app, &channel, key);
            if let Some(online) = self.node.watch(self.thread, (&app, &channel), watchers) {
                self.with_session(key, now, |session, effects| {
                    session.handle_watched(user, online, effects);
                });
            }
        }
    }

    pub(super) fn unwatch(&mut self, key: SocketKey, app: &AppId, users: &[UserId]) {
        for user in users {
            let channel = ChannelName::of_user(user.as_str());
            let watchers = self.watchers.remove(app, &channel, key);
            self.node.watch(self.thread, (app, &channel), watchers);
        }
    }

    pub(super) fn tell_watchers(
        &mut self,
        (app, channel): (&AppId, &ChannelName),
        online: bool,
        now: Instant,
    ) {
        let Some(user) = channel.user().map(UserId::trusted) else {
            return;
        };
        for key in self.watchers.of(app, channel) {
            self.with_session(key, now, |session, effects| {
                session.handle_watched(&user, online, effects);
            });
        }
    }

    /// Closes every connection that is subscribed to a channel.
    pub(super) fn close_channel(
        &mut self,
        (app, channel): (&AppId, &ChannelName),
        code: CloseCode,
        now: Instant,
    ) {
        let mut keys = Vec::new();
        self.hub.deliver(app.as_str(), channel.as_str(), None, |key| keys.push(key));
        for key in keys {
            self.close(key, code, now);
        }
    }
}

/// Whether a subscriber wants the last event of a cache channel.
fn wants(terms: &Terms, shown: &Cached) -> bool {
    let tags = TagList::of(shown.tags.as_ref());
    terms.filter.as_ref().is_none_or(|filter| filter.matches(&tags))
}

/// Whether the client is in the channel as this user; it may have left, or come back as another.
fn is_still(session: &Session, channel: &ChannelName, user: Option<&UserId>) -> bool {
    session.subscriptions().any(|(other, as_whom)| other == channel && as_whom == user)
}
