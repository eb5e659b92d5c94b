//! What sessions decide, done: frames sent, channels joined and left, sockets closed.

use std::{sync::Arc, time::Instant};

use data_plane_core::{CloseCode, Effect, Session, SocketKey, Subscribed, Unsubscribed, frame};
use model::{App, AppId, ChannelName, SocketId};

use super::{CLOSE_TIMEOUT, Shard};
use crate::{interest::ChannelKey, wire};

impl Shard {
    pub(super) fn open_session(
        &mut self,
        key: SocketKey,
        (app, id): (Arc<App>, SocketId),
        now: Instant,
    ) {
        // The settings may have changed since the upgrade was answered; later changes are told.
        let current = self
            .node
            .apps
            .borrow()
            .as_ref()
            .and_then(|apps| apps.by_key(app.key.as_str()).cloned());
        let app = match current {
            None => return self.close(key, CloseCode::UnknownApp, now),
            Some(app) if !app.enabled => return self.close(key, CloseCode::AppDisabled, now),
            Some(app) => app,
        };
        let limit = app.limits.connections_max;
        if !self.node.interest().connect(&app.id, limit) {
            return self.close(key, CloseCode::ConnectionQuota, now);
        }
        self.node.report();
        let config = self.node.session.clone();
        let mut effects = std::mem::take(&mut self.effects);
        let session = Session::open(app, id, &config, now, &mut effects);
        self.wheel.insert(key, session.poll_timeout(&config));
        if let Some(socket) = self.socket(key) {
            socket.session = Some(session);
        }
        self.effects = effects;
        self.apply_effects(key, now);
    }

    pub(super) fn handle_text(&mut self, key: SocketKey, text: &str, now: Instant) {
        self.node.metrics.received.inc();
        self.with_session(key, now, |session, effects| session.handle_text(text, now, effects));
    }

    pub(super) fn handle_binary(&mut self, key: SocketKey, bytes: &[u8], now: Instant) {
        self.node.metrics.received.inc();
        self.with_session(key, now, |session, effects| session.handle_binary(bytes, now, effects));
    }

    pub(super) fn handle_alive(&mut self, key: SocketKey, now: Instant) {
        self.with_session(key, now, |session, _| session.handle_activity(now));
    }

    fn with_session(
        &mut self,
        key: SocketKey,
        now: Instant,
        decide: impl FnOnce(&mut Session, &mut Vec<Effect>),
    ) {
        let mut effects = std::mem::take(&mut self.effects);
        if let Some(session) = self.socket(key).and_then(|socket| socket.session.as_mut()) {
            decide(session, &mut effects);
        }
        self.effects = effects;
        self.apply_effects(key, now);
    }

    /// Does what a session decided, in its order.
    pub(super) fn apply_effects(&mut self, key: SocketKey, now: Instant) {
        if self.effects.is_empty() {
            return;
        }
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(text) => self.send(key, &text, now),
                Effect::Subscribe(channel) => self.subscribe(key, &channel, now),
                Effect::Unsubscribe(channel) => self.unsubscribe(key, &channel, now),
                Effect::ClientEvent { .. } => {
                    let refusal = "Client event error: this version does not relay client events";
                    self.send(key, &frame::error(4_301, refusal), now);
                }
                Effect::Close(code) => self.close(key, code, now),
            }
        }
        if self.effects.is_empty() {
            self.effects = effects;
        }
    }

    fn send(&mut self, key: SocketKey, text: &str, now: Instant) {
        let limits = self.node.limits;
        let Some(socket) = self.socket(key).filter(|socket| socket.closing.is_none()) else {
            return;
        };
        let pushed = socket.push(wire::text(text).into(), limits);
        self.mark_dirty(key);
        if pushed.is_err() {
            self.close(key, CloseCode::SlowConsumer, now);
        }
    }

    pub(super) fn mark_dirty(&mut self, key: SocketKey) {
        if let Some(socket) = self.socket(key)
            && !socket.dirty
        {
            socket.dirty = true;
            self.dirty.push(key);
        }
    }

    fn session_of(&mut self, key: SocketKey) -> Option<(AppId, SocketId)> {
        let session = self.socket(key)?.session.as_ref()?;
        Some((session.app().id.clone(), session.id()))
    }

    fn subscribe(&mut self, key: SocketKey, channel: &ChannelName, now: Instant) {
        let Some((app, id)) = self.session_of(key) else {
            return;
        };
        match self.hub.subscribe(&app, channel, key, id) {
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
        self.with_session(key, now, |session, effects| session.handle_subscribed(channel, effects));
    }

    fn unsubscribe(&mut self, key: SocketKey, channel: &ChannelName, now: Instant) {
        let Some((app, _)) = self.session_of(key) else {
            return;
        };
        self.leave(key, (&app, channel), now);
    }

    fn leave(&mut self, key: SocketKey, (app, channel): (&AppId, &ChannelName), now: Instant) {
        match self.hub.unsubscribe(app, channel, key) {
            Unsubscribed::NotThere => {}
            Unsubscribed::Left { subscriptions } => {
                self.set_interest((app, channel), subscriptions, now);
            }
        }
    }

    /// Ends a session: says why, and gives the peer two seconds to take note.
    pub(super) fn close(&mut self, key: SocketKey, code: CloseCode, now: Instant) {
        self.end_session(key, now);
        let until = now + CLOSE_TIMEOUT;
        let Some(socket) = self.socket(key).filter(|socket| socket.closing.is_none()) else {
            return;
        };
        socket.close(code, until);
        self.node.metrics.closed(code);
        self.wheel.insert(key, until);
        self.mark_dirty(key);
    }

    /// The socket is gone, with all it held.
    pub(super) fn drop_socket(&mut self, key: SocketKey) {
        self.end_session(key, super::clock());
        if self.socket(key).is_none() {
            return;
        }
        let mut socket = self.sockets.remove(key.index as usize);
        let _ = self.poll.registry().deregister(socket.transport.tcp());
        self.node.metrics.sockets.dec();
    }

    fn end_session(&mut self, key: SocketKey, now: Instant) {
        let Some(session) = self.socket(key).and_then(|socket| socket.session.take()) else {
            return;
        };
        let app = session.app().id.clone();
        let channels: Vec<ChannelName> = session.channels().cloned().collect();
        for channel in &channels {
            self.leave(key, (&app, channel), now);
        }
        self.node.interest().disconnect(&app);
        self.node.report();
    }
}
